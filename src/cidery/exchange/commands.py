"""The commands of a fetch session to its driver, and what the driver tells it of a source's bytes."""

from math import inf
from typing import NamedTuple

from cidery.exchange.wants import Wants
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


class Share(NamedTuple):
    """Ask a source for the last ``size`` bytes of a block, the beginning of which another one is sending."""

    giver: str
    source: str
    cid: CID
    size: int


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
    ends_at: float = inf
    """When such a message will be whole, at the rate at which it came so far; inf: it is not known."""
    missing: int = 0
    """Bytes of it that are still to come, if that is known."""
    arrived: int = 0
    """As many that are here."""


Command = Ask | Cancel | GiveUp | Search | Share


class Outbox:
    """What is to be told to sources, gathered until the next poll: one command of a kind for each."""

    def __init__(self) -> None:
        self._asks: dict[str, tuple[list[CID], list[CID]]] = {}
        self._proofs: dict[str, CID] = {}
        self._cancels: dict[str, list[CID]] = {}
        self._shares: list[Share] = []

    def ask(self, source: str, cid: CID) -> None:
        self._asks.setdefault(source, ([], []))[0].append(cid)

    def ask_whether(self, source: str, cid: CID) -> None:
        self._asks.setdefault(source, ([], []))[1].append(cid)

    def prove(self, source: str, cid: CID) -> None:
        """Ask it for a block that is here already."""
        self._asks.setdefault(source, ([], []))
        self._proofs[source] = cid

    def share(self, giver: str, source: str, cid: CID, size: int) -> None:
        """Ask ``source`` for the end of what ``giver`` is sending."""
        self._shares.append(Share(giver, source, cid, size))

    def cancel(self, source: str, cid: CID) -> None:
        self._cancels.setdefault(source, []).append(cid)

    def drop(self, source: str) -> None:
        """It is gone."""
        self._asks.pop(source, None)
        self._proofs.pop(source, None)
        self._cancels.pop(source, None)

    def take(self, wants: Wants) -> list[Command]:
        """All of it, without what has come, or gone to another source, since; cancels first: it may be asked again."""
        commands: list[Command] = [Cancel(name, tuple(cids)) for name, cids in self._cancels.items()]
        for name, (blocks, haves) in self._asks.items():
            asked = tuple(cid for cid in blocks if (want := wants.get(cid)) is not None and want.source == name)
            if (proof := self._proofs.get(name)) is not None:
                asked = (proof, *(cid for cid in asked if cid != proof))
            whether = tuple(cid for cid in haves if cid in wants)
            if asked or whether:
                commands.append(Ask(name, asked, whether))
        commands += [one for one in self._shares if (want := wants.get(one.cid)) and want.source == one.giver]
        self._asks, self._proofs, self._cancels, self._shares = {}, {}, {}, []
        return commands
