"""What lies between a socket and a connection: a layer is a protocol to what is below, a transport to what is above.

A layer has a receive buffer of its own, and puts what it makes of it into the buffer of what is above.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import cast

from cidery.multiformats.varint import Buffer

FIRST_BUFFER, LARGEST_BUFFER = 16 * 1024, 256 * 1024
"""Receive buffer of a quiet layer and of a busy one, in bytes."""


def feed(above: asyncio.BufferedProtocol, pieces: Sequence[Buffer], below: asyncio.Transport) -> None:
    """Hand received bytes on, as many at a time as the other has room for, until it closes what is below."""
    waiting = deque(memoryview(piece) for piece in pieces if len(piece))
    while waiting and not below.is_closing():
        room = cast(memoryview, above.get_buffer(-1))
        filled = 0
        while waiting and filled < len(room):
            piece = waiting.popleft()
            count = min(len(piece), len(room) - filled)
            room[filled : filled + count] = piece[:count]
            filled += count
            if count < len(piece):
                waiting.appendleft(piece[count:])
        above.buffer_updated(filled)


class Layer(asyncio.BufferedProtocol):
    """Passes everything on that it does not change: a subclass overrides receive(), and opens what is above."""

    def __init__(self, above: asyncio.BufferedProtocol) -> None:
        self.above = above
        self._below: asyncio.Transport | None = None
        self._buffer = memoryview(b"")
        self._lost = False

    # --- what a layer does

    def receive(self, data: memoryview) -> None:
        """Bytes from below, valid until this returns."""
        raise NotImplementedError

    def fail(self, reason: Exception) -> None:
        """End what is above and what is below."""
        if not self._lost:
            self._lost = True
            if self._below is not None:
                self._below.close()
            self.above.connection_lost(reason)

    @property
    def below(self) -> asyncio.Transport:
        assert self._below is not None  # asyncio has made the connection
        return self._below

    # --- asyncio.BufferedProtocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._below = cast(asyncio.Transport, transport)  # uvloop's is not a subclass
        self._buffer = memoryview(bytearray(FIRST_BUFFER))

    def get_buffer(self, _sizehint: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, count: int) -> None:
        if not self._lost:
            self.receive(self._buffer[:count])
            if count == len(self._buffer) < LARGEST_BUFFER:
                self._buffer = memoryview(bytearray(count * 4))

    def eof_received(self) -> bool | None:
        return self.above.eof_received() if not self._lost else False

    def connection_lost(self, exc: Exception | None) -> None:
        self._buffer = memoryview(b"")
        if not self._lost:
            self._lost = True
            self.above.connection_lost(exc)

    def pause_writing(self) -> None:
        self.above.pause_writing()

    def resume_writing(self) -> None:
        self.above.resume_writing()


class LayerTransport(asyncio.Transport):
    """The transport below as what is above sees it: a subclass changes what is written."""

    def __init__(self, below: asyncio.Transport) -> None:
        super().__init__()
        self._below = below

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._below.set_write_buffer_limits(high, low)

    def get_write_buffer_size(self) -> int:
        return self._below.get_write_buffer_size()

    def get_extra_info(self, name: str, default: object = None) -> object:
        return self._below.get_extra_info(name, default)

    def pause_reading(self) -> None:
        self._below.pause_reading()

    def resume_reading(self) -> None:
        self._below.resume_reading()

    def is_closing(self) -> bool:
        return self._below.is_closing()

    def close(self) -> None:
        self._below.close()

    def abort(self) -> None:
        self._below.abort()
