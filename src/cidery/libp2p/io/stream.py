"""A stream as tasks use it: await bytes, messages, room to write. One reader and one writer at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Protocol, TypeVar

from cidery.errors import RemoteProtocolError
from cidery.identity.peer_id import PeerId
from cidery.libp2p.io.traffic import Traffic
from cidery.libp2p.protocols import multistream
from cidery.libp2p.protocols.muxed_stream import MessageTooLarge, MuxedStream, StreamReset
from cidery.libp2p.protocols.muxer import LOW_WATER
from cidery.libp2p.protocols.steps import Send, Steps
from cidery.multiformats.varint import MAX_VARINT_BYTES, Buffer, VarintError, decode_uvarint, encode_uvarint

T = TypeVar("T")


class Carrier(Protocol):
    """The connection as its streams see it."""

    @property
    def peer(self) -> PeerId: ...

    def wait(self, base: float, factor: float = 4.0) -> float: ...

    def send(self, inner: MuxedStream, *data: Buffer) -> None: ...

    def read(self, inner: MuxedStream, limit: int) -> bytes: ...

    def read_into(self, inner: MuxedStream, target: memoryview) -> None: ...

    def frame(self, inner: MuxedStream, limit: int) -> None: ...

    def next_message(self, inner: MuxedStream) -> memoryview | None: ...

    def expect_bulk(self, inner: MuxedStream) -> None: ...

    def close_write(self, inner: MuxedStream) -> None: ...

    def reset(self, inner: MuxedStream, reason: str) -> None: ...


class StreamCut(RemoteProtocolError):
    """The peer ended the stream in the middle of something."""

    def __str__(self) -> str:
        return "the peer ended the stream in the middle of a message"


class Stream:
    """One negotiated stream of a connection.

    Cancellation: every method may be cancelled; bytes already queued are still sent. What an unfinished
    read_exactly() or read_message() had taken is lost; the other readers lose nothing.
    """

    def __init__(self, connection: Carrier, inner: MuxedStream, traffic: Traffic) -> None:
        """``traffic``: where its bytes are counted."""
        self.connection = connection
        self.inner = inner
        self.protocol = ""
        """Once it is agreed on."""
        self._traffic = traffic
        self._unconfirmed = False
        self._reader: asyncio.Future[None] | None = None
        self._writer: asyncio.Future[None] | None = None

    # --- negotiation

    async def run(self, steps: Steps[T]) -> T:
        """Run a handshake on this stream. Raises what it raises, StreamCut, StreamReset."""
        inbox, taken, resume = self.inner.inbox, 0, None
        while True:
            try:
                step = next(steps) if resume is None else steps.send(resume)
            except StopIteration as stop:
                if taken:
                    self._counted(self.connection.read(self.inner, taken))
                return stop.value  # type: ignore[no-any-return]
            if isinstance(step, Send):
                await self.write(step.data)
                resume = b""
            elif len(inbox) - taken >= step.size:  # the muxer hears once of what is read in many small pieces
                resume = bytes(inbox[taken : taken + step.size])
                taken += step.size
            else:
                if taken:
                    self._counted(self.connection.read(self.inner, taken))
                    taken = 0
                resume = await self.read_exactly(step.size)

    def propose_optimistically(self, protocol: str) -> None:
        """Queue the proposal without waiting; the first read checks the answer."""
        self.protocol = protocol
        self._unconfirmed = True
        self.connection.send(self.inner, multistream.optimistic_opening(protocol))

    async def _confirm(self) -> None:
        if self._unconfirmed:
            self._unconfirmed = False
            try:
                await self.run(multistream.confirm(self.protocol))
            except BaseException:
                self.reset("negotiation failed")  # half an answer may have been read
                raise

    # --- reading

    async def read(self, limit: int) -> bytes:
        """Up to ``limit`` bytes as soon as any are there; b"" at the end. Raises StreamReset."""
        await self._confirm()
        if not await self._wait_more(0):
            return b""
        return self._counted(self.connection.read(self.inner, limit))

    async def read_exactly(self, size: int) -> bytes:
        """Exactly ``size`` bytes. Raises StreamCut at an early end, StreamReset."""
        await self._confirm()
        out = bytearray()
        while len(out) < size:
            if not await self._wait_more(0):
                raise StreamCut()
            out += self._counted(self.connection.read(self.inner, size - len(out)))
        return bytes(out)

    async def read_message(self, limit: int) -> memoryview | None:
        """One uvarint-length-prefixed message of at most ``limit`` bytes; None at the end of the stream.

        The message's bytes are copied once, from the decrypted frame to the returned buffer.

        Raises:
            MessageTooLarge, StreamCut, StreamReset, VarintError.
        """
        await self._confirm()
        inner = self.inner
        while True:
            if inner.inbox:
                try:
                    size, used = decode_uvarint(inner.inbox)
                    break
                except VarintError:
                    if len(inner.inbox) >= MAX_VARINT_BYTES or inner.fin_received:
                        raise
            had = len(inner.inbox)
            if not await self._wait_more(had):
                if had:
                    raise StreamCut()
                return None
        if size > limit:
            raise MessageTooLarge(size, limit)
        self.connection.read(inner, used)
        target = memoryview(bytearray(size))
        if size:
            self.connection.read_into(inner, target)
            try:
                while inner.target_at < size:
                    if inner.reset_reason:
                        raise StreamReset(inner.reset_reason)
                    if inner.fin_received:
                        raise StreamCut()
                    await self._sleep_reader()
            finally:
                inner.target = None
        self._traffic.count(self.protocol, received=used + size)
        return target

    async def messages(self, limit: int, began: Callable[[], None] = lambda: None) -> AsyncIterator[memoryview]:
        """Every length-prefixed message until the end of the stream, each in a buffer of its own.

        ``began``: called while only a part of a large one is here.

        The machine cuts them as bytes arrive, also while the reader is busy: one copy per byte. Nothing else can be
        read from the stream afterwards. Raises as read_message().
        """
        await self._confirm()
        inner = self.inner
        self.connection.frame(inner, limit)
        while True:
            if (message := self.connection.next_message(inner)) is not None:
                self._traffic.count(self.protocol, received=len(message))
                yield message
            elif inner.reset_reason:
                raise StreamReset(inner.reset_reason)
            elif inner.frame_error is not None:
                raise inner.frame_error
            elif inner.fin_received:
                if inner.target is not None or inner.inbox:
                    raise StreamCut()
                return
            else:
                if inner.began:
                    inner.began = False
                    began()
                await self._sleep_reader()

    def _counted(self, data: bytes) -> bytes:
        self._traffic.count(self.protocol, received=len(data))
        return data

    async def wait_readable(self) -> bool:
        """Wait for the next byte without taking it; False at the end of the stream. Raises StreamReset."""
        await self._confirm()
        return await self._wait_more(0)

    async def _wait_more(self, had: int) -> bool:
        """Wait until more than ``had`` bytes are there; False at the end. Raises StreamReset."""
        inner = self.inner
        while len(inner.inbox) <= had:
            if inner.reset_reason:
                raise StreamReset(inner.reset_reason)
            if inner.fin_received:
                return False
            await self._sleep_reader()
        return True

    async def _sleep_reader(self) -> None:
        assert self._reader is None  # one reader at a time
        self._reader = asyncio.get_running_loop().create_future()
        try:
            await self._reader
        finally:
            self._reader = None

    def expect_bulk(self) -> None:
        """Much was asked for and will be read as it comes: let the peer fill a long line from the first byte on."""
        self.connection.expect_bulk(self.inner)

    # --- writing

    async def write(self, *data: Buffer) -> None:
        """Queue buffers and wait until little of this stream is unsent. Raises StreamReset, StreamClosed.

        Buffers are not copied: leave them unchanged until the write returns and the stream is drained.
        """
        self.connection.send(self.inner, *data)
        self._traffic.count(self.protocol, sent=sum(map(len, data)))
        await self._wait_below(LOW_WATER)

    def put(self, *data: Buffer) -> None:
        """Queue buffers without waiting; the caller watches ``inner.out_bytes``. Raises as write()."""
        self.connection.send(self.inner, *data)
        self._traffic.count(self.protocol, sent=sum(map(len, data)))

    async def drain(self) -> None:
        """Wait until everything queued was handed to the connection. Raises StreamReset."""
        await self._wait_below(1)

    async def _wait_below(self, limit: int) -> None:
        while self.inner.out_bytes >= limit:
            assert self._writer is None  # one writer at a time
            self._writer = asyncio.get_running_loop().create_future()
            try:
                await self._writer
            finally:
                self._writer = None
            if self.inner.reset_reason:
                raise StreamReset(self.inner.reset_reason)

    async def write_message(self, *data: Buffer) -> None:
        """Write the buffers as one length-prefixed message."""
        await self.write(encode_uvarint(sum(len(piece) for piece in data)), *data)

    def close_write(self) -> None:
        """Half-close after what is queued."""
        self.connection.close_write(self.inner)

    def reset(self, reason: str = "cancelled here") -> None:
        """End both directions at once."""
        self.connection.reset(self.inner, reason)

    def wake(self) -> bool:
        """Called by the connection when the machine says that this stream changed; whether its reader is woken."""
        inner = self.inner
        if self._writer is not None and not self._writer.done():
            if inner.out_bytes < LOW_WATER or inner.reset_reason:
                self._writer.set_result(None)
        if self._reader is None or not inner.readable or self._reader.done():
            return False
        self._reader.set_result(None)
        return True
