"""What a fetch session tells its driver to do."""

from dataclasses import dataclass

from cidery.multiformats.cid import CID


@dataclass(frozen=True, slots=True)
class Ask:
    """Ask a source for blocks, and whether it has others."""

    source: str
    blocks: tuple[CID, ...]
    haves: tuple[CID, ...]


@dataclass(frozen=True, slots=True)
class Cancel:
    """Tell a source that these are no longer wanted of it."""

    source: str
    cids: tuple[CID, ...]


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Nothing new came from anybody for too long."""

    stage: str
    sources: int


@dataclass(frozen=True, slots=True)
class Search:
    """Nobody known has this, or nobody sends: look for others who have it."""

    cid: CID


Command = Ask | Cancel | GiveUp | Search
