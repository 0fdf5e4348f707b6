"""Connections that are kept, made and closed: peering, bootstrap, and the limits of Swarm.ConnMgr."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from cidery.errors import CideryError, InvalidInput
from cidery.identity.peer_id import PeerId
from cidery.libp2p.io.connection import Connection
from cidery.libp2p.io.swarm import Swarm
from cidery.multiformats.multiaddr import Multiaddr
from cidery.routing.service import JoinedRouting
from cidery.tasks import Tasks

log = logging.getLogger("cidery.node")

BACKOFF_BASE = 5.0
"""Seconds before a lost peer is dialled again; doubles with each failure (Kubo's value)."""
BACKOFF_CEILING = 600.0
"""Longest pause in seconds."""
LOOK_EVERY = 10.0
"""Seconds between two checks for too many connections, or for no peers at all."""
MAX_PEERED = 256
"""Peers that are kept connected: a mistake should not make hundreds of connections permanent."""


class TooManyPeered(InvalidInput):
    """Too many peers to keep connected."""

    def __str__(self) -> str:
        return f"at most {MAX_PEERED} peers can be kept connected; remove one with: cidery swarm peering rm PEER"


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """See Swarm.ConnMgr of the config."""

    low_water: int
    high_water: int
    grace: float
    """Seconds that a new connection is left alone."""


class _Kept:
    """One peer that is kept connected."""

    def __init__(self, addrs: Sequence[Multiaddr]) -> None:
        self.addrs = list(addrs)
        self.lost = asyncio.Event()
        self.task: asyncio.Task[None] | None = None


class Upkeep:
    """One per node; ``start()`` begins its tasks, ``close()`` ends them."""

    def __init__(
        self,
        swarm: Swarm,
        limits: ConnectionLimits,
        *,
        dial: Callable[[Multiaddr], Awaitable[object]],
        knows_nobody: Callable[[], bool],
        value_of: Callable[[PeerId], int],
        entropy: Callable[[int], bytes],
    ) -> None:
        """``dial``: connect to an address with /p2p, names resolved. ``knows_nobody``: bootstrap is needed.

        ``value_of``: how much a peer is worth keeping; connections of little value are closed first.
        """
        self._swarm = swarm
        self._limits = limits
        self._dial = dial
        self._knows_nobody = knows_nobody
        self.values = [value_of]
        """How much a peer is worth to the parts of the node: the most counts."""
        self._entropy = entropy
        self._kept: dict[PeerId, _Kept] = {}
        self._bootstraps = False
        self._tasks = Tasks()
        swarm.on_disconnected.append(self._lost)

    def start(self, bootstrap: Sequence[Multiaddr], peering: Mapping[PeerId, Sequence[Multiaddr]]) -> None:
        """``bootstrap``: dialled now, and again whenever no peer is known. ``peering``: kept from now on."""
        for peer, addrs in peering.items():
            self.add(peer, addrs)
        if bootstrap:
            self._bootstraps = True
            self._tasks.spawn(self._bootstrap(list(bootstrap)))
        self._tasks.spawn(self._trim())

    @property
    def seeks(self) -> bool:
        """Whether there are bootstrap peers, or peers to be kept connected."""
        return self._bootstraps or bool(self._kept)

    def alone(self, routing: JoinedRouting, *discoveries: object) -> bool:
        """Whether there is nobody to ask for content, and nothing that could find anybody."""
        return routing.empty and not (self._swarm.busy or self.seeks or any(discoveries))

    async def close(self) -> None:
        await self._tasks.close()

    # --- peering

    def add(self, peer: PeerId, addrs: Sequence[Multiaddr]) -> None:
        """Keep a connection to ``peer``; new addresses replace the old ones. Raises TooManyPeered."""
        kept = self._kept.get(peer)
        if kept is not None:
            kept.addrs = list(addrs)
            kept.lost.set()
            return
        if len(self._kept) >= MAX_PEERED:
            raise TooManyPeered
        kept = self._kept[peer] = _Kept(addrs)
        kept.task = self._tasks.spawn(self._keep(peer, kept))

    def remove(self, peer: PeerId) -> bool:
        """Stop keeping a peer; its connection stays for now. False if it was not kept."""
        kept = self._kept.pop(peer, None)
        if kept is not None and kept.task is not None:
            kept.task.cancel()
        return kept is not None

    def peered(self) -> dict[PeerId, list[Multiaddr]]:
        return {peer: list(kept.addrs) for peer, kept in self._kept.items()}

    def _lost(self, peer: PeerId) -> None:
        kept = self._kept.get(peer)
        if kept is not None:
            kept.lost.set()

    async def _keep(self, peer: PeerId, kept: _Kept) -> None:
        failures = 0
        while True:
            if self._swarm.best(peer, limited=True) is not None or await self._reach(peer, kept):
                failures = 0
                kept.lost.clear()
                if self._swarm.best(peer, limited=True) is not None:
                    await kept.lost.wait()
            else:
                failures += 1
            if failures:
                kept.lost.clear()
                try:
                    async with asyncio.timeout(self._pause(failures)):
                        await kept.lost.wait()  # new addresses are tried immediately
                except TimeoutError:
                    continue

    async def _reach(self, peer: PeerId, kept: _Kept) -> bool:
        addrs = [addr.with_peer(peer.multihash) for addr in kept.addrs] or [Multiaddr(()).with_peer(peer.multihash)]
        for addr in addrs:
            try:
                await self._dial(addr)
            except (CideryError, TimeoutError, OSError) as exc:
                log.debug("peering with %s: %s", peer, exc)
                continue
            return True
        return False

    def _pause(self, failures: int) -> float:
        """Doubles up to the ceiling, less up to a quarter at random, so that many nodes do not dial simultaneously."""
        full = min(BACKOFF_CEILING, BACKOFF_BASE * 2.0 ** min(failures - 1, 10))
        return full * (1 - self._entropy(1)[0] / 1024)

    # --- bootstrap

    async def _bootstrap(self, addrs: list[Multiaddr]) -> None:
        failures = 0
        while True:
            if self._knows_nobody():
                results = await asyncio.gather(*(self._try(addr) for addr in addrs))
                failures = 0 if any(results) else failures + 1
            await asyncio.sleep(self._pause(failures) if failures else LOOK_EVERY)

    async def _try(self, addr: Multiaddr) -> bool:
        try:
            await self._dial(addr)
        except (CideryError, TimeoutError, OSError) as exc:
            log.info("bootstrap peer %s: %s", addr, exc)
            return False
        return True

    # --- limits

    async def _trim(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY)
            for connection in self.superfluous():
                connection.close("too many connections")

    def superfluous(self) -> list[Connection]:
        """Connections to close now: down to the low water mark once there are more than the high one.

        Peered ones and those younger than the grace period stay; the least valuable and oldest go first.
        """
        everything, now = self._swarm.connections(), self._swarm.clock()
        if len(everything) <= self._limits.high_water:
            return []
        able = [
            connection
            for connection in everything
            if connection.secured is not None
            and connection.peer not in self._kept
            and now - connection.opened_at >= self._limits.grace
        ]
        able.sort(key=lambda one: (max(value(one.peer) for value in self.values), one.opened_at))
        return able[: len(everything) - self._limits.low_water]
