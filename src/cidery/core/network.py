"""The online half of a node, as the core needs it: its operations, and the values they return.

``node/build.py`` connects it to the swarm, to Bitswap and to the routing; offline nodes have none.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import NamedTuple, Protocol

from cidery.core.diagnosis.facts import Diagnosing
from cidery.core.session import BlockSession
from cidery.errors import Unavailable
from cidery.exchange.terms import EAGER, Terms
from cidery.multiformats.address_filter import AddressFilter
from cidery.multiformats.multiaddr import Multiaddr
from cidery.routing.interface import FoundPeer, Router


class RoutingOff(Unavailable):
    """The config disables routing."""

    def __str__(self) -> str:
        return "routing is switched off: set Routing.Type to auto or dht and restart the daemon"


class ProvideOff(Unavailable):
    """The config disables announcing."""

    def __str__(self) -> str:
        return "announcing is switched off: set Provide.Enabled to true and restart the daemon"


class ConnectedPeer(NamedTuple):
    """One connection, as ``swarm peers`` shows it."""

    peer: str
    addr: str
    direction: str
    """"inbound" or "outbound"."""
    muxer: str
    security: str
    latency: float | None
    """Smoothed round trip, seconds."""
    streams: tuple[str, ...]
    """Protocol per open stream."""
    limited: bool = False
    """Whether it goes through a relay with limits, where content is not exchanged."""


class PeerIdentity(NamedTuple):
    """The fields that ``id`` shows for this node or a peer."""

    id: str
    public_key: str
    """base64 of the protobuf public key; "" if unknown."""
    addresses: tuple[str, ...]
    """With /p2p/ID at the end."""
    agent_version: str
    protocols: tuple[str, ...]
    protocol_version: str = ""


class PeerLedger(NamedTuple):
    """What passed between this node and one peer."""

    bytes_sent: int
    bytes_received: int
    blocks: int
    """Both ways."""


class BitswapStat(NamedTuple):
    """Counters since start, as ``bitswap stat`` shows them."""

    wantlist: tuple[str, ...]
    peers: tuple[str, ...]
    blocks_received: int
    data_received: int
    dup_blocks_received: int
    dup_data_received: int
    messages_received: int
    blocks_sent: int
    data_sent: int
    ledgers: dict[str, PeerLedger]
    """By peer, of those that are connected."""


class Relaying(NamedTuple):
    """What relays do for this node, and it for others as one."""

    asks: bool
    """Whether relays are asked for reservations when nobody can dial this node."""
    addresses: tuple[str, ...]
    """Where it is reached through them, without its own /p2p."""
    failures: dict[str, str]
    """Relay -> why it granted nothing."""
    serves: bool
    """Whether this node is a relay now."""
    reservations: int
    circuits: int
    punches: dict[str, tuple[str, ...]]
    """Peer -> what each attempt to replace a relayed connection by a direct one said."""


class CertificateState(NamedTuple):
    """How it stands with the certificate of AutoTLS. Times are seconds since 1970; 0.0: not known."""

    name: str
    """What it is for, ``*.PEER.libp2p.direct``."""
    ends: float = 0.0
    """Of the one that there is."""
    renewal: float = 0.0
    """When it will be renewed."""
    waits: str = ""
    """What is waited for before one is asked for; "": nothing."""
    asking: bool = False
    """Whether one is being asked for now."""
    failure: str = ""
    """Why the last attempt came to nothing..."""
    next_try: float = 0.0
    """... and when the next one begins."""


class TablePeer(NamedTuple):
    """A peer in a routing table."""

    id: str
    connected: bool
    agent: str
    answered: float
    """Seconds since its last answer."""


class BucketStat(NamedTuple):
    """One bucket of a routing table; its index is the number of bits shared."""

    peers: tuple[TablePeer, ...]
    refreshed: float
    """Seconds since the last look-up in it."""


class DhtStat(NamedTuple):
    """One DHT, as ``stats dht`` shows it."""

    name: str
    """"wan" or "lan"."""
    server: bool
    network_size: float | None
    """Estimated peers."""
    buckets: tuple[BucketStat, ...]


class ProvideCount(NamedTuple):
    """Counts of what was announced in one round, or outside the rounds."""

    began_at: float
    """Seconds since 1970; 0.0: never."""
    regions: int
    lookups: int
    keys: int
    failed: int
    records: int
    seconds: float


class ProvideStat(NamedTuple):
    """The state of announcing."""

    keys: int
    done: int
    """Announced within the interval."""
    fresh: int
    """Not announced yet."""
    late: int
    """Announced, but longer ago than an interval and a tenth."""
    waiting_roots: int
    roots: int
    roots_failed: int
    interval: float
    regions: int
    next_at: float | None
    """Seconds since 1970 of the next region."""
    cycle: ProvideCount
    last: ProvideCount | None
    outside: ProvideCount
    peers: dict[str, int]
    """DHT -> peers known."""


class Bandwidth(NamedTuple):
    """Bytes since the start, and bytes a second lately."""

    total_in: int
    total_out: int
    rate_in: float
    rate_out: float


class BudgetUse(NamedTuple):
    """How much of a budget is used."""

    name: str
    unit: str
    used: float
    limit: float | None
    """None: there is none."""


class Network(Protocol):
    """The online half of a node. Peer ids are text (base58btc)."""

    def session(self, *, kept: bool, terms: Terms = EAGER) -> AbstractAsyncContextManager[BlockSession]:
        """A session over the local store and the peers. ``kept``: store what arrives as kept, else as cached."""
        ...

    def identity(self) -> PeerIdentity: ...

    async def identify(self, peer: str) -> PeerIdentity:
        """Identity of a connected or known peer, dialling if necessary. Raises NotFound, Unavailable."""
        ...

    async def connect(self, addr: Multiaddr) -> None:
        """Connect to ``.../p2p/ID``. Raises InvalidInput, Unavailable (says what was tried).

        An address where nothing answers may be far away: it is waited for until the system gives up, some two minutes.
        Cancellation: safe; the dial continues for a while.
        """
        ...

    def reachability(self) -> dict[str, str]:
        """Public addresses that may be ours -> "reachable", "unreachable" or "unknown" from outside."""
        ...

    def relaying(self) -> Relaying | None:
        """None: no relays are used."""
        ...

    def certificate(self) -> CertificateState | None:
        """That of AutoTLS; None: AutoTLS is off."""
        ...

    def peering_add(self, addrs: Sequence[Multiaddr]) -> list[str]:
        """Stay connected to the peers of these addresses; their ids. Raises InvalidInput."""
        ...

    def peering_remove(self, peer: str) -> bool:
        """Stop keeping a peer connected; False if it was not kept. Raises PeerIdError."""
        ...

    def peering(self) -> dict[str, list[str]]:
        """Peers that are kept connected, with their addresses."""
        ...

    async def disconnect(self, addr: Multiaddr) -> bool:
        """Close connections to the peer in ``addr``; False if there were none."""
        ...

    def peers(self, only: str | None = None) -> list[ConnectedPeer]:
        """Every connection, or those to one peer. Raises PeerIdError."""
        ...

    def known_addrs(self) -> dict[str, list[str]]:
        """Peer id -> addresses from the peer store."""
        ...

    def listen_addrs(self) -> list[str]:
        """Bound addresses, without /p2p/, with this machine's own in the place of a wildcard."""
        ...

    def ping(self, peer: str, count: int) -> AsyncIterator[float]:
        """Round-trip times in seconds, one ping per second. Raises Unavailable."""
        ...

    def bitswap_stat(self) -> BitswapStat: ...

    def bandwidth(self, peer: str, protocol: str) -> Bandwidth:
        """What went over the connections; "" for all peers, or all protocols. With a protocol, its content only."""
        ...

    @property
    def filters(self) -> AddressFilter:
        """Decides which addresses are dialled, and from which connections are accepted; changes count at once."""
        ...

    def budgets(self) -> list[BudgetUse]:
        """Those of peers whose use changes while the node runs."""
        ...

    def diagnosis(self) -> Diagnosing:
        """Tells what the network knows about a CID."""
        ...

    async def provide_stat(self) -> ProvideStat:
        """Raises RoutingOff, ProvideOff."""
        ...

    def provide_later(self, multihashes: Sequence[bytes]) -> None:
        """Announce these together with others of their regions. Raises RoutingOff, ProvideOff."""
        ...

    async def provide_clear(self) -> int:
        """Forget everything that is announced; returns how many keys. Raises RoutingOff, ProvideOff."""
        ...

    def router(self) -> Router:
        """All routing of this node as one. Raises RoutingOff."""
        ...

    def better_value(self, key: bytes, best: bytes | None, value: bytes) -> bytes | None:
        """The better of two routing values, by the rules of their namespace; None if neither is valid."""
        ...

    async def closest_peers(self, key: bytes) -> list[FoundPeer]:
        """The peers of the DHTs nearest to a key."""
        ...

    def dht_stats(self) -> list[DhtStat]: ...
