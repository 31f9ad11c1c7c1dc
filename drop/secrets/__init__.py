"""What workers are told in confidence: the store of secrets, and how a worker gets its own."""
