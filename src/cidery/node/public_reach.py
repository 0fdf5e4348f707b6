"""Providers for fetches of strangers: looked for in the public network, and dialled at public addresses.

Whoever asks a public gateway chooses the content, and whoever announces that content chooses the addresses: without
this, both together could make the node talk to hosts of its owner's networks.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from cidery.host_names import TooManyLookups, addresses_of
from cidery.identity.peer_id import PeerId
from cidery.kad.service import KadService
from cidery.libp2p.io.swarm import Swarm
from cidery.multiformats.address_filter import is_public
from cidery.multiformats.cid import CID
from cidery.multiformats.multiaddr import Multiaddr
from cidery.node.reach import Reach
from cidery.retrieval.service import GatewaySources
from cidery.routing.interface import FoundPeer, PeerFinder, ProviderFinder
from cidery.routing.service import JoinedRouting

MAX_NAMES = 4
"""Host names of one provider that are looked up."""


class _Wan:
    """The public half of the DHT, as a router."""

    def __init__(self, kad: KadService) -> None:
        self._kad = kad

    def find_providers(self, cid: CID, count: int = 0) -> AsyncGenerator[FoundPeer, None]:
        return self._kad.find_public_providers(cid, count)

    async def find_peer(self, peer: PeerId) -> FoundPeer | None:
        return await self._kad.find_public_peer(peer)


class PublicReach(Reach):
    """Satisfies routing.interface.ProviderFinder, and reaches what it finds, at public addresses alone."""

    def __init__(self, routing: JoinedRouting, swarm: Swarm, gateways: GatewaySources, *, routed: bool) -> None:
        """``routing``: everything that is asked for the user. ``routed``: whether gateways that it names are asked."""
        super().__init__(swarm, gateways, lambda peer: self._public().find_peer(peer), routed=routed, local=False)
        self._routing = routing

    def _public(self) -> JoinedRouting:
        joined = JoinedRouting()
        kads = {one: _Wan(one) for one in self._routing.providers if isinstance(one, KadService)}
        providers: list[ProviderFinder] = [kads.get(one, one) for one in self._routing.providers]  # type: ignore[call-overload]
        peers: list[PeerFinder] = [kads.get(one, one) for one in self._routing.peers]  # type: ignore[call-overload]
        joined.providers, joined.peers = providers, peers
        return joined

    async def find_providers(self, cid: CID, count: int = 0) -> AsyncGenerator[FoundPeer, None]:
        async with aclosing(self._public().find_providers(cid, count)) as found:
            async for peer in found:
                yield peer

    async def _dial(self, peer: PeerId, addrs: Sequence[Multiaddr]) -> None:
        await self._swarm.dial(peer, await self.dialable(addrs), allows=_is_public)

    async def dialable(self, addrs: Sequence[Multiaddr]) -> list[Multiaddr]:
        """The public ones, those behind names included. Cancel-safe."""
        kept: list[Multiaddr] = []
        names = 0
        for addr in addrs:
            host = addr.host() if self._swarm.takes(addr) else None
            if host is None or is_public(host):
                kept += [addr] if host is not None else []
            elif _is_name(host) and names < MAX_NAMES and self._swarm.config.addresses.allows_host(host):
                names += 1
                try:
                    found = await addresses_of(host)
                except (OSError, TooManyLookups):
                    continue
                kept += [addr.with_name().at_host(ip) for _, ip in found if is_public(ip)]
        return kept


def _is_public(addr: Multiaddr) -> bool:
    host = addr.host()
    return host is not None and is_public(host)


def _is_name(host: str) -> bool:
    return ":" not in host and not host.replace(".", "").isdigit()
