"""A stream of one connection as the transport below another: what a relay passes on, the usual handshake runs over."""

from __future__ import annotations

import asyncio

from cidery.errors import CideryError
from cidery.libp2p.io.stream import Stream
from cidery.libp2p.protocols.muxer import LOW_WATER
from cidery.multiformats.varint import Buffer
from cidery.tasks import Tasks

HIGH_WATER = 4 * LOW_WATER
"""Bytes unsent above which what is above is told to pause."""
CLOSE_GRACE = 2.0
"""Seconds, beside round trips, for the other side to end the stream after this one has."""


class StreamSocket(asyncio.Transport):
    """start() attaches the protocol; the stream is read by nobody else from then on."""

    def __init__(self, stream: Stream, above: asyncio.BufferedProtocol) -> None:
        super().__init__()
        self._stream = stream
        self._above = above
        self._may_read = asyncio.Event()
        self._may_read.set()
        self._paused = self._closing = self._lost = False
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when nothing more is read from the stream or written to it here."""
        self._tasks = Tasks()

    def start(self) -> None:
        self._above.connection_made(self)
        if not self._closing:
            self._tasks.spawn(self._read())

    # --- reading

    async def _read(self) -> None:
        try:
            while not self._closing:
                await self._may_read.wait()
                if not await self._stream.wait_readable():
                    self._above.eof_received()
                    self.close()
                    return
                if self._closing or not self._may_read.is_set():
                    continue
                room = memoryview(self._above.get_buffer(-1))
                data = await self._stream.read(len(room))
                room[: len(data)] = data
                self._above.buffer_updated(len(data))
                await asyncio.sleep(0)  # a full stream must not keep the loop to itself
        except CideryError as exc:
            self._end(exc)

    def pause_reading(self) -> None:
        self._may_read.clear()

    def resume_reading(self) -> None:
        self._may_read.set()

    # --- writing

    def write(self, data: Buffer) -> None:
        if self._closing or not len(data):
            return
        try:
            self._stream.put(data)
        except CideryError as exc:
            self._end(exc)
            return
        if self._stream.inner.out_bytes > HIGH_WATER and not self._paused:
            self._paused = True
            self._above.pause_writing()
            self._tasks.spawn(self._resume())

    async def _resume(self) -> None:
        try:
            await self._stream.write()
        except CideryError as exc:
            self._end(exc)
            return
        self._paused = False
        if not self._closing:
            self._above.resume_writing()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """The muxer has its own."""

    def get_write_buffer_size(self) -> int:
        return self._stream.inner.out_bytes

    # --- the end

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        """What was written is sent, then the stream ends."""
        if not self._closing:
            self._closing = True
            self._may_read.set()
            self._finishing = asyncio.get_running_loop().create_task(self._finish())

    async def _finish(self) -> None:
        stream = self._stream
        try:
            async with asyncio.timeout(stream.connection.wait(CLOSE_GRACE)):
                await self._tasks.close()  # it has one reader and one writer at a time
                await stream.drain()
                stream.close_write()
                while await stream.read(HIGH_WATER):
                    pass
        except (CideryError, TimeoutError):
            pass
        finally:
            self._end(None)

    def abort(self) -> None:
        self._end(None)

    def _end(self, exc: Exception | None) -> None:
        self._closing = True
        if not self._lost:
            self._lost = True
            self.ended.set_result(None)
            self._stream.reset("the connection over it is over")
            self._above.connection_lost(exc)
