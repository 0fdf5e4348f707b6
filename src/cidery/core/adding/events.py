"""What add() reports."""

from typing import NamedTuple

from cidery.multiformats.cid import CID
from cidery.unixfs.metadata import Mtime


class Added(NamedTuple):
    """An entry is complete."""

    name: str
    """Relative path; the CID for a nameless file; "" for the wrapping directory."""
    cid: CID
    size: int
    """Cumulative size of its DAG, in bytes."""
    bytes: int
    """Bytes of content read for it; 0 for directories and symlinks."""
    root: bool
    """Whether it is a root: pin this one. It is durable."""
    mode: int | None = None
    mtime: Mtime | None = None


class AddProgress(NamedTuple):
    """Progress within a big file or stream."""

    name: str
    bytes: int
    """Bytes read of it so far."""
