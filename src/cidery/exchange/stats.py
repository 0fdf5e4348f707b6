"""The statistics of a session."""

from typing import NamedTuple

from cidery.multiformats.cid import CID


class SessionStats(NamedTuple):
    """Where the blocks of a session came from."""

    stage: str
    """Its state: "local", "finding", "asking", "receiving", "stalled" or "done"."""
    local: tuple[int, int]
    """(blocks, bytes) that were stored here."""
    by_source: dict[str, tuple[int, int]]
    """Source (peer id) -> (blocks, bytes)."""
    duplicate_blocks: int
    """Blocks that arrived twice."""
    owing: tuple[str, ...] = ()
    """Sources that were asked for blocks and have not sent them."""
    sources: int = 0
    """Sources that could be asked."""
    lacking: int = 0
    """Of these, those that said last that they have not what was asked for."""
    providers: tuple[int, int, int] = (0, 0, 0)
    """Found by searches, then of these reached, and not reachable."""
    searched: bool = False
    """Whether a search for providers has begun."""


class SourceState(NamedTuple):
    """The current state of one source within a session."""

    source: str
    last_answer: str
    """"have", "dont-have" or "block"; "": none yet."""
    silent: float | None
    """Seconds since its last answer, or since it was asked; None: nothing is asked of it."""
    blocks: int
    bytes: int
    outstanding: int
    """Blocks requested from it but not yet received."""
    stalled: bool


class SessionState(NamedTuple):
    """A running session."""

    stage: str
    root: CID | None
    """The first block that was asked for."""
    wanted: int
    """Blocks that are still to come."""
    waiting_for: tuple[CID, ...]
    """The first few of these."""
    blocks: int
    """Blocks received from other nodes."""
    bytes: int
    silent: float
    """Seconds since the last block arrived, or since the first was wanted."""
    sources: tuple[SourceState, ...]
