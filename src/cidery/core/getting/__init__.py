"""Writing a tree to disk, and going on with it."""
