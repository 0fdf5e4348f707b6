"""Times, and bounds of trees, shared by UnixFS and the code that writes trees to disk. Imports nothing.

Spec: https://specs.ipfs.tech/unixfs/#metadata
"""

from typing import NamedTuple

MAX_SYMLINK_TARGET = 4096
"""Longest target of a symlink, in bytes (PATH_MAX of Linux)."""
MAX_TREE_DEPTH = 1024
"""Deepest tree walked, in directories: half of what PATH_MAX (4096 bytes) allows on Linux."""


class Mtime(NamedTuple):
    """A time of modification."""

    seconds: int
    """Since 1970, may be negative."""
    nanoseconds: int = 0
    """0..999,999,999."""
