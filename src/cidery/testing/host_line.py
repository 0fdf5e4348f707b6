"""A host's line to the network: one rate up and one down for all of its connections, shared fairly.

Each direction sends one segment at a time. Connections with something to send take turns by bytes; one that was idle
goes first with its first segment, as in fq_codel (RFC 8290), so that a short message does not wait for the bulk of
others. It waits for the bulk of its own connection, as in TCP.

A connection has a window of bytes that have left and are not acknowledged: what the slowest part of its way carries in
a round trip, and ``QUEUE``, which is what it may have waiting before the receiver's line. There is no slow start.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import Generic, TypeVar

from cidery.errors import InvalidInput

SEGMENT = 64 * 1024
"""Longest segment in bytes: the size of a large receive offload."""
LEAST_SEGMENT = 1448
"""A packet of Ethernet, without headers."""
SEGMENT_SECONDS = 0.02
"""A line is held no longer by one segment, unless that is LEAST_SEGMENT: others wait for it."""
QUANTUM = 8 * 1024
"""Bytes that a connection sends in its turn."""
HEADERS = 40
"""Bytes of IP and TCP per segment."""
QUEUE = 64 * 1024
"""Bytes of a connection that may wait before its receiver's line, or four segments."""
SEND_BUFFER = 32 * 1024
"""Bytes of a connection that the sending system takes before it makes the program wait, if that does not say more."""


def check_amounts(value: object, names: tuple[str, ...]) -> None:
    """Raises InvalidInput for a field that is negative or not finite: what came of it would look like a measurement."""
    for name in names:
        amount = getattr(value, name)
        if not 0.0 <= amount < inf:
            raise InvalidInput(f"{name} of a {type(value).__name__} is a number from 0 up, not {amount}")


@dataclass(frozen=True, slots=True)
class HostLine:
    """What one host sends and receives at most, over all of its connections. Bytes per second; 0: no limit."""

    uplink: float = 0.0
    downlink: float = 0.0

    def __post_init__(self) -> None:
        """Raises InvalidInput."""
        check_amounts(self, ("uplink", "downlink"))

    @property
    def limited(self) -> bool:
        return bool(self.uplink or self.downlink)


class Flow:
    """One direction of one connection, while one of its hosts has a limited line."""

    __slots__ = ("_first", "arrived", "flying", "pieces", "segment", "waiting", "window")

    def __init__(self) -> None:
        self.pieces: deque[bytes | None] = deque()
        """Written and not sent; None is the end of the stream."""
        self._first = 0
        self.waiting = 0
        """Bytes of these."""
        self.flying = 0
        """Bytes that were sent and are not acknowledged."""
        self.window = QUEUE
        self.segment = SEGMENT
        self.arrived: deque[bytes | None] = deque()
        """Segments before the receiver's line."""

    @property
    def pending(self) -> bool:
        """Whether anything was written that the other end does not have."""
        return bool(self.pieces or self.flying)

    def write(self, data: bytes | None) -> None:
        self.pieces.append(data)
        self.waiting += len(data or b"")

    @property
    def may_send(self) -> bool:
        return bool(self.pieces) and self.flying < self.window

    def next_segment(self, most: int) -> bytes | None:
        """Take the next bytes off; only while ``may_send``."""
        data = self.pieces[0]
        if data is None:
            self.pieces.popleft()
            return None
        taken = [data[self._first : self._first + most]]
        size = len(taken[0])
        self._first += size
        while self._first >= len(data):
            self.pieces.popleft()
            self._first = 0
            if size >= most or not self.pieces or (data := self.pieces[0]) is None:
                break
            taken.append(data[: most - size])
            self._first = len(taken[-1])
            size += self._first
        self.waiting -= size
        return taken[0] if len(taken) == 1 else b"".join(taken)

    def clear(self) -> None:
        """Drop what was not sent."""
        self.pieces.clear()
        self._first = self.waiting = 0


F = TypeVar("F", bound=Flow)


class FairQueue(Generic[F]):
    """Whose turn it is: deficit round robin, newcomers first (RFC 8290, section 4.1). Pure."""

    def __init__(self, quantum: int = QUANTUM) -> None:
        self._quantum = quantum
        self._new: OrderedDict[F, None] = OrderedDict()
        self._old: OrderedDict[F, None] = OrderedDict()
        self._credit: dict[F, int] = {}

    def wake(self, flow: F) -> None:
        """It has something to send."""
        if flow not in self._new and flow not in self._old:
            self._credit[flow] = self._quantum
            self._new[flow] = None

    def next(self, has_any: Callable[[F], bool]) -> F | None:
        """The one whose turn it is; charge() follows. None: nobody has anything."""
        while self._new or self._old:
            ours = self._new or self._old
            flow = next(iter(ours))
            if self._credit[flow] <= 0:
                self._credit[flow] += self._quantum
            elif has_any(flow):
                return flow
            elif ours is self._old:
                del self._old[flow], self._credit[flow]
                continue
            del ours[flow]
            self._old[flow] = None
        return None

    def charge(self, flow: F, size: int) -> None:
        self._credit[flow] -= size


class Line(Generic[F]):
    """One direction of a host's line. ``take`` gives the next segment of a flow, ``sent`` gets it after that."""

    def __init__(
        self,
        has_any: Callable[[F], bool],
        take: Callable[[F], bytes | None],
        sent: Callable[[F, bytes | None], None],
    ) -> None:
        self.rate = 0.0
        """Bytes per second; 0: no limit."""
        self.bytes = 0
        """That went through it, with headers."""
        self._has_any = has_any
        self._take = take
        self._sent = sent
        self._queue: FairQueue[F] = FairQueue()
        self._busy = False
        self._free_at = 0.0
        self._loop = asyncio.get_running_loop()

    def wake(self, flow: F) -> None:
        """It has something to send."""
        self._queue.wake(flow)
        if not self._busy:
            self._free_at = max(self._free_at, self._loop.time())
            self._serve()

    def _serve(self) -> None:
        while not self._busy and (flow := self._queue.next(self._has_any)) is not None:
            piece = self._take(flow)
            size = HEADERS + len(piece or b"")
            self._queue.charge(flow, size)
            self.bytes += size
            self._busy = True
            if self.rate:
                # from when it became free, not from now: a late timer of a real loop costs no bandwidth
                self._free_at += size / self.rate
                self._loop.call_at(self._free_at, self._through, flow, piece)
            else:
                self._busy = False
                self._sent(flow, piece)

    def _through(self, flow: F, piece: bytes | None) -> None:
        self._sent(flow, piece)  # what that wakes is served below
        self._busy = False
        self._serve()


def window(rates: list[float], round_trip: float) -> int:
    """Bytes that may be on their way; ``rates`` in bytes per second, 0 for no limit."""
    slowest = min((rate for rate in rates if rate), default=0.0)
    return int(slowest * round_trip) + max(QUEUE, 4 * segment_size(rates))


def segment_size(rates: list[float]) -> int:
    slowest = min((rate for rate in rates if rate), default=0.0)
    return min(SEGMENT, max(LEAST_SEGMENT, int(slowest * SEGMENT_SECONDS))) if slowest else SEGMENT
