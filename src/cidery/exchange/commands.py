"""What a fetch session tells its driver to do."""

from typing import NamedTuple

from cidery.multiformats.cid import CID


class Ask(NamedTuple):
    """Ask a source for blocks, and whether it has others."""

    source: str
    blocks: tuple[CID, ...]
    haves: tuple[CID, ...]


class Cancel(NamedTuple):
    """Tell a source that these are no longer wanted of it."""

    source: str
    cids: tuple[CID, ...]


class GiveUp(NamedTuple):
    """Nothing new came from anybody for too long."""

    stage: str
    sources: int


class Search(NamedTuple):
    """Nobody known has this, or nobody sends: look for others who have it."""

    cid: CID


Command = Ask | Cancel | GiveUp | Search
