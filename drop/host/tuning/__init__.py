"""What of the kernel's settings suits a node: what is recommended, written, kept and undone."""
