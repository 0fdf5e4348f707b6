"""The paths of a store below its root. Imports nothing of the store: most users of these do not open it."""

BLOCKS_DIR = "blocks"
"""Segments, the delete log, the writer's lock."""
LOG_NAME = "deleted.log"
"""The delete log, in BLOCKS_DIR: blocks that a rebuild must not bring back."""
INDEX_DIR = "meta/index"
"""LMDB, rebuildable."""


def segment_name(number: int) -> str:
    """The name of a segment's file in BLOCKS_DIR."""
    return f"{number:06d}.car"
