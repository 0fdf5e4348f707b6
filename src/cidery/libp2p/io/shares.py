"""What each connection takes of the node: rates per connection, and the memory that received bytes hold in all."""

import weakref
from collections.abc import Callable
from typing import Protocol

from cidery.budgets import RECEIVED, RECEIVED_IN_ALL, Bucket, Rate
from cidery.errors import CideryError, RemoteProtocolError

LOOK_AFTER = 1024 * 1024
"""Bytes received by a connection between two looks at what it holds."""


class HoldsTooMuch(RemoteProtocolError):
    """A peer sends what nobody reads, over more streams than it needs."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.size = size

    def __str__(self) -> str:
        return f"{self.size} bytes of it wait to be read"


class Holder(Protocol):
    """A connection, as far as it holds memory."""

    def held(self) -> int:
        """Bytes that came and were not read."""
        ...

    def fail(self, exc: CideryError) -> None: ...


class ConnectionRates:
    """One rate, kept for each connection as long as it lives."""

    def __init__(self, rate: Rate, clock: Callable[[], float]) -> None:
        self._rate = rate
        self._clock = clock
        self._buckets: weakref.WeakKeyDictionary[object, Bucket] = weakref.WeakKeyDictionary()

    def reserve(self, connection: object) -> float:
        """Seconds until the connection may have one more."""
        now = self._clock()
        bucket = self._buckets.get(connection)
        if bucket is None:
            bucket = self._buckets[connection] = Bucket(self._rate, now)
        return bucket.reserve(now)


class ReceivedBytes:
    """What all connections hold of what came. The one that holds most ends when it is too much in all."""

    def __init__(self) -> None:
        self._since: dict[Holder, int] = {}
        self._held: dict[Holder, int] = {}
        self._all = 0

    def __len__(self) -> int:
        """Connections that are known here."""
        return len(self._since.keys() | self._held.keys())

    @property
    def held(self) -> int:
        """Bytes at the last looks."""
        return self._all

    def came(self, holder: Holder, size: int) -> None:
        """An open connection received bytes. O(streams of the connection) once a LOOK_AFTER."""
        since = self._since.get(holder, 0) + size
        if since < LOOK_AFTER:
            self._since[holder] = since
            return
        self._since[holder] = 0
        if self._look(holder) > RECEIVED.amount:
            holder.fail(HoldsTooMuch(self._held.get(holder, 0)))
        elif self._all > RECEIVED_IN_ALL.amount:
            for one in list(self._held):  # the figures are old
                self._look(one)
            if self._all > RECEIVED_IN_ALL.amount:
                largest = max(self._held, key=lambda one: self._held[one])
                largest.fail(HoldsTooMuch(self._held[largest]))

    def _look(self, holder: Holder) -> int:
        held = holder.held()
        self._all += held - self._held.get(holder, 0)
        self._held[holder] = held
        return held

    def ended(self, holder: Holder) -> None:
        self._since.pop(holder, None)
        self._all -= self._held.pop(holder, 0)
