"""A long line between processes of this machine: a forwarder that delays and meters what passes. In its own process.

    with LongLine() as line:
        port = line.lead_to(port of the server)      # connect here instead

Each way: RATE bytes a second, over all connections together, then half of ROUND_TRIP of travel, behind a queue of one
bandwidth-delay product; beyond it the sender's socket is not read, so it feels the line. What it does not show: loss,
and the slow start of a TCP over the whole distance (each end speaks TCP with the forwarder only).
"""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import multiprocessing.connection
import socket
import time
from collections import deque
from typing import Self, cast

from lag import runner

ROUND_TRIP = 0.2
"""Seconds."""
RATE = 100_000_000 / 8
"""Bytes a second, each way."""
QUEUE = int(ROUND_TRIP * RATE)
"""Bytes that wait for their turn on the line before the sender is held back."""
SOCKET_BUFFER = 256 * 1024
"""Bytes of the sockets' own buffers, which would hide a line that is full."""
Pipe = multiprocessing.connection.Connection


def least_seconds(size: int) -> float:
    """What nobody can beat: a request's round trip, then ``size`` bytes at the line's rate."""
    return ROUND_TRIP + size / RATE


class Direction:
    """One way of the line, shared by all connections."""

    def __init__(self) -> None:
        self.free_at = 0.0
        self.passed = 0

    def arrival(self, size: int, now: float) -> float:
        """When ``size`` bytes handed over now are at the other end."""
        self.free_at = max(self.free_at, now) + size / RATE
        self.passed += size
        return self.free_at + ROUND_TRIP / 2

    def crowded(self, now: float) -> float:
        """Seconds until the queue has room; not positive: it has."""
        return self.free_at - now - QUEUE / RATE


class End(asyncio.Protocol):
    """One end of a forwarded connection: what it receives leaves at ``other`` when it has travelled."""

    def __init__(self, direction: Direction) -> None:
        self.other: End | None = None
        self.transport: asyncio.Transport | None = None
        self._direction = direction
        self._loop = asyncio.get_running_loop()
        self._travelling: deque[tuple[float, bytes]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._full = False
        self._resuming: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.set_write_buffer_limits(SOCKET_BUFFER)

    def data_received(self, data: bytes) -> None:
        now = time.monotonic()
        self._travelling.append((self._direction.arrival(len(data), now), data))
        if self._timer is None:
            self._arm(now)
        if (wait := self._direction.crowded(now)) > 0 and self.transport is not None:
            self.transport.pause_reading()
            self._resuming = self._loop.call_later(wait, self._resume)

    def eof_received(self) -> bool:
        self._travelling.append((self._direction.arrival(0, time.monotonic()), b""))
        if self._timer is None:
            self._arm(time.monotonic())
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        if self.other is not None and self.other.transport is not None and not self._travelling:
            self.other.transport.close()

    def pause_writing(self) -> None:
        """The reader is slow: what travels towards it waits, and so does who sends it."""
        assert self.other is not None
        self.other._full = True

    def resume_writing(self) -> None:
        assert self.other is not None
        self.other._full = False
        self.other._arm(time.monotonic())

    def _resume(self) -> None:
        if self.transport is None:
            return
        wait = ROUND_TRIP / 2 if self._full else self._direction.crowded(time.monotonic())
        if wait > 0:
            self._resuming = self._loop.call_later(wait, self._resume)
        else:
            self.transport.resume_reading()

    def _arm(self, now: float) -> None:
        self._timer = None
        if self._travelling and not self._full:
            self._timer = self._loop.call_later(max(0.0, self._travelling[0][0] - now), self._deliver)

    def _deliver(self) -> None:
        now = time.monotonic()
        target = self.other.transport if self.other is not None else None
        while self._travelling and self._travelling[0][0] <= now and not self._full:
            data = self._travelling.popleft()[1]
            if target is None:
                continue
            if data:
                target.write(data)
            else:
                target.close()
        if self.transport is None and not self._travelling and target is not None:
            target.close()
        self._arm(now)


class Forwarder:
    def __init__(self) -> None:
        self.there, self.back = Direction(), Direction()

    async def lead_to(self, port: int) -> int:
        """A port that leads to ``port`` over the line."""
        loop = asyncio.get_running_loop()
        pending: set[asyncio.Task[None]] = set()

        def accepted() -> End:
            near = End(self.there)
            task = loop.create_task(join(near))
            pending.add(task)
            task.add_done_callback(pending.discard)
            return near

        async def join(near: End) -> None:
            far = End(self.back)
            near.other, far.other = far, near
            outward = socket.socket()
            _small_buffers(outward)
            outward.setblocking(False)
            await loop.sock_connect(outward, ("127.0.0.1", port))
            await loop.create_connection(lambda: far, sock=outward)

        listener = socket.socket()
        _small_buffers(listener)
        listener.bind(("127.0.0.1", 0))
        await loop.create_server(accepted, sock=listener)
        own: int = listener.getsockname()[1]
        return own


def _small_buffers(sock: socket.socket) -> None:
    for which in (socket.SO_RCVBUF, socket.SO_SNDBUF):
        sock.setsockopt(socket.SOL_SOCKET, which, SOCKET_BUFFER)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


async def forward(pipe: Pipe) -> None:
    forwarder = Forwarder()
    with contextlib.suppress(EOFError):
        while True:
            order: int | None = await asyncio.to_thread(pipe.recv)
            pipe.send(forwarder.back.passed if order is None else await forwarder.lead_to(order))


def forward_process(pipe: Pipe) -> None:
    with runner() as run:
        run.run(forward(pipe))


class LongLine:
    """The forwarder's process, as a context."""

    def __enter__(self) -> Self:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=forward_process, args=(theirs,), daemon=True)
        self._process.start()
        theirs.close()
        return self

    def __exit__(self, *_: object) -> None:
        self._pipe.close()
        self._process.terminate()
        self._process.join()

    def lead_to(self, port: int) -> int:
        """A port of this machine that leads to ``port`` over the line."""
        self._pipe.send(port)
        own: int = self._pipe.recv()
        return own

    def passed(self) -> int:
        """Bytes that came back from servers over the line so far."""
        self._pipe.send(None)
        size: int = self._pipe.recv()
        return size
