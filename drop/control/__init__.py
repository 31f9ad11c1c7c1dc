"""What a node can be asked and told while it runs."""
