"""The node among others: who is there, and how they know each other."""
