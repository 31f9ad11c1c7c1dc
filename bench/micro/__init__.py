"""The pieces of the hot path, each beside the least that any code could do for the same job."""
