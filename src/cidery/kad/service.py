"""The DHT of a node: WAN and LAN side by side, their upkeep, and the routing interface over both.

Satisfies the protocols of routing.interface. The LAN serves from the start; in the WAN a node is a client until it is
known to be reachable from outside.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from cidery.errors import CideryError
from cidery.identity.peer_id import PeerId
from cidery.kad.io.dht import Dht, DhtConfig, parsed
from cidery.kad.io.provider_store import DiskProviders
from cidery.kad.io.value_store import MemoryValues
from cidery.kad.key import K, position
from cidery.kad.message import LAN_PROTOCOL, WAN_PROTOCOL, DhtMessage, MessageType, PeerInfo
from cidery.kad.records import RecordInvalid, Validators
from cidery.kad.routing_table import REFRESH_INTERVAL, restore
from cidery.kad.stores import MemoryProviders
from cidery.libp2p.io.swarm import Swarm
from cidery.libp2p.protocols.addresses import Scope
from cidery.multiformats.cid import CID
from cidery.multiformats.multiaddr import Multiaddr
from cidery.repo.cache import Cache
from cidery.routing.interface import FoundPeer
from cidery.routing.service import merged
from cidery.tasks import Tasks, end, in_thread, logged

log = logging.getLogger("cidery.kad")

FLUSH_EVERY = 2.0
"""Seconds between two writes of received records to the disk: one sync for all that came."""
EXPIRE_EVERY = 60.0
"""Seconds between two looks for records that are over."""
SAVE_EVERY = 300.0
"""Seconds between two writes of the routing table."""
FIRST_REFRESH = 1.0
"""Seconds after which a table that has got its first peers is filled by look-ups."""
REFRESH_PAUSE = 5.0
"""Seconds between two look-ups of a refresh: an idle node has time."""


@dataclass(frozen=True, slots=True)
class KadOptions:
    """How a node takes part."""

    wan_server: bool = False
    """Serve the public network at once (``dhtserver``); else when set_reachable() says so."""
    client_only: bool = False
    """Serve nobody (``dhtclient``)."""
    loopback: bool = False
    """Addresses of this machine count as a LAN: for several nodes on one machine."""


class KadService:
    """One per node."""

    def __init__(
        self,
        swarm: Swarm,
        *,
        cache: Cache | None,
        validators: Validators,
        options: KadOptions,
        speaks: Callable[[PeerId, str], bool],
        own_addrs: Callable[[], list[Multiaddr]],
        entropy: Callable[[int], bytes],
        wall_clock: Callable[[], float],
        on_mode_changed: Callable[[], Coroutine[Any, Any, None]] | None = None,
        refuses: Callable[[bytes], bool] | None = None,
    ) -> None:
        """``cache`` None: nothing survives. ``own_addrs``: where others can reach this node.

        ``on_mode_changed`` is awaited after the protocols changed: others are told. ``refuses``: whether providers of
        a content key are neither kept nor told when others ask.
        """
        self.options = options
        self.validators = validators
        self.providers: DiskProviders | MemoryProviders = MemoryProviders()
        self.values = MemoryValues()
        if cache is not None:
            self.providers = DiskProviders(cache.environment, cache.table("providers"), cache.table("provider-peers"))
            self.values = MemoryValues(cache.environment, cache.table("values"))
        self._on_mode_changed = on_mode_changed
        self._swarm = swarm
        self._cache = cache
        self._entropy = entropy
        self._wall_clock = wall_clock
        self._tasks = Tasks()
        lan = frozenset({Scope.PRIVATE, Scope.LOOPBACK} if options.loopback else {Scope.PRIVATE})
        everywhere = lan | {Scope.PUBLIC}
        public = frozenset({Scope.PUBLIC})
        self.both = tuple(
            Dht(
                config,
                swarm,
                validators,
                providers=self.providers,
                values=self.values,
                speaks=speaks,
                own_addrs=own_addrs,
                wall_clock=wall_clock,
                refuses=refuses,
            )
            for config in (
                DhtConfig("wan", WAN_PROTOCOL, public, public, diverse=True),
                DhtConfig("lan", LAN_PROTOCOL, lan, everywhere, diverse=False),
            )
        )
        self.wan, self.lan = self.both
        self.lan.serve(not options.client_only)
        self.wan.serve(options.wan_server and not options.client_only)
        swarm.on_disconnected.append(self._disconnected)

    # --- life

    async def start(self) -> None:
        """Take up the tables of the last run and keep them well."""
        for dht in self.both:
            saved = self._cache.note(f"kad-{dht.config.name}") if self._cache is not None else None
            if saved is not None:
                self._tasks.spawn(logged(self._revive(dht, restore(saved)), log, logging.WARNING))
            self._tasks.spawn(logged(self._refresh(dht), log, logging.WARNING))
        if self._cache is not None:
            self._tasks.spawn(logged(self._keep_records(), log, logging.WARNING))
            self._tasks.spawn(logged(self._save_tables(), log, logging.WARNING))

    async def close(self) -> None:
        await self._tasks.close()
        for dht in self.both:
            await dht.close()
        if self._cache is not None:
            await in_thread(self._flush)
            self._save()

    async def set_reachable(self, reachable: bool) -> None:
        """What is known of this node's reachability from outside: a reachable one serves the WAN."""
        wanted = (reachable or self.options.wan_server) and not self.options.client_only
        if self.wan.serve(wanted) and self._on_mode_changed is not None:
            await self._on_mode_changed()

    # --- peers

    def learned(self, peer: PeerId) -> None:
        """Identify said (again) what a connected peer speaks. Called by the owner of identify."""
        for dht in self.both:
            dht.learn(peer)

    def _disconnected(self, peer: PeerId) -> None:
        for dht in self.both:
            dht.rpc.forget(peer)

    async def _revive(self, dht: Dht, saved: Sequence[PeerInfo]) -> None:
        """Ask those of the last run for a sign of life, some at a time; who answers has a place again."""
        turns = asyncio.Semaphore(8)

        async def greet(info: PeerInfo) -> bool:
            async with turns:
                return await self._greet(dht, info)

        await asyncio.gather(*(greet(info) for info in saved))

    async def _greet(self, dht: Dht, info: PeerInfo) -> bool:
        """Whether a peer answers; the table learns of it."""
        dht.remember(info)
        try:
            async with asyncio.timeout(dht.wait_for(self._swarm.config.timeouts.stream_base)):
                await dht.rpc.request(info.peer, DhtMessage(MessageType.FIND_NODE, self._swarm.local_peer.multihash))
        except (CideryError, TimeoutError, OSError):
            dht.table.failed(info.peer)
            return False
        dht.table.answered(info, self._swarm.clock())
        return True

    # --- upkeep

    async def _refresh(self, dht: Dht) -> None:
        """Fill the table when it has its first peers, then keep it fresh."""
        clock, last = self._swarm.clock, 0
        while True:
            if not len(dht.table):
                await asyncio.sleep(FIRST_REFRESH)
                last = 0
                continue
            keys = dht.table.refresh_keys(clock(), self._entropy)
            for key in keys:
                await dht.lookup(DhtMessage(MessageType.FIND_NODE, key))
                if last:
                    await asyncio.sleep(REFRESH_PAUSE)
            for info in dht.table.stale(clock()):
                await self._greet(dht, info)
            grown, last = len(dht.table) > 2 * last, len(dht.table)
            await asyncio.sleep(FIRST_REFRESH if grown else REFRESH_INTERVAL)

    async def _keep_records(self) -> None:
        assert isinstance(self.providers, DiskProviders)  # there is a cache
        next_look = self._wall_clock() + EXPIRE_EVERY
        while True:
            await asyncio.sleep(FLUSH_EVERY)
            await in_thread(self._flush)
            if self._wall_clock() >= next_look:
                next_look = self._wall_clock() + EXPIRE_EVERY
                await in_thread(self.providers.expire, self._wall_clock())

    def _flush(self) -> None:
        if isinstance(self.providers, DiskProviders) and self.providers.pending:
            self.providers.flush()
        self.values.flush()

    async def _save_tables(self) -> None:
        while True:
            await asyncio.sleep(SAVE_EVERY)
            saved = [(f"kad-{dht.config.name}", dht.table.save()) for dht in self.both if len(dht.table)]
            await in_thread(self._write_notes, saved)

    def _save(self) -> None:
        self._write_notes([(f"kad-{dht.config.name}", dht.table.save()) for dht in self.both if len(dht.table)])

    def _write_notes(self, notes: Sequence[tuple[str, bytes]]) -> None:
        assert self._cache is not None  # only called with one
        for name, value in notes:
            self._cache.set_note(name, value)

    # --- routing.interface

    def _live(self) -> list[Dht]:
        """The DHTs that know anybody."""
        return [dht for dht in self.both if len(dht.table)]

    async def find_providers(self, cid: CID, count: int = 0) -> AsyncGenerator[FoundPeer, None]:
        """Those whose records this node holds first, then those that both DHTs name. See routing.interface."""
        seen: set[PeerId] = set()
        for held in self.held(cid):
            if len(seen) < (count or len(seen) + 1):
                seen.add(held.peer)
                yield held
        if count and len(seen) >= count:
            return
        async with aclosing(merged([dht.find_providers(cid.multihash, count) for dht in self._live()])) as found:
            async for info in found:
                if info.peer not in seen:
                    seen.add(info.peer)
                    addrs = tuple(parsed(info.addrs)) or tuple(self._swarm.peer_store.addrs(info.peer))
                    yield FoundPeer(info.peer, addrs)
                    if len(seen) == count:
                        return

    async def find_public_providers(self, cid: CID, count: int) -> AsyncGenerator[FoundPeer, None]:
        """Those that the WAN names, for strangers: no peer of a network of our own is asked."""
        if len(self.wan.table):
            async with aclosing(self.wan.find_providers(cid.multihash, count)) as found:
                async for info in found:
                    yield FoundPeer(info.peer, tuple(parsed(info.addrs)))

    async def find_public_peer(self, peer: PeerId) -> FoundPeer | None:
        """What the WAN says."""
        info = await self.wan.find_peer(peer) if len(self.wan.table) else None
        return None if info is None else FoundPeer(info.peer, tuple(parsed(info.addrs)))

    def held(self, cid: CID) -> list[FoundPeer]:
        """Others whose records for ``cid`` this node holds as a server of the DHT."""
        peers = self.providers.get(cid.multihash, self._wall_clock())
        store = self._swarm.peer_store
        return [FoundPeer(peer, tuple(store.addrs(peer))) for peer in peers if peer != self._swarm.local_peer]

    async def find_peer(self, peer: PeerId) -> FoundPeer | None:
        """Known addresses of a connected peer, else what the first of both DHTs says. See routing.interface."""
        if self._swarm.best(peer) is not None:
            return FoundPeer(peer, tuple(self._swarm.peer_store.addrs(peer)))
        tasks = [asyncio.create_task(dht.find_peer(peer)) for dht in self._live()]
        try:
            for task in asyncio.as_completed(tasks):
                found = await task
                if found is not None and found.addrs:
                    return FoundPeer(peer, tuple(parsed(found.addrs)))
        finally:
            await end(tasks)
        return None

    async def closest_peers(self, key: bytes) -> list[FoundPeer]:
        """The nearest peers of both DHTs, nearest first."""
        found = await asyncio.gather(*(dht.closest(key) for dht in self._live()))
        target = position(key)
        infos = {info.peer: info for infos in found for info in infos}
        nearest = sorted(infos.values(), key=lambda info: position(info.peer.multihash) ^ target)[:K]
        return [FoundPeer(info.peer, tuple(parsed(info.addrs))) for info in nearest]

    async def provide(self, cid: CID) -> int:
        """Announce in both DHTs at once; how many peers took it. See routing.interface."""
        return sum(await asyncio.gather(*(dht.provide(cid.multihash) for dht in self.both)))

    async def search_value(self, key: bytes, quorum: int = 16) -> AsyncGenerator[bytes, None]:
        """Valid values of the own store and of both DHTs, each better than the one before. See routing.interface."""
        own = self.values.get(key, self._wall_clock())
        best = self.validators.best(key, [own[0]]) if own is not None else None
        if best is not None:
            yield best

        async with aclosing(merged([dht.search_value(key, quorum) for dht in self._live()])) as values:
            async for value in values:
                better = self.validators.best(key, [value] if best is None else [value, best])
                if better is not None and better != best:
                    best = better
                    yield better

    async def put_value(self, key: bytes, value: bytes) -> int:
        """Store here and at the nearest peers of both DHTs; how many peers confirmed. Raises RecordInvalid."""
        self.validators.validate(key, value)
        known = self.values.get(key, self._wall_clock())
        if known is not None and self.validators.best(key, [value, known[0]]) != value:
            raise RecordInvalid("an older value than the one held here")
        self.values.put(key, value, self._wall_clock())
        return sum(await asyncio.gather(*(dht.put_value(key, value) for dht in self._live())))
