"""The machine that a node runs on: sockets, locks, limits, the service manager."""
