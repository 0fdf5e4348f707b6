"""What the workers of one gateway count together, so that its limits hold for all of them.

A table in memory that they share by being forked. What is running is counted in a column of each worker, which it alone
writes, so that nobody waits for a lock and what a dead one counted can be forgotten. Rates have one cell for all: two
workers that write it in the same moment lose one of two small amounts.

A client has the cell of its hash. Two clients of one cell share their budgets, which none can bring about: the hash is
keyed anew by each start.
"""

from __future__ import annotations

import mmap
from enum import IntEnum

from cidery.budgets import Rate

CELLS = 1 << 16
"""Clients told apart."""
_NUMBER = 8
"""Bytes of a cell."""


class Running(IntEnum):
    """What is counted while it lasts."""

    REQUESTS = 0
    CLIENT_REQUESTS = 1
    FETCHES = 2


class Spent(IntEnum):
    """What is counted by rate."""

    BYTES = 0
    NAMES = 1


class SharedCounts:
    """Made by the parent before it forks."""

    def __init__(self, workers: int) -> None:
        """2 MiB for each, of which only what is used takes memory."""
        self.workers = workers
        self._memory = mmap.mmap(-1, CELLS * _NUMBER * (len(Spent) + workers * len(Running)))
        self._cells = memoryview(self._memory).cast("d")

    def of(self, worker: int) -> WorkerCounts:
        """The view of one worker."""
        return WorkerCounts(self._cells, worker, self.workers)

    def forget(self, worker: int) -> None:
        """A worker has ended: what it had running does not run."""
        column = CELLS * len(Running)
        start = CELLS * len(Spent) + worker * column
        self._cells[start : start + column] = memoryview(bytes(column * _NUMBER)).cast("d")


class WorkerCounts:
    """The counts as one worker sees them."""

    def __init__(self, cells: memoryview[float], worker: int, workers: int) -> None:
        self._cells = cells
        self._own = _column(worker)
        self._others = [_column(one) for one in range(workers) if one != worker]

    def add(self, what: Running, client: str, amount: int) -> None:
        """``amount`` more, or less if it is negative. ``client`` "": all."""
        self._cells[self._own + what * CELLS + hash(client) % CELLS] += amount

    def others(self, what: Running, client: str) -> int:
        """How many the other workers count."""
        at = what * CELLS + hash(client) % CELLS
        return int(sum(self._cells[column + at] for column in self._others))

    def bucket(self, what: Spent, rate: Rate, client: str) -> SharedBucket:
        """The one of all workers."""
        return SharedBucket(self._cells, what * CELLS + hash(client) % CELLS, rate)


def _column(worker: int) -> int:
    return CELLS * (len(Spent) + worker * len(Running))


class SharedBucket:
    """As budgets.Bucket, for all workers: its cell holds the time at which it would be full again."""

    __slots__ = ("_at", "_cells", "_rate")

    def __init__(self, cells: memoryview[float], at: int, rate: Rate) -> None:
        self._cells = cells
        self._at = at
        self._rate = rate

    def reserve(self, now: float, amount: float = 1.0) -> float:
        """Take ``amount``; returns the seconds until it is available. ``now``: of a clock that all workers share."""
        full = max(self._cells[self._at], now) + amount / self._rate.amount
        self._cells[self._at] = full
        return max(0.0, full - now - self._rate.burst / self._rate.amount)

    def give_back(self, amount: float = 1.0) -> None:
        self._cells[self._at] -= amount / self._rate.amount
