"""The interfaces of routing, however it is implemented (DHT, HTTP routers, a LAN), each as small as possible.

A node joins several routers into one (service.py). A router that cannot do something simply lacks the protocol.
"""

from collections.abc import AsyncGenerator
from typing import NamedTuple, Protocol

from cidery.identity.peer_id import PeerId
from cidery.multiformats.cid import CID
from cidery.multiformats.multiaddr import Multiaddr


class FoundPeer(NamedTuple):
    """A peer and where it may be reached."""

    peer: PeerId
    addrs: tuple[Multiaddr, ...] = ()
    """Without /p2p. Hearsay until a dial authenticates the peer."""
    protocols: tuple[str, ...] = ()
    """How it serves content (``transport-bitswap``, ``transport-ipfs-gateway-http``); empty: not stated."""


class ProviderFinder(Protocol):
    """Finds providers of content."""

    def find_providers(self, cid: CID, count: int = 0) -> AsyncGenerator[FoundPeer, None]:
        """Peers that claim to have ``cid``, as they are found; each once. Ends when all were asked.

        Args:
            count: end after this many; 0: no limit.
        Failing routers yield nothing; the search never raises because of them. Cancellation: safe (aclose).
        """
        ...


class PeerFinder(Protocol):
    """Finds the addresses of peers."""

    async def find_peer(self, peer: PeerId) -> FoundPeer | None:
        """Addresses of a peer; None if it is unknown. Cancel-safe."""
        ...


class ValueRouting(Protocol):
    """Keeps small signed records (IPNS) under keys."""

    def search_value(self, key: bytes, quorum: int) -> AsyncGenerator[bytes, None]:
        """Valid values, each better than the one before, until ``quorum`` answers arrived or all were asked."""
        ...

    async def put_value(self, key: bytes, value: bytes) -> int:
        """Store a value; returns how many routers or peers took it. Raises as the validator."""
        ...


class Announcer(Protocol):
    """Announces that this node has content."""

    async def provide(self, cid: CID) -> int:
        """Announce one CID now; returns how many peers took the record. Cancel-safe."""
        ...


class Router(ProviderFinder, PeerFinder, ValueRouting, Announcer, Protocol):
    """All of the above."""
