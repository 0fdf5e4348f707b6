"""Mutable files: a tree of files whose root CID changes, over blocks that never do."""
