"""TCP over a line whose round trip takes seconds: by which rule it sends, and no faster than the line carries.

The line may be that of several TCP connections (paths.py): together they are one sender.

A rule for congestion learns of its excess from what gets lost. Over a line of seconds that is late: a window that
doubles in each round trip fills the queue before the line, which is long there, and what that drops comes a round trip
of both later. So what TCP measures is looked at now and then, and where its answers take longer than they would by an
empty queue it is held to the rate at which they come. Linux only; elsewhere TCP sends as it likes.
"""

from __future__ import annotations

import asyncio
import asyncio.trsock
import socket
import struct
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from math import inf
from typing import NamedTuple

LONG_ROUND_TRIP = 1.0
"""Seconds of a round trip from which on a line is long."""
SHORT_ROUND_TRIP = 0.5
"""Seconds of the least one below which it is not after all: the first answers were late, or it is another way now."""
PATIENT = (b"reno", b"cubic")
"""What sends instead of BBR: the first one that the system allows.

CUBIC leaves slow start when answers come some milliseconds later, as they do over any slow line
(https://www.rfc-editor.org/rfc/rfc9406, HyStart): over 10 s and 1 Mbit/s it stopped doubling at a tenth of the line.
"""
QUEUED, OVERFLOWING = 1.1, 1.5
"""Times the least round trip from which on TCP is held to the rate of the line, and to DRAINING of it."""
DRAINING = 0.9
PROBING = 1.25
"""Times the rate of the line that it may send at most once there was a queue, and is none: what was on its way by then
leaves room for more than the line holds."""
FIRST_WINDOW = 10 * 1448
"""Bytes that TCP begins with (https://www.rfc-editor.org/rfc/rfc6928): it is held to no fewer in a round trip, since a
connection over which little went has measured little, and answers may be late by chance."""
LOOKS = 4
"""Looks in a round trip, while anything is on its way."""
REST = 8.0
"""Round trips between two looks at a line that rests, at most."""
REMEMBERED = 32
"""Looks of which the fastest counts as the rate of the line."""

_MAX_PACING_RATE = 47
"""Linux's SO_MAX_PACING_RATE, which Python does not name: bytes per second, 8 bytes."""
_NO_LIMIT = 2**64 - 1
_UNACKED_AT, _ROUND_TRIP_AT, _ACKED_AT, _LEAST_AT, _RATE_AT = 24, 68, 120, 148, 160
"""Where Linux's tcp_info has segments on their way, the smoothed round trip in microseconds, bytes acknowledged, the
least round trip, and the rate of delivery in bytes per second (https://man7.org/linux/man-pages/man7/tcp.7.html,
``struct tcp_info``)."""


Socket = socket.socket | asyncio.trsock.TransportSocket


class Measured(NamedTuple):
    """What TCP knows of a line: seconds, and bytes per second."""

    round_trip: float
    least_round_trip: float
    rate: float
    busy: bool
    """Whether anything is on its way."""
    acked: int = 0
    """Bytes that have arrived since the beginning."""


def measured(sock: Socket) -> Measured | None:
    """None: the system does not tell. Raises OSError if the socket is closed, or none of TCP."""
    option = getattr(socket, "TCP_INFO", None)
    if option is None:
        return None
    info = sock.getsockopt(socket.IPPROTO_TCP, option, _RATE_AT + 8)
    if len(info) < _RATE_AT + 8:
        return None
    unacked, round_trip, least = (
        struct.unpack_from("=I", info, at)[0] for at in (_UNACKED_AT, _ROUND_TRIP_AT, _LEAST_AT)
    )
    acked, rate = (struct.unpack_from("=Q", info, at)[0] for at in (_ACKED_AT, _RATE_AT))
    return Measured(round_trip / 1e6, least / 1e6, float(rate), unacked > 0, acked)


def round_trip_of(transport: asyncio.BaseTransport) -> float:
    """Seconds; 0.0: the system does not tell."""
    sock = transport.get_extra_info("socket")
    if sock is not None:
        with suppress(OSError, ValueError):  # the connection may have ended
            line = measured(sock)
            return 0.0 if line is None else line.round_trip
    return 0.0


def at_most(line: Measured, rate: float, *, known: bool) -> float:
    """Bytes per second that are to be sent, if the line carries ``rate``; inf: as TCP likes.

    ``known``: there was a queue, so the rate is that of the line and not what TCP has dared so far.
    """
    if not rate:
        return inf
    if line.round_trip <= QUEUED * line.least_round_trip:
        return PROBING * rate if known else inf
    return rate if line.round_trip <= OVERFLOWING * line.least_round_trip else DRAINING * rate


def together(lines: Sequence[Measured]) -> Measured:
    """Several TCP connections over one line: those of which something is on its way tell how it is."""
    busy = [line for line in lines if line.busy]
    telling = busy or lines
    round_trip = sum(line.round_trip for line in telling) / len(telling)
    least = min(line.least_round_trip for line in lines)
    # the rates of delivery of several, each the last one of its own, are more in all than the line carries
    rate = lines[0].rate if len(lines) == 1 else 0.0
    return Measured(round_trip, least, rate, bool(busy), sum(line.acked for line in lines))


class LongLine:
    """Holds a connection, with what is added to it, to the rate of its line, until close() or the end of its socket."""

    def __init__(self, sock: Socket, loop: asyncio.AbstractEventLoop, round_trip: float = LONG_ROUND_TRIP) -> None:
        """``round_trip``: seconds, as the system has measured it."""
        self.round_trip = round_trip
        self.is_long = True
        """Until it turns out that it is not: a radio that was asleep makes the first answers late."""
        self._socks = [sock]
        self._loop = loop
        self._rates: deque[float] = deque(maxlen=REMEMBERED)
        self._acked = loop.time(), 0
        self._limit = inf
        self._pause = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._look()

    @classmethod
    def over(cls, transport: asyncio.BaseTransport, loop: asyncio.AbstractEventLoop) -> LongLine | None:
        """None: the line is not long, or not one of TCP, or the system does not let programs choose the rule."""
        sock = transport.get_extra_info("socket")
        if sock is not None:
            with suppress(OSError, ValueError):  # the connection may have ended
                line = measured(sock)
                if line is not None and line.round_trip >= LONG_ROUND_TRIP and _leave_bbr(sock):
                    return cls(sock, loop, line.round_trip)
        return None

    def add(self, transport: asyncio.BaseTransport) -> None:
        """One more TCP connection over the same line."""
        sock = transport.get_extra_info("socket")
        if sock is not None:
            with suppress(OSError, ValueError):  # the connection may have ended
                _leave_bbr(sock)
            self._socks.append(sock)
            if self._limit != inf:
                self._hold()

    def remove(self, transport: asyncio.BaseTransport) -> None:
        """One that was added is no more. Idempotent."""
        sock = transport.get_extra_info("socket")
        self._socks = [one for one in self._socks if one is not sock]

    def close(self) -> None:
        """Look no more. Idempotent."""
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        with suppress(OSError, ValueError):  # the socket is closed: that was the last look
            lines = [line for sock in self._socks if (line := measured(sock)) is not None]
            if not lines:
                return
            line = together(lines)
            if line.least_round_trip < SHORT_ROUND_TRIP:
                self.is_long = False
                if self._limit != inf:
                    self._limit = inf
                    self._hold()
                return
            self._rates.append(max(line.rate, self._arrived(line.acked)))
            limit = at_most(line, max(self._rates), known=self._limit != inf)
            limit = max(limit, len(self._socks) * FIRST_WINDOW / max(line.least_round_trip, 1e-6))
            if limit not in (self._limit, inf):
                self._limit = limit
                self._hold()
            shortest = line.round_trip / LOOKS
            self._pause = shortest if line.busy else min(REST * line.round_trip, max(shortest, 2 * self._pause))
            self._timer = self._loop.call_later(self._pause, self._look)

    def _arrived(self, acked: int) -> float:
        """Bytes per second since the last look. TCP divides what a flight brought by a whole round trip: a short one
        that the line carries in a moment, with a queue in front of it, looks slow."""
        now = self._loop.time()
        (then, before), self._acked = self._acked, (now, acked)
        return max(0, acked - before) / (now - then) if now > then else 0.0

    def _hold(self) -> None:
        """Each to its part. What is added carries all that is long, in equal parts."""
        rate = _NO_LIMIT if self._limit == inf else max(1, int(self._limit / max(1, len(self._socks) - 1)))
        for sock in self._socks:
            with suppress(OSError, ValueError):
                sock.setsockopt(socket.SOL_SOCKET, _MAX_PACING_RATE, struct.pack("=Q", rate))


def _leave_bbr(sock: Socket) -> bool:
    """Have TCP send by another rule than BBR, where the system has BBR; False: it does not let programs choose.

    As Linux has it, BBR has four segments on its way for a round trip, and 0.2 s at least, in every ten seconds, to
    measure the shortest one (https://datatracker.ietf.org/doc/html/draft-cardwell-iccrg-bbr-congestion-control-00,
    section 4.3.5): when that takes ten seconds, half of the time.
    """
    option = getattr(socket, "TCP_CONGESTION", None)
    if option is None:
        return False
    if not sock.getsockopt(socket.IPPROTO_TCP, option, 16).startswith(b"bbr"):
        return True
    for name in PATIENT:
        with suppress(PermissionError, FileNotFoundError):
            sock.setsockopt(socket.IPPROTO_TCP, option, name)
            return True
    return False
