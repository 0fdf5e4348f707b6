"""Where a store lies below its root. Imports nothing of the store: most who ask do not open it."""

BLOCKS_DIR = "blocks"
"""Segments, the delete log, the writer's lock."""
LOG_NAME = "deleted.log"
"""The delete log, in BLOCKS_DIR: what a rebuild must not bring back."""
INDEX_DIR = "meta/index"
"""LMDB, rebuildable."""
