"""The provide sweep: announcing many keys region by region, so that look-ups do not grow with the number of keys.

The key space is cut into regions of some REGION_PEERS peers. To announce a region, its peers are found once (a look-up
finds the K peers nearest to one key; a handful of them cover a region), every key of it is allotted to its K nearest
peers, and each peer gets its records over one stream. A region with fewer keys than that takes one look-up per key.

The sweep goes once round the key space in each interval, at an even pace; its place survives a restart and a sweep
that was held up goes on at once from where it was. Keys that were never announced do not wait for it. Pure.

Spec: none; https://github.com/ipfs/kubo/blob/master/docs/provide-stats.md describes Kubo's
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import floor, log2

from cidery.identity.peer_id import PeerId
from cidery.kad.key import BITS, K, common_prefix, position, prefix_of, prefix_range, preimage
from cidery.kad.message import PeerInfo

REGION_PEERS = 64
"""Peers expected in a region at least: several times K, so that the K nearest to any key of it lie inside."""
MAX_REGION_BITS = 24
"""Most bits of a region's prefix: a network of a billion peers."""
MAX_LOOKUPS = 48
"""Look-ups to explore one region; beyond them what was found has to do."""
FEW_KEYS = 5
"""Keys of a region up to which each is looked up by itself: exploring a region takes some six look-ups."""
ALLOT_SLICE = 1024
"""Keys allotted at a time: some 2 ms."""


def region_bits(network_size: float) -> int:
    """Length of a region's prefix for a network of so many peers."""
    return 0 if network_size < 2 * REGION_PEERS else min(MAX_REGION_BITS, floor(log2(network_size / REGION_PEERS)))


@dataclass(frozen=True, slots=True)
class Region:
    """All positions that begin with ``prefix``, ``length`` bits of it."""

    prefix: int
    length: int

    @classmethod
    def at(cls, where: int, length: int) -> "Region":
        """The region in which a position lies."""
        return cls(prefix_of(where, length), length)

    @property
    def end(self) -> int:
        """The position after its last one."""
        return prefix_range(self.prefix, self.length)[1]

    def holds(self, where: int) -> bool:
        return prefix_of(where, self.length) == self.prefix


class Exploration:
    """Finds the peers of one region and allots its keys to them.

    next_key() -> look it up -> on_closest(), until next_key() gives None; then allot().
    """

    def __init__(self, region: Region, keys: Sequence[bytes], entropy: Callable[[int], bytes]) -> None:
        self.region = region
        self.lookups = 0
        self._entropy = entropy
        self._keys = sorted((position(key), key) for key in keys)
        self._peers: dict[PeerId, PeerInfo] = {}
        self._uncovered = [region]
        self._asked: dict[bytes, list[PeerInfo]] = {}

    def next_key(self) -> bytes | None:
        """The next key to look up; None: the region is known well enough, or the bound is reached."""
        if self.lookups >= MAX_LOOKUPS:
            return None
        if len(self._keys) <= FEW_KEYS:
            return next((key for _, key in self._keys if key not in self._asked), None)
        if not self._uncovered:
            return None
        where = self._uncovered[-1]
        low, high = prefix_range(where.prefix, where.length)
        inside = next((key for at, key in self._keys if low <= at < high and key not in self._asked), None)
        return inside if inside is not None else preimage(where.prefix, where.length, self._entropy)

    def on_closest(self, key: bytes, closest: Sequence[PeerInfo]) -> None:
        """What a look-up of ``key`` found: its K nearest peers, nearest first. Empty: it failed."""
        self.lookups += 1
        self._asked[key] = list(closest)
        for info in closest:
            self._peers[info.peer] = info
        if not closest:
            return
        at = position(key)
        # everybody who shares more bits with the key than the farthest of the K is among the K
        known = 0
        if len(closest) >= K:
            known = min(common_prefix(position(info.peer.multihash), at) for info in closest) + 1
        covered = Region.at(at, min(known, BITS))
        self._uncovered = [rest for part in self._uncovered for rest in _without(part, covered)]

    def allot(self) -> dict[PeerInfo, list[bytes]]:
        """Who gets which keys. O(keys x peers) in numpy: 2 ms for 1,000 keys and 80 peers."""
        out: dict[PeerInfo, list[bytes]] = {}
        rest: list[tuple[int, bytes]] = []
        for at, key in self._keys:
            if self._asked.get(key):
                for info in self._asked[key][:K]:
                    out.setdefault(info, []).append(key)
            else:
                rest.append((at, key))
        infos = list(self._peers.values())
        for start in range(0, len(rest), ALLOT_SLICE):
            part = rest[start : start + ALLOT_SLICE]
            for (_, key), nearest in zip(part, _nearest([at for at, _ in part], infos), strict=True):
                for index in nearest:
                    out.setdefault(infos[index], []).append(key)
        return out


def _nearest(keys: Sequence[int], infos: Sequence[PeerInfo]) -> list[list[int]]:
    """For each key the indexes of its K nearest peers, by their first 64 bits."""
    import numpy as np

    shift = BITS - 64
    at = np.array([position(info.peer.multihash) >> shift for info in infos], dtype=np.uint64)
    wanted = np.array([key >> shift for key in keys], dtype=np.uint64)
    if len(infos) <= K:
        return [list(range(len(infos)))] * len(keys)
    distances = wanted[:, None] ^ at[None, :]
    found: list[list[int]] = np.argpartition(distances, K, axis=1)[:, :K].tolist()
    return found


def _without(part: Region, covered: Region) -> list[Region]:
    """What is left of a region: nothing, all of it, or the siblings on the way down to what is covered."""
    shorter = min(part.length, covered.length)
    if part.prefix >> (part.length - shorter) != covered.prefix >> (covered.length - shorter):
        return [part]
    if covered.length <= part.length:
        return []
    return [
        Region((covered.prefix >> (covered.length - length)) ^ 1, length)
        for length in range(part.length + 1, covered.length + 1)
    ]


@dataclass(slots=True)
class CycleCount:
    """What one round of the sweep did."""

    began_at: float
    """Wall clock seconds."""
    regions: int = 0
    lookups: int = 0
    keys: int = 0
    """Keys of which at least one peer took the record."""
    failed: int = 0
    """Keys that nobody took."""
    records: int = 0
    """Records sent."""
    seconds: float = 0.0
    """Seconds spent at work."""


@dataclass(slots=True)
class Schedule:
    """When which region is due. Times are wall clock seconds: the schedule outlives the process."""

    interval: float
    """Seconds for one round."""
    cycle: CycleCount
    cursor: int = 0
    """Everything before this position is done in this cycle."""
    last: CycleCount | None = None
    cycles: int = 0
    fresh: CycleCount = field(default_factory=lambda: CycleCount(0.0))
    """Keys announced outside the round because they were new."""

    @classmethod
    def begin(cls, interval: float, now: float) -> "Schedule":
        return cls(interval, CycleCount(now))

    def due_position(self, now: float) -> int:
        """How far the round should be by now."""
        share = max(0.0, min(1.0, (now - self.cycle.began_at) / self.interval))
        return int(share * (1 << 64)) << (BITS - 64)

    def next_region(self, now: float, bits: int) -> Region | None:
        """The region to announce now, None while none is due."""
        if self.cursor >= 1 << BITS:
            if now < self.cycle.began_at + self.interval:
                return None
            self._turn(now)
        return Region.at(self.cursor, bits) if self.cursor <= self.due_position(now) else None

    def next_at(self) -> float:
        """When the next region is due, wall clock seconds."""
        share = min(1.0, (self.cursor >> (BITS - 64)) / (1 << 64))
        return self.cycle.began_at + share * self.interval

    def due_at(self, key: bytes, bits: int) -> float:
        """When the region of a key is due next, wall clock seconds. ``bits``: of a region's prefix."""
        start = prefix_range(Region.at(position(key), bits).prefix, bits)[0]
        share = (start >> (BITS - 64)) / (1 << 64)
        began = self.cycle.began_at if start >= self.cursor else self.cycle.began_at + self.interval
        return began + share * self.interval

    def _turn(self, now: float) -> None:
        """A new round: where the last one should have ended, or now if that is more than a round ago."""
        self.last = self.cycle
        self.cycles += 1
        planned = self.cycle.began_at + self.interval
        self.cycle = CycleCount(planned if now - planned < self.interval else now)
        self.cursor = 0

    def done(self, region: Region) -> None:
        """The region was announced, as well as it went."""
        self.cursor = max(self.cursor, region.end)
        self.cycle.regions += 1

    def save(self) -> bytes:
        counts = [_as_list(one) if one is not None else None for one in (self.cycle, self.last, self.fresh)]
        return json.dumps({"cursor": f"{self.cursor:x}", "cycles": self.cycles, "counts": counts}).encode()

    @classmethod
    def restore(cls, saved: bytes, interval: float, now: float) -> "Schedule":
        """What save() wrote; damaged data begins anew, never an error."""
        try:
            raw = json.loads(saved)
            cycle, last, fresh = (_from_list(one) if one is not None else None for one in raw["counts"])
            cursor, cycles = int(raw["cursor"], 16), int(raw["cycles"])
        except (ValueError, KeyError, TypeError, RecursionError):
            return cls.begin(interval, now)
        if cycle is None or fresh is None or not 0 <= cursor <= 1 << BITS or cycle.began_at > now:
            return cls.begin(interval, now)
        return cls(interval, cycle, cursor, last, cycles, fresh)


def _as_list(count: CycleCount) -> list[float]:
    return [count.began_at, count.regions, count.lookups, count.keys, count.failed, count.records, count.seconds]


def _from_list(raw: Sequence[float]) -> CycleCount:
    began, regions, lookups, keys, failed, records, seconds = (float(number) for number in raw)
    return CycleCount(began, int(regions), int(lookups), int(keys), int(failed), int(records), seconds)
