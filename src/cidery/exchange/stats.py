"""What a session can tell of itself."""

from typing import NamedTuple


class SessionStats(NamedTuple):
    """Where the blocks of a session came from."""

    stage: str
    """What it does: "local", "finding", "asking", "receiving", "stalled" or "done"."""
    local: tuple[int, int]
    """(blocks, bytes) that were stored here."""
    by_source: dict[str, tuple[int, int]]
    """Source (peer id) -> (blocks, bytes)."""
    duplicate_blocks: int
    """Blocks that came twice."""
