"""Writing a tree to disk, and resuming that."""
