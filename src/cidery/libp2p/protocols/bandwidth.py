"""How fast a node may send and receive, and how fast it does. Pure: time is an argument.

Limits are token buckets that may go into debt: whole frames are sent and read, and paid for afterwards. A bucket starts
empty and holds little, so that what went through in any time is the rate times that time, and a burst of BURST seconds.
"""

from collections import OrderedDict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from math import exp
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)

BURST = 0.05
"""Seconds of the rate that may go at once after a pause."""
URGENT_DEBT = 0.25
"""Seconds of the rate that short messages may go beyond the limit; what is bulky waits until that is paid."""
QUANTUM = 0.02
"""Seconds of the rate that one connection takes before it is another's turn."""
LEAST_QUANTUM, LARGEST_QUANTUM = 2048, 256 * 1024
"""Bytes."""
NO_LIMIT = 1 << 30
"""Bytes, more than anybody sends or reads at a time."""
MEASURED = 10.0
"""Seconds over which a rate is averaged: what is older counts less than a third."""
AT_ONCE = 0.01
"""Seconds within which bytes count as if they came together: a thousandth of what is measured, and no exp()."""
MAX_METERS = 1024
"""Peers, and protocols, that are counted apart; the one heard of longest ago is forgotten."""
WORTH_KEEPING = 1024 * 1024
"""Bytes, both ways together, of a peer that has left, below which it is no longer counted apart."""
DAY = 24 * 60
"""Minutes."""


@dataclass(frozen=True, slots=True)
class BandwidthLimits:
    """Bytes a second; None: no limit."""

    up: float | None = None
    down: float | None = None
    peer_up: float | None = None
    """For each connection."""
    peer_down: float | None = None


@dataclass(frozen=True, slots=True)
class Period:
    """Limits at some times of the week."""

    start: int
    """Minute of the day."""
    end: int
    """Minute of the day; not after ``start``: of the next day."""
    days: frozenset[int]
    """On which it starts; 0 is Monday."""
    limits: BandwidthLimits

    def holds(self, day: int, minute: int) -> bool:
        if self.end > self.start:
            return day in self.days and self.start <= minute < self.end
        return (day in self.days and minute >= self.start) or ((day - 1) % 7 in self.days and minute < self.end)


@dataclass(frozen=True, slots=True)
class Schedule:
    """Limits by the time of the week: those of the first period that holds, else the usual ones."""

    usual: BandwidthLimits = BandwidthLimits()
    periods: Sequence[Period] = ()

    def at(self, day: int, minute: int) -> BandwidthLimits:
        return next((one.limits for one in self.periods if one.holds(day, minute)), self.usual)

    @property
    def limits_nothing(self) -> bool:
        return self.usual == BandwidthLimits() and not self.periods


class Throttle:
    """One limit."""

    __slots__ = ("_at", "_tokens", "rate")

    def __init__(self, rate: float | None, now: float) -> None:
        self.rate = rate
        self._tokens, self._at = 0.0, now

    def change(self, rate: float | None, now: float) -> None:
        """A new rate; a debt is paid at it."""
        self._fill(now)
        self.rate = rate
        if rate is None:
            self._tokens = 0.0

    def _fill(self, now: float) -> None:
        if self.rate is not None:
            self._tokens = min(BURST * self.rate, self._tokens + (now - self._at) * self.rate)
        self._at = now

    def take(self, size: int, now: float) -> None:
        if self.rate is not None:
            self._fill(now)
            self._tokens -= size

    def room(self, now: float, *, urgent: bool = False) -> int:
        """Bytes that may go now, at most a quantum; 0: none. ``urgent``: into debt, too."""
        if self.rate is None:
            return NO_LIMIT
        self._fill(now)
        if self._tokens + (URGENT_DEBT * self.rate if urgent else 0.0) <= 0.0:
            return 0
        return self.quantum

    @property
    def quantum(self) -> int:
        """Bytes for one turn."""
        if self.rate is None:
            return NO_LIMIT
        return int(min(LARGEST_QUANTUM, max(LEAST_QUANTUM, QUANTUM * self.rate)))

    def ready_in(self, now: float) -> float:
        """Seconds until something may go."""
        if self.rate is None:
            return 0.0
        self._fill(now)
        return 0.0 if self._tokens > 0.0 else -self._tokens / self.rate + 1e-6


class Meter:
    """A total and a rate."""

    __slots__ = ("_at", "_rate", "total")

    def __init__(self, now: float) -> None:
        self.total = 0
        self._rate, self._at = 0.0, now

    def count(self, size: int, now: float) -> None:
        self.total += size
        if now - self._at < AT_ONCE:
            self._rate += size / MEASURED
            return
        self._rate = self.rate(now) + size / MEASURED
        self._at = now

    def rate(self, now: float) -> float:
        """Bytes a second, lately."""
        return self._rate * exp((self._at - now) / MEASURED)


class Meters(Generic[K]):
    """Both directions for each of some things."""

    def __init__(self) -> None:
        self._meters: OrderedDict[K, tuple[Meter, Meter]] = OrderedDict()

    def of(self, key: K, now: float) -> tuple[Meter, Meter]:
        """(in, out), made if need be."""
        found = self._meters.get(key)
        if found is None:
            found = self._meters[key] = (Meter(now), Meter(now))
            if len(self._meters) > MAX_METERS:
                self._meters.popitem(last=False)
        else:
            self._meters.move_to_end(key)
        return found

    def get(self, key: K) -> tuple[Meter, Meter] | None:
        """(in, out), None if nothing was counted."""
        return self._meters.get(key)

    def parted(self, key: K) -> None:
        """It has left: what little it moved is forgotten. A thousand strangers would else hold memory for good."""
        found = self._meters.get(key)
        if found is not None and found[0].total + found[1].total < WORTH_KEEPING:
            del self._meters[key]
