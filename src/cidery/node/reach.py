"""Connects to the peers that routing names; what is a gateway among their addresses is noted as one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from cidery.identity.peer_id import PeerId
from cidery.libp2p.io.swarm import Swarm
from cidery.multiformats.multiaddr import Multiaddr
from cidery.retrieval.gateway_url import gateway_url
from cidery.retrieval.service import GatewaySources
from cidery.routing.interface import FoundPeer

Find = Callable[[PeerId], Awaitable[FoundPeer | None]]


class Reach:
    """What one kind of fetches may reach."""

    def __init__(self, swarm: Swarm, gateways: GatewaySources, find: Find, *, routed: bool, local: bool) -> None:
        """``find``: looks up the addresses of a peer. ``routed``: whether gateways that routing names are asked, and
        ``local``: also those in one's own networks."""
        self._swarm = swarm
        self._gateways = gateways
        self._find = find
        self._routed = routed
        self._local = local

    async def reach(self, found: FoundPeer) -> None:
        """Connect; without known addresses, look the peer up first. Gateways are noted. Raises as dial()."""
        addrs = found.addrs
        urls = [url for addr in addrs if (url := gateway_url(addr, local=self._local)) is not None]
        if urls and self._routed:
            for url in urls:
                self._gateways.add(url, inside=self._local)
            if not any(map(self._swarm.takes, addrs)):
                return
        if not addrs and not self._swarm.peer_store.addrs(found.peer):
            known = await self._find(found.peer)
            addrs = known.addrs if known is not None else ()
        await self._dial(found.peer, addrs)

    async def _dial(self, peer: PeerId, addrs: Sequence[Multiaddr]) -> None:
        await self._swarm.dial(peer, addrs)
