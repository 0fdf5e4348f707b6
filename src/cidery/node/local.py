"""The local network, composed: nodes found by multicast DNS are dialled, and this node makes itself discoverable."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from cidery.errors import CideryError
from cidery.identity.peer_id import PeerId
from cidery.libp2p.io.identify import Identification
from cidery.libp2p.io.mdns import LocalDiscovery, interface_addresses
from cidery.libp2p.io.swarm import Swarm
from cidery.multiformats.multiaddr import Multiaddr
from cidery.tasks import Tasks

log = logging.getLogger("cidery.node")

MAX_DIALS = 8
"""Concurrent dials of nodes found."""
MAX_WAITING = 256
"""Nodes found that wait for their dial; others are reported again in a minute."""
LOOK_EVERY = 10.0
"""Seconds between two looks at this machine's own addresses, which change when it moves; a look takes a millisecond."""


AGAIN = (1.0, 3.0, 10.0, 30.0, 60.0, 120.0)
"""Seconds before each dial of a local node that was lost: time to plug in a cable, or for a machine to wake up."""
MAX_NEAR = 512
"""Local nodes that are dialled again when lost; the one found longest ago is forgotten."""


@dataclass(frozen=True, slots=True)
class LocalOptions:
    """Discovery on local networks."""

    interfaces: tuple[str, ...] = ()
    """Own IP addresses to use; empty: all."""
    fingerprint: str = ""
    """Service name of a private network, which differs from the public one."""


FIRST_LOOK = 1.0
"""Seconds after the start until the addresses are looked at, unless somebody asks: a start has enough to do."""


class OwnAddresses:
    """interface_addresses(), asked of the system at most every LOOK_EVERY seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._known: list[str] = []
        self._until = float("-inf")

    async def watch(self, on_change: Callable[[set[str]], Awaitable[None]]) -> None:
        """Call with the removed addresses whenever they have changed; never returns."""
        await asyncio.sleep(FIRST_LOOK)
        known = set(await asyncio.to_thread(self))  # the first time it imports what asks the system
        while True:
            await asyncio.sleep(LOOK_EVERY)
            self._until = float("-inf")
            now = set(await asyncio.to_thread(self))
            if now != known:
                known, gone = now, known - now
                await on_change(gone)

    def __call__(self) -> list[str]:
        now = self._clock()
        if now >= self._until:
            self._until = now + LOOK_EVERY
            try:
                self._known = interface_addresses()
            except OSError as exc:
                log.info("own addresses: %s", exc)
        return self._known


class LocalPeers:
    """Started with the network, closed with it. A machine without a network has no local peers, and no error."""

    def __init__(
        self, options: LocalOptions, swarm: Swarm, identification: Identification, entropy: Callable[[int], bytes]
    ) -> None:
        self._swarm = swarm
        self._identification = identification
        self._fixed = list(options.interfaces)
        self._turns = asyncio.Semaphore(MAX_DIALS)
        self._waiting = 0
        self._tasks = Tasks()
        self._near: OrderedDict[PeerId, list[Multiaddr]] = OrderedDict()
        """Nodes found here, with their latest addresses."""
        self._seeking: set[PeerId] = set()
        self._started = False
        swarm.on_lost.append(self.seek)
        self.discovery = LocalDiscovery(
            self.addrs, self._found, entropy, interfaces=options.interfaces, fingerprint=options.fingerprint
        )

    def addrs(self) -> list[Multiaddr]:
        """Addresses to announce: those that other machines can reach; if there are none, those of this machine."""
        known = self._identification.advertised_addrs()
        outer = [addr for addr in known if not _is_loopback(addr)]
        peer = self._swarm.local_peer
        return [addr.with_peer(peer.multihash) for addr in outer or known]

    def start(self) -> None:
        """In the background: joining takes half a second, and nothing waits for it."""
        self._started = True
        self._tasks.spawn(self._run())

    async def close(self) -> None:
        self._started = False
        await self._tasks.close()
        await self.discovery.close()

    async def _run(self) -> None:
        """Join the current networks, and again when they change; announce changes."""
        joined: list[str] | None = None
        failed = ""
        while True:
            try:
                networks = self._fixed or interface_addresses()
                if networks != joined:
                    joined = None
                    await self.discovery.close()
                    await self.discovery.start()
                    joined, failed = networks, ""
                else:
                    await self.discovery.announce()
            except OSError as exc:
                if str(exc) != failed:
                    failed = str(exc)
                    log.warning("no discovery on the local network: %s", exc)
            await asyncio.sleep(LOOK_EVERY)

    def _found(self, peer: PeerId, addrs: Sequence[Multiaddr]) -> None:
        if peer == self._swarm.local_peer or self._waiting >= MAX_WAITING:
            return
        allowed = [addr for addr in addrs if self._swarm.config.addresses.allows(addr)]
        if not allowed:
            return
        self._swarm.peer_store.add_addrs(peer, allowed)
        self._near[peer] = allowed
        self._near.move_to_end(peer)
        if len(self._near) > MAX_NEAR:
            self._near.popitem(last=False)
        if self._swarm.best(peer) is None:
            self._waiting += 1
            self._tasks.spawn(self._dial(peer, allowed))

    async def _dial(self, peer: PeerId, addrs: list[Multiaddr]) -> None:
        try:
            await self._reach(peer, addrs)
        finally:
            self._waiting -= 1

    async def _reach(self, peer: PeerId, addrs: list[Multiaddr]) -> None:
        try:
            async with self._turns:
                await self._swarm.dial(peer, addrs)
        except (CideryError, TimeoutError, OSError) as exc:
            log.info("local peer %s: %s", peer, exc)

    def seek(self, peer: PeerId) -> None:
        """Dial a node again that was found here, until it is connected or some minutes have passed."""
        if peer in self._near and self._started and peer not in self._seeking:
            self._seeking.add(peer)
            self._tasks.spawn(self._seek(peer))

    async def _seek(self, peer: PeerId) -> None:
        try:
            for pause in AGAIN:
                await asyncio.sleep(pause)
                if peer not in self._near or self._swarm.best(peer) is not None:
                    return
                await self._reach(peer, self._near[peer])
        finally:
            self._seeking.discard(peer)


def _is_loopback(addr: Multiaddr) -> bool:
    host = addr.host()
    return host is not None and (host == "::1" or host.startswith("127."))
