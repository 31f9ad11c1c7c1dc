"""Worker processes: which should run (pure), and running them."""
