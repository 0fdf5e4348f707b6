"""Where a store lies below its root. Imports nothing of the store: most who ask do not open it."""

BLOCKS_DIR = "blocks"
"""Segments, the delete log, the writer's lock."""
INDEX_DIR = "meta/index"
"""LMDB, rebuildable."""
