"""The commands of a fetch session to its driver."""

from typing import NamedTuple

from cidery.multiformats.cid import CID


class Ask(NamedTuple):
    """Ask a source for blocks, and whether it has others."""

    source: str
    blocks: tuple[CID, ...]
    haves: tuple[CID, ...]


class Cancel(NamedTuple):
    """Tell a source that these are no longer wanted from it."""

    source: str
    cids: tuple[CID, ...]


class GiveUp(NamedTuple):
    """No source has sent anything new for too long."""

    stage: str
    sources: int


class Search(NamedTuple):
    """No known source has this, or none sends: search for more sources."""

    cid: CID


Command = Ask | Cancel | GiveUp | Search
