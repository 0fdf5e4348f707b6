"""Announces what this node has: roots at once, everything in a sweep that survives restarts (see kad/sweep.py)."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, OrderedDict
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

from cidery.errors import CideryError
from cidery.kad.io.dht import Dht
from cidery.kad.io.provide_set import BATCH, FETCHED, GATHERINGS, ProvideSet
from cidery.kad.key import K
from cidery.kad.message import DhtMessage, MessageType, PeerInfo
from cidery.kad.sweep import CycleCount, Exploration, Region, Schedule, region_bits
from cidery.repo.cache import Cache
from cidery.tasks import in_thread

log = logging.getLogger("cidery.kad.provide")

NOTE, GATHERING_NOTE = "provide-schedule", "provide-gathering"
MAX_URGENT = 4096
"""Roots that wait to be announced at once; further ones are left to the sweep."""
URGENT_WORKERS = 4
"""Roots announced at the same time."""
GATHER_FRESH = 2.0
"""Seconds that new keys wait for each other before their regions are announced."""
IDLE = 5.0
"""Longest seconds between two looks whether something is due."""
REST = 60.0
"""Seconds that new keys wait after nobody took them."""
SENDERS = 20
"""Peers of a region that get their records at the same time."""
MAX_BY_HAND = 4096
"""Keys announced by others of which the last announcement is remembered, until the end of the process."""
LEAST_NETWORK = 100.0
"""Network size assumed before one is known: then a region is the whole key space."""


@dataclass(frozen=True, slots=True)
class AnnounceOptions:
    """See the Provide section of the config."""

    interval: float = 22 * 3600.0
    """Seconds for one round over all keys; 0: no rounds."""


@dataclass(slots=True)
class AnnounceStat:
    """How the announcing goes, honestly."""

    keys: int
    """In the set."""
    fresh: int
    """Never announced yet."""
    late: int
    """Announced, but longer than an interval (and a tenth) ago."""
    urgent: int
    """Roots that wait to be announced at once."""
    done: int
    """Announced within the interval."""
    interval: float
    cycle: CycleCount
    last: CycleCount | None
    outside: CycleCount
    """New keys."""
    roots: int
    """Roots announced at once since the start."""
    roots_failed: int
    next_at: float | None
    """Wall clock seconds of the next region; None without rounds."""
    regions: int
    peers: dict[str, int] = field(default_factory=dict)
    """DHT -> peers known."""


@dataclass(frozen=True, slots=True)
class KeyAnnounced:
    """How the announcing of one key goes. Times are wall clock seconds."""

    wanted: bool
    """Whether it belongs to the set."""
    waiting: bool
    """Whether it is about to be announced."""
    at: float | None
    peers: int | None
    """How many peers took it then, if that is known."""
    due: float | None
    """When its region is due next."""


class Announcing:
    """One per node; ``run()`` is its background task, alone in touching the set."""

    def __init__(
        self,
        dhts: Sequence[Dht],
        cache: Cache,
        options: AnnounceOptions,
        *,
        gather: Callable[[], AsyncGenerator[Sequence[bytes], None]],
        still_here: Callable[[Sequence[bytes]], Awaitable[list[bool]]],
        entropy: Callable[[int], bytes],
        wall_clock: Callable[[], float],
    ) -> None:
        """``gather``: every key that should be announced, in batches. ``still_here``: whether its block is stored."""
        self.options = options
        self.on_root: Callable[[bytes, int], None] | None = None
        """Hears how many peers took a root."""
        self.refuses: Callable[[bytes], bool] = lambda _key: False
        """Keys that are not announced."""
        self._dhts = dhts
        self._cache = cache
        self._set = ProvideSet(cache.environment, cache.table("provide"), cache.table("provide-fresh"))
        self._gather = gather
        self._still_here = still_here
        self._entropy = entropy
        self._wall_clock = wall_clock
        saved = cache.note(NOTE)
        now = wall_clock()
        interval = options.interval or float("inf")
        self._schedule = Schedule.restore(saved, interval, now) if saved is not None else Schedule.begin(interval, now)
        self._gathering = (cache.note(GATHERING_NOTE) or b"\x00")[0] % GATHERINGS
        self._urgent: OrderedDict[bytes, bool] = OrderedDict()
        self._noted: OrderedDict[bytes, None] = OrderedDict()
        self._by_hand: OrderedDict[bytes, tuple[float, int]] = OrderedDict()
        self._wake = asyncio.Event()
        self._lock = asyncio.Lock()
        self._rest_until = 0.0
        self._roots = self._roots_failed = self._under_way = 0

    # --- what others ask for

    def announce(self, key: bytes, *, fetched: bool = False) -> None:
        """Announce a root at once, and again in each round. ``fetched``: it came from others."""
        if len(self._urgent) < MAX_URGENT and not self.refuses(key):
            self._urgent[key] = fetched
            self._wake.set()

    def add(self, keys: Sequence[bytes]) -> None:
        """Announce these soon, with others of their regions."""
        for key in keys:
            if not self.refuses(key):
                self._noted[key] = None
        self._wake.set()

    async def note(self, key: bytes, peers: int) -> None:
        """Somebody else announced a key of ours just now."""
        self._by_hand[key] = (self._wall_clock(), peers)
        self._by_hand.move_to_end(key)
        if len(self._by_hand) > MAX_BY_HAND:
            self._by_hand.popitem(last=False)
        async with self._lock:
            await in_thread(self._set.announced, {key: peers}, self._wall_clock())

    async def look(self, key: bytes) -> KeyAnnounced:
        """What is known of the announcing of one key."""
        async with self._lock:
            known = await in_thread(self._set.look, key)
        at, peers = self._by_hand.get(key, (None, None))
        if known is not None and known.at is not None and known.at > (at or 0.0):
            at, peers = known
        return KeyAnnounced(
            wanted=known is not None or key in self._noted,
            waiting=key in self._urgent or key in self._noted or (known is not None and known.at is None),
            at=at,
            peers=peers,
            due=self._schedule.due_at(key, self._bits()) if known is not None and self.options.interval else None,
        )

    def reaches(self) -> int:
        """Peers of the DHTs that could be told."""
        return sum(len(dht.table) for dht in self._dhts)

    async def clear(self) -> int:
        """Forget what waits to be announced and what is announced again; returns how many."""
        self._urgent.clear()
        self._noted.clear()
        async with self._lock:
            return await in_thread(self._set.clear)

    async def stat(self) -> AnnounceStat:
        """O(keys), in a thread."""
        interval, now = self._schedule.interval, self._wall_clock()
        async with self._lock:
            keys, fresh = await in_thread(self._set.counts)
            late = await in_thread(self._set.count_late, now - 1.1 * interval)
        return AnnounceStat(
            keys=keys,
            fresh=fresh + len(self._noted),
            late=late,
            urgent=len(self._urgent) + self._under_way,
            done=keys - fresh - late,
            interval=self.options.interval,
            cycle=self._schedule.cycle,
            last=self._schedule.last,
            outside=self._schedule.fresh,
            roots=self._roots,
            roots_failed=self._roots_failed,
            next_at=self._schedule.next_at() if self.options.interval else None,
            regions=1 << self._bits(),
            peers={dht.config.name: len(dht.table) for dht in self._dhts},
        )

    # --- the work

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            for _ in range(URGENT_WORKERS):
                group.create_task(self._announce_roots())
            group.create_task(self._sweep())

    def _live(self) -> list[Dht]:
        return [dht for dht in self._dhts if len(dht.table)]

    def _bits(self) -> int:
        sizes = [dht.size.estimate() or LEAST_NETWORK for dht in self._live()]
        return region_bits(max(sizes, default=LEAST_NETWORK))

    async def _announce_roots(self) -> None:
        while True:
            if not self._urgent or not self._live():
                self._wake.clear()
                try:
                    async with asyncio.timeout(IDLE if self._urgent else None):
                        await self._wake.wait()
                except TimeoutError:
                    continue
                continue
            key, fetched = self._urgent.popitem(last=False)
            self._under_way += 1
            try:
                await self._announce_root(key, fetched)
            finally:
                self._under_way -= 1

    async def _announce_root(self, key: bytes, fetched: bool) -> None:
        taken = sum(await asyncio.gather(*(dht.provide(key) for dht in self._live())))
        self._roots += taken > 0
        self._roots_failed += taken == 0
        if self.on_root is not None:
            self.on_root(key, taken)
        async with self._lock:
            await in_thread(self._set.mark, [key], FETCHED if fetched else self._gathering)
            if taken:
                await in_thread(self._set.announced, {key: taken}, self._wall_clock())

    async def _sweep(self) -> None:
        try:
            await self._gather_all()
            while True:
                worked = False
                try:
                    worked = await self._step()
                except (CideryError, TimeoutError, OSError) as exc:
                    log.warning("announcing: %s", exc)
                if not worked:
                    await asyncio.sleep(GATHER_FRESH if self._noted else IDLE)
        finally:
            self._save()

    async def _step(self) -> bool:
        """Announce one region; False if nothing is due."""
        await self._take_noted()
        if not self._live():
            return False
        bits, now = self._bits(), self._wall_clock()
        if now >= self._rest_until:
            async with self._lock:
                first = await in_thread(self._set.first_fresh)
            if first is not None:
                region = Region.at(first, bits)
                if not await self._announce_region(region, fresh=True):
                    self._rest_until = now + REST
                return True
        if not self.options.interval:
            return False
        cycles = self._schedule.cycles
        due = self._schedule.next_region(now, bits)
        if self._schedule.cycles != cycles:
            await self._gather_all()
        if due is None:
            return False
        await self._announce_region(due, fresh=False)
        self._schedule.done(due)
        await in_thread(self._save)
        return True

    def _save(self) -> None:
        self._cache.set_note(NOTE, self._schedule.save())

    async def _take_noted(self) -> None:
        while self._noted:
            batch = [self._noted.popitem(last=False)[0] for _ in range(min(BATCH, len(self._noted)))]
            async with self._lock:
                await in_thread(self._set.mark, batch, self._gathering)

    async def _gather_all(self) -> None:
        """What is there now is the set; what was in it and is not there any more goes."""
        self._gathering = (self._gathering + 1) % GATHERINGS
        await in_thread(self._cache.set_note, GATHERING_NOTE, bytes((self._gathering,)))
        async with aclosing(self._gather()) as batches:
            async for batch in batches:
                for start in range(0, len(batch), BATCH):
                    async with self._lock:
                        await in_thread(self._set.mark, batch[start : start + BATCH], self._gathering)
        after = b""
        while True:
            async with self._lock:
                after = await in_thread(self._set.drop_others, self._gathering, after)
            if not after:
                return

    async def _announce_region(self, region: Region, *, fresh: bool) -> bool:
        """Whether anybody took anything, or there was nothing to do."""
        began = self._wall_clock()
        count = self._schedule.fresh if fresh else self._schedule.cycle
        async with self._lock:
            keys = await in_thread(
                lambda: self._set.inside(region, fresh=fresh, announced_before=began - self._schedule.interval / 10)
            )
        keys = await self._present(keys)
        if not keys:
            return True
        taken: Counter[bytes] = Counter()
        for dht in self._live():
            taken.update(await self._announce_in(dht, region, keys, count))
        now = self._wall_clock()
        done = sorted(taken)
        for start in range(0, len(done), BATCH):
            async with self._lock:
                part = {key: taken[key] for key in done[start : start + BATCH]}
                await in_thread(self._set.announced, part, now)
        count.keys += len(taken)
        count.failed += len(keys) - len(taken)
        count.seconds += now - began
        if fresh and count.began_at == 0.0:
            count.began_at = began
        return bool(taken)

    async def _present(self, keys: list[bytes]) -> list[bytes]:
        """Those whose block is still stored; the others leave the set."""
        here: list[bytes] = []
        for start in range(0, len(keys), BATCH):
            batch = keys[start : start + BATCH]
            there = await self._still_here(batch)
            here += [key for key, one in zip(batch, there, strict=True) if one]
            gone = [key for key, one in zip(batch, there, strict=True) if not one]
            if gone:
                async with self._lock:
                    await in_thread(self._set.remove, gone)
        return here

    async def _announce_in(self, dht: Dht, region: Region, keys: Sequence[bytes], count: CycleCount) -> Counter[bytes]:
        """How many peers took the record of each key; those that nobody took are not in it."""
        taken: Counter[bytes] = Counter()
        if dht.own_record(keys[0]) is None:
            return taken
        exploration = Exploration(region, keys, self._entropy)
        while (key := exploration.next_key()) is not None:
            run = await dht.lookup(DhtMessage(MessageType.FIND_NODE, key))
            exploration.on_closest(key, run.closest(K))
        count.lookups += exploration.lookups
        turns = asyncio.Semaphore(SENDERS)
        allotted = await in_thread(exploration.allot)

        async def send(info: PeerInfo, peer_keys: list[bytes]) -> None:
            async with turns:
                records = [record for key in peer_keys if (record := dht.own_record(key)) is not None]
                if await dht.store_record(info.peer, *records):
                    taken.update(peer_keys)
                    count.records += len(records)

        await asyncio.gather(*(send(info, theirs) for info, theirs in allotted.items()))
        return taken
