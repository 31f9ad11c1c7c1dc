"""From planned pools to running ones: joins a function's keys with what this host offers."""
