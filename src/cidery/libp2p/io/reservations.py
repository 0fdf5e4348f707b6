"""Keeps this node reachable through relays: asks for reservations, renews them, and looks for other relays in time."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import replace

from cidery.errors import CideryError
from cidery.identity.peer_id import PeerId
from cidery.libp2p.io.relay_transport import HOP_BASE, ask_hop
from cidery.libp2p.io.swarm import Swarm
from cidery.libp2p.protocols.addresses import believed_from, keep
from cidery.libp2p.protocols.relay_client import Relays, granted
from cidery.libp2p.protocols.relay_messages import HOP, HopMessage, HopType, RelayError
from cidery.libp2p.protocols.relayed import is_relayed, through
from cidery.multiformats.multiaddr import Multiaddr, MultiaddrError
from cidery.tasks import Tasks

log = logging.getLogger("cidery.libp2p")

LOOK_EVERY = 5.0
"""Seconds between two looks whether a relay is to be asked; a loss is looked at sooner."""
SEEK_EVERY = 60.0
"""Seconds between two searches for candidates, while some are missing."""
MOST_ADDRS = 8
"""Addresses of one relay that are announced."""
FAILED_LATELY = 8
"""Failures remembered for people."""

Candidates = Callable[[], AsyncGenerator[tuple[PeerId, tuple[Multiaddr, ...]], None]]
"""Peers that may be relays, likeliest first."""


class Reservations:
    """``start()`` begins, ``close()`` ends. ``relays.reservations`` is what is granted now."""

    def __init__(
        self,
        swarm: Swarm,
        relays: Relays,
        *,
        wanted: Callable[[], bool],
        candidates: Candidates,
        on_change: Callable[[], Awaitable[None]],
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        """``wanted``: whether this node needs relays now. ``on_change``: awaited when its relayed addresses change."""
        self.relays = relays
        self.failures: dict[PeerId, str] = {}
        """Why relays did not grant, the latest last."""
        self._asking: PeerId | None = None
        self._swarm = swarm
        self._wanted = wanted
        self._candidates = candidates
        self._on_change = on_change
        self._wall_clock = wall_clock
        self._sought_at = float("-inf")
        self._wake = asyncio.Event()
        self._tasks = Tasks()
        swarm.on_disconnected.append(self._disconnected)

    def start(self) -> None:
        self._tasks.spawn(self._run())

    async def close(self) -> None:
        await self._tasks.close()

    def addrs(self) -> list[Multiaddr]:
        """Where others reach this node through its relays, without /p2p at the end."""
        out: dict[Multiaddr, None] = {}
        for one in self.relays.reservations.values():
            for raw in one.addrs:
                addr = _relay_addr(raw, one.relay)
                if addr is not None:
                    out[addr] = None
        return list(out)

    def reserved(self, relay: PeerId) -> bool:
        """Whether a relay may bring others here: it granted that, or is about to."""
        return relay in self.relays.reservations or relay == self._asking

    def protects(self, peer: PeerId) -> bool:
        """Whether the connection to a peer carries a reservation."""
        return peer in self.relays.reservations

    def _disconnected(self, peer: PeerId) -> None:
        if self.relays.lost(peer, self._swarm.clock()):
            log.info("the relay %s is gone", peer)
            self._noted(peer, "its connection ended")
            self._tasks.spawn(self._changed())
            self._wake.set()

    async def _changed(self) -> None:
        await self._on_change()

    # --- the loop

    async def _run(self) -> None:
        while True:
            try:
                await self._look()
            except (CideryError, TimeoutError, OSError) as exc:
                log.debug("relays: %s", exc)
            self._wake.clear()
            try:
                async with asyncio.timeout(LOOK_EVERY):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def _look(self) -> None:
        now = self._swarm.clock()
        if ended := self.relays.expire(now):
            log.info("reservations ended at %s", ", ".join(map(str, ended)))
            await self._on_change()
        if not self._wanted():
            if self.relays.reservations:
                self.relays.reservations.clear()
                await self._on_change()
            return
        if self.relays.wants_candidates and now - self._sought_at >= SEEK_EVERY:
            self._sought_at = now
            await self._seek()
        while (asked := self.relays.next(self._swarm.clock())) is not None:
            await self._ask(*asked)

    async def _seek(self) -> None:
        async with aclosing(self._candidates()) as found:
            async for relay, addrs in found:
                if relay != self._swarm.local_peer:
                    self.relays.named(relay, addrs, self._swarm.clock())

    async def _ask(self, relay: PeerId, addrs: tuple[Multiaddr, ...]) -> None:
        before = self.addrs()
        self._asking = relay
        try:
            await self._reserve(relay, addrs)
        except (CideryError, TimeoutError, OSError) as exc:
            log.debug("reservation at %s: %s", relay, exc)
            self._noted(relay, str(exc) or "no answer in time")
            self.relays.failed(relay, self._swarm.clock())
        finally:
            self._asking = None
        if self.addrs() != before:
            await self._on_change()

    async def _reserve(self, relay: PeerId, addrs: tuple[Multiaddr, ...]) -> None:
        # "the reservation remains valid until its expiration, as long as there is an active connection"
        connection = await self._swarm.dial(relay, addrs, allows=lambda addr: not is_relayed(addr))
        if connection.relayed:
            raise RelayError("no reservation over a relayed connection")
        stream = await connection.open_stream([HOP])
        try:
            async with asyncio.timeout(connection.wait(HOP_BASE)):
                answer = await ask_hop(stream, HopMessage(HopType.RESERVE))
        finally:
            stream.reset("the reservation is made")
        grant, limit = granted(answer)
        # a relay shall not have others dial whom it likes
        believed = believed_from(connection.remote_addr.encode() if connection.remote_addr is not None else None)
        told = [raw for raw in keep(grant.addrs, believed) if _relay_addr(raw, relay) is not None]
        grant = replace(grant, addrs=tuple(told[:MOST_ADDRS]))
        if not told:
            raise RelayError("a reservation without addresses of the relay")
        if connection.closed.done():
            raise RelayError("its connection ended")
        self.relays.took(relay, grant, limit, self._swarm.clock(), self._wall_clock())
        self.failures.pop(relay, None)

    def _noted(self, relay: PeerId, reason: str) -> None:
        self.failures.pop(relay, None)
        self.failures[relay] = reason
        while len(self.failures) > FAILED_LATELY:
            del self.failures[next(iter(self.failures))]


def _relay_addr(raw: bytes, relay: PeerId) -> Multiaddr | None:
    """What a relay says of itself as the address of a node behind it; None if it names others, or a relay."""
    try:
        addr = Multiaddr.decode(raw)
    except MultiaddrError:
        return None
    if is_relayed(addr) or addr.peer_id_bytes not in (None, relay.multihash):
        return None
    bare = addr.without_peer()
    if not bare.components:
        return None
    return through(relay, bare)
