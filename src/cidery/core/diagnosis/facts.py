"""What can be known about one CID: facts, gathered by core.why and by the network. See core.verdict for what they mean.

Peer ids are text; durations are seconds; times are seconds since 1970-01-01 UTC.
"""

from collections.abc import AsyncGenerator
from enum import Enum
from typing import NamedTuple, Protocol

from cidery.exchange.stats import SessionState
from cidery.multiformats.cid import CID


class Answer(Enum):
    """What a connected peer said when it was asked whether it has a block."""

    WAITING = "waiting"
    """Nothing yet."""
    HAVE = "have"
    DONT_HAVE = "dont-have"
    BLOCK = "block"
    """It sent the block at once."""
    GONE = "gone"
    """It disconnected, or does not speak Bitswap; a gateway: it failed."""


class Reach(Enum):
    """Whether others can dial this node."""

    REACHABLE = "reachable"
    UNREACHABLE = "unreachable"
    UNKNOWN = "unknown"
    LOCAL = "local"
    """Only from its own networks, or its own machine."""
    PRIVATE = "private"
    """By those who have the key of its private network."""


class Stored(NamedTuple):
    """How much of the DAG is in the store of this node."""

    root: bool
    blocks: int
    bytes: int
    missing: tuple[CID, ...]
    """The first few blocks that are linked from what is here, and are not."""
    missing_count: int
    """How many such blocks there are; below them more may be missing."""
    complete: bool
    """Whether the walk came to its end in time."""
    damage: str = ""
    """Why a block could not be read, if one could not."""

    @property
    def whole(self) -> bool:
        """Whether everything is known to be here."""
        return self.complete and self.root and not self.missing_count and not self.damage


class Hold(NamedTuple):
    """One reason why a collector spares the block."""

    kind: str
    """"recursive", "direct", "indirect" or "files"."""
    through: CID | None = None
    """The pinned CID, or the root of the mutable files, that it is below."""
    name: str = ""
    expires: float | None = None


class Pinned(NamedTuple):
    """What holds the block."""

    holds: tuple[Hold, ...]
    complete: bool
    """Whether all pins were looked through in time."""


class Announcement(NamedTuple):
    """Whether others are told that this node has the block."""

    off: str = ""
    """Why nothing is announced at all; "" if announcing is on."""
    remedy: str = ""
    """The command that changes that."""
    wanted: bool = False
    """Whether it belongs to what is announced again and again."""
    waiting: bool = False
    """Whether it is about to be announced."""
    at: float | None = None
    """When it was announced last; None: never."""
    peers: int | None = None
    """How many peers took its record then; None: not known any more."""
    due: float | None = None
    """When it is announced next."""
    known_peers: int = 0
    """Peers of the DHT that could be told."""


class Standing(NamedTuple):
    """Where this node stands in the network."""

    reach: Reach
    why: str
    addresses: dict[str, str]
    """Public addresses that may be ours -> "reachable", "unreachable" or "unknown"."""
    connected: int
    """Peers."""
    port: int | None = None
    """TCP port that a router would have to pass on."""


class PeerAnswer(NamedTuple):
    """A connected peer, or a gateway, was asked for one block."""

    peer: str
    """Peer id; URL of a gateway."""
    answer: Answer
    seconds: float
    """How long it took, or has taken so far."""
    agent: str = ""


class RouterAnswer(NamedTuple):
    """Somebody was asked who has it."""

    router: str
    """"DHT wan", "DHT lan", or a URL."""
    providers: int
    """Found so far."""
    seconds: float
    done: bool
    failure: str = ""
    knows: int | None = None
    """Peers in its table (DHT); None: it is not that kind."""
    own: bool = False
    """Whether it is this node's own store of records."""


class ProviderAnswer(NamedTuple):
    """A provider that a router named was dialled."""

    peer: str
    routers: tuple[str, ...]
    state: str
    """"dialling", "connected", "gateway" (it is asked over HTTP), "failed", or "not dialled"."""
    seconds: float
    failure: str = ""
    addresses: tuple[str, ...] = ()


class Fetch(NamedTuple):
    """A request of this node that wants the block, or what is below it, right now."""

    state: SessionState


NetworkFact = PeerAnswer | RouterAnswer | ProviderAnswer
Fact = Stored | Pinned | Announcement | Standing | Fetch | NetworkFact


class Diagnosing(Protocol):
    """What a network can say about one CID, without fetching it."""

    def fetches(self, cid: CID) -> list[Fetch]:
        """Requests under way that began with ``cid`` or want it."""
        ...

    async def announcement(self, cid: CID) -> Announcement: ...

    def standing(self) -> Standing: ...

    def look(self, cid: CID, *, dial: bool) -> AsyncGenerator[NetworkFact, None]:
        """Ask connected peers whether they have the block, routers who has it, and with ``dial`` dial those.

        A peer's, router's or provider's fact replaces its earlier one. Ends when all have answered or failed, which
        may take minutes: the caller bounds it. Nothing is stored. Cancellation: safe (aclose).
        """
        ...
