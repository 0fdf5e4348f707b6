"""The commands of a fetch session to its driver, and what the driver tells it of a source's bytes."""

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


class Heard(NamedTuple):
    """What has come from a source. Times are those of the session's clock, 0.0: never."""

    at: float = 0.0
    """When bytes of answers last came, whole messages or not."""
    alive_at: float = 0.0
    """When anything last came, the answer to a ping included."""
    coming: frozenset[CID] | None = frozenset()
    """The blocks of messages of which only a part has arrived; None: of such a message they are not known."""


Command = Ask | Cancel | GiveUp | Search
