"""Facts about one CID, gathered by core.why and by the network. See diagnosis.verdict for their interpretation.

Peer ids are text; durations are seconds; times are seconds since 1970-01-01 UTC.
"""

from collections.abc import AsyncGenerator
from enum import Enum
from typing import NamedTuple, Protocol

from cidery.exchange.stats import SessionState
from cidery.multiformats.cid import CID


class Answer(Enum):
    """A connected peer's answer to whether it has a block."""

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
    """By nodes that have the key of its private network."""


class Stored(NamedTuple):
    """How much of the DAG is in the store of this node."""

    root: bool
    blocks: int
    bytes: int
    missing: tuple[CID, ...]
    """The first few missing blocks that are linked from stored ones."""
    missing_count: int
    """The number of such blocks; more may be missing below them."""
    complete: bool
    """Whether the walk finished in time."""
    damage: str = ""
    """The error, if a block could not be read."""

    @property
    def whole(self) -> bool:
        """Whether everything is known to be stored."""
        return self.complete and self.root and not self.missing_count and not self.damage


class Hold(NamedTuple):
    """One reason why a collector spares the block."""

    kind: str
    """"recursive", "direct", "indirect" or "files"."""
    through: CID | None = None
    """The pinned CID, or the root of the mutable files, that reaches it."""
    name: str = ""
    expires: float | None = None


class Pinned(NamedTuple):
    """The pins and files that hold the block."""

    holds: tuple[Hold, ...]
    complete: bool
    """Whether all pins were searched in time."""


class Announcement(NamedTuple):
    """Whether this node announces that it has the block."""

    off: str = ""
    """Why nothing is announced at all; "" if announcing is on."""
    remedy: str = ""
    """The command that changes this."""
    wanted: bool = False
    """Whether it belongs to the set that is announced regularly."""
    waiting: bool = False
    """Whether it is due to be announced."""
    at: float | None = None
    """Time of the last announcement; None: never."""
    peers: int | None = None
    """The number of peers that took its record then; None: no longer known."""
    due: float | None = None
    """Time of the next announcement."""
    known_peers: int = 0
    """Peers of the DHT that could receive a record."""


class Standing(NamedTuple):
    """This node's position in the network."""

    reach: Reach
    why: str
    addresses: dict[str, str]
    """Public addresses that may be ours -> "reachable", "unreachable" or "unknown"."""
    connected: int
    """Peers."""
    ports: tuple[str, ...] = ()
    """What a router would have to forward, such as "TCP port 4001"."""
    relayed: str = ""
    """How others reach it through relays, as a sentence; "": they do not."""


class PeerAnswer(NamedTuple):
    """A connected peer or a gateway was asked for one block."""

    peer: str
    """Peer id; URL of a gateway."""
    answer: Answer
    seconds: float
    """Seconds it took, or has taken so far."""
    agent: str = ""


class RouterAnswer(NamedTuple):
    """A router was asked for providers."""

    router: str
    """"DHT wan", "DHT lan", or a URL."""
    providers: int
    """Found so far."""
    seconds: float
    done: bool
    failure: str = ""
    knows: int | None = None
    """Peers in its table (DHT); None: not a DHT."""
    own: bool = False
    """Whether it is this node's own record store."""


class ProviderAnswer(NamedTuple):
    """A provider named by a router was dialled."""

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
    """What a network can tell about one CID without fetching it."""

    def fetches(self, cid: CID) -> list[Fetch]:
        """Requests under way that began with ``cid`` or want it."""
        ...

    async def announcement(self, cid: CID) -> Announcement: ...

    def standing(self) -> Standing: ...

    def look(self, cid: CID, *, dial: bool) -> AsyncGenerator[NetworkFact, None]:
        """Ask connected peers for the block and routers for its providers, and with ``dial`` dial the providers.

        A peer's, router's or provider's fact replaces its earlier one. Ends when all have answered or failed, which
        may take minutes: the caller bounds it. Nothing is stored. Cancellation: safe (aclose).
        """
        ...
