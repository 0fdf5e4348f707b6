"""What routing gives its users, whoever does it (DHT, HTTP routers, a LAN): the smallest interfaces.

A node joins several routers into one (service.py). A router that does not do something simply lacks the protocol.
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
    """How it gives content (``transport-bitswap``, ``transport-ipfs-gateway-http``); empty: not said."""


class ProviderFinder(Protocol):
    """Knows who has content."""

    def find_providers(self, cid: CID, count: int = 0) -> AsyncGenerator[FoundPeer, None]:
        """Peers that say they have ``cid``, as they are found; each once. Ends when all were asked.

        Args:
            count: end after so many; 0: all there are.
        Failing routers give nothing; the search never raises for their sake. Cancellation: safe (aclose).
        """
        ...


class PeerFinder(Protocol):
    """Knows where peers are."""

    async def find_peer(self, peer: PeerId) -> FoundPeer | None:
        """Addresses of a peer, None if nobody knows it. Cancel-safe."""
        ...


class ValueRouting(Protocol):
    """Keeps small signed records (IPNS) under keys."""

    def search_value(self, key: bytes, quorum: int) -> AsyncGenerator[bytes, None]:
        """Valid values, each better than the one before, until ``quorum`` answers came or all were asked."""
        ...

    async def put_value(self, key: bytes, value: bytes) -> int:
        """Store a value; returns how many took it. Raises what the validator raises."""
        ...


class Announcer(Protocol):
    """Tells others that this node has content."""

    async def provide(self, cid: CID) -> int:
        """Announce one CID now; returns how many peers took the record. Cancel-safe."""
        ...


class Router(ProviderFinder, PeerFinder, ValueRouting, Announcer, Protocol):
    """All of it."""
