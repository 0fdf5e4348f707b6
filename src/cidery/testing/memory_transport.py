"""One end of a connection in memory, as asyncio sees it."""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from dataclasses import dataclass, field
from typing import Protocol

from cidery.testing.host_line import SEND_BUFFER, Flow

Endpoint = tuple[str, int]


@dataclass(slots=True)
class Pipe:
    """One direction of one connection: segments on their way, in order. None is the end."""

    segments: deque[tuple[float, float, bytes | None]] = field(default_factory=deque)
    """(leaves, arrives, bytes)."""
    arrives: float = 0.0
    timer: asyncio.TimerHandle | None = None
    flow: Flow | None = None
    """Set while one of the hosts has a limited line: bytes on it are not among ``segments`` before they arrive."""

    @property
    def empty(self) -> bool:
        """Whether everything that was written has arrived."""
        return not self.segments and (self.flow is None or not self.flow.pending)

    def clear(self) -> None:
        """Drop what was not sent, and what has not arrived."""
        self.segments.clear()
        if self.flow is not None:
            self.flow.clear()


class Ways(Protocol):
    """The network as a transport needs it."""

    def latency(self, transport: MemoryTransport) -> float: ...

    def is_frozen(self, transport: MemoryTransport) -> bool: ...

    def carry(self, transport: MemoryTransport, pipe: Pipe, data: bytes | None) -> None:
        """Take bytes to the other end; None: the end of the stream."""
        ...

    def taken(self, transport: MemoryTransport, flow: Flow, data: bytes | None) -> None:
        """The other end has received a segment of a flow."""
        ...

    def note(self, transport: MemoryTransport, data: bytes | None) -> None:
        """A segment was delivered."""
        ...


class MemorySocket:
    """What a program may ask of the system for a connection: how much it takes beyond what is on its way."""

    def __init__(self) -> None:
        self.unsent = SEND_BUFFER

    def setsockopt(self, _level: int, option: int, value: int) -> None:
        if option == getattr(socket, "TCP_NOTSENT_LOWAT", None):
            self.unsent = value

    def getsockopt(self, _level: int, _option: int, _size: int = 0) -> bytes:
        raise OSError(95, "Operation not supported")


class MemoryTransport(asyncio.Transport):
    """One end of a connection. ``pause_reading()`` plays a peer whose receive window is full."""

    def __init__(
        self, network: Ways, protocol: asyncio.BaseProtocol, here: Endpoint, there: Endpoint, peername: Endpoint
    ):
        """``peername``: how the other end looks from here, which a router may change."""
        self._socket = MemorySocket()
        super().__init__({"peername": peername, "sockname": here, "socket": self._socket})
        self.here = here
        self.there = there
        self.other: MemoryTransport | None = None
        self.reading = True
        self._network = network
        self._protocol = protocol
        self._loop = asyncio.get_running_loop()
        self._out = Pipe()
        self._high, self._low = 64 * 1024, 16 * 1024
        self._full = False
        self._closing = False
        self._lost = False
        self._aborted = False

    # --- asyncio.Transport

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._protocol

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = protocol

    def is_closing(self) -> bool:
        return self._closing

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._high = 64 * 1024 if high is None else high
        self._low = self._high // 4 if low is None else low

    def get_write_buffer_size(self) -> int:
        """Bytes that have not left: they wait for the line, or for a peer that does not read."""
        if self._out.flow is not None:
            return max(0, self._out.flow.waiting - self._socket.unsent)
        assert self.other is not None  # both ends are made together
        now, total = self._loop.time(), 0
        for leaves, _, data in reversed(self._out.segments):
            if self.other.reading and leaves <= now:
                break
            total += len(data or b"")
        return total

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self._closing or not len(data):
            return
        self._network.carry(self, self._out, bytes(data))
        self._arm()
        if not self._full and self.get_write_buffer_size() > self._high:
            self._full = True
            self._protocol.pause_writing()
            if self._out.flow is None:
                self._loop.call_at(self._low_at(), self.drained)

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self._network.carry(self, self._out, None)
        self._arm()

    def close(self) -> None:
        """Deliver the written data, then the end; until it has left, the connection stays."""
        if not self._closing:
            self._closing = True
            waiting = self.get_write_buffer_size()
            self.write_eof()
            if not waiting:
                self._loop.call_soon(self._lose, None)

    def abort(self) -> None:
        """Drop the written data; the other end sees a reset."""
        if self._lost:
            return
        self._closing = self._aborted = True
        self._out.clear()
        self._loop.call_soon(self._lose, None)
        if not self._network.is_frozen(self):
            self._reset_other()

    def _reset_other(self) -> None:
        assert self.other is not None  # both ends are made together
        delay = self._network.latency(self)
        self._loop.call_later(delay, self.other.lose, ConnectionResetError(104, "Connection reset by peer"))

    def lose(self, exc: Exception | None) -> None:
        """The connection has ended for this end."""
        self._closing = True
        self._out.clear()
        self._lose(exc)

    def pause_reading(self) -> None:
        """Receive nothing until resume_reading(): the other end's bytes pile up there."""
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True
        assert self.other is not None
        self.other._arm()

    # --- inside

    def _lose(self, exc: Exception | None) -> None:
        if not self._lost:
            self._lost = True
            self._protocol.connection_lost(exc)

    def _low_at(self) -> float:
        """Time when so much will have left that more may be written: bytes on the line no longer count."""
        waiting = 0
        for leaves, _, data in reversed(self._out.segments):
            waiting += len(data or b"")
            if waiting > self._low:
                return leaves
        return self._loop.time()

    def drained(self) -> None:
        """Bytes have left: more may be written, or nothing holds back the end."""
        if self._closing and self._out.flow is not None and not self.get_write_buffer_size():
            self._lose(None)
        if self._full and self.get_write_buffer_size() <= self._low and not self._lost:
            self._full = False
            self._protocol.resume_writing()

    @property
    def flow(self) -> Flow | None:
        """What leads from here to the other end, if a line on the way is limited."""
        return self._out.flow

    def rearm(self) -> None:
        """Segments may arrive again."""
        if self._aborted:
            self._reset_other()
        self._arm()

    def _arm(self) -> None:
        pipe = self._out
        if pipe.timer is None and pipe.segments and not self._network.is_frozen(self):
            pipe.timer = self._loop.call_at(pipe.segments[0][1], self._arrive)

    def arrive(self, data: bytes | None) -> None:
        """A segment of the flow from here came through the other end's line."""
        now = self._loop.time()
        self._out.segments.append((now, now, data))
        if self._out.timer is None:
            self._arrive()

    def _arrive(self) -> None:
        pipe, other, now = self._out, self.other, self._loop.time()
        pipe.timer = None
        assert other is not None
        while pipe.segments and pipe.segments[0][1] <= now and other.reading and not self._network.is_frozen(self):
            _, _, data = pipe.segments.popleft()
            other.take(data)
            if pipe.flow is not None:
                self._network.taken(self, pipe.flow, data)
        if pipe.segments and other.reading:
            self._arm()
        if self._closing and pipe.empty:
            self._lose(None)
        else:
            self.drained()

    def take(self, data: bytes | None) -> None:
        """A segment arrived here."""
        protocol = self._protocol
        if self._lost or self._closing:
            return
        self._network.note(self, data)
        if data is None:
            if not protocol.eof_received():  # type: ignore[attr-defined]
                self.close()
            return
        if not isinstance(protocol, asyncio.BufferedProtocol):
            assert isinstance(protocol, asyncio.Protocol)  # there are two kinds
            protocol.data_received(data)
            return
        at = 0
        while at < len(data) and not self._closing:
            protocol = self._protocol  # what takes the first bytes may hand the rest to another one
            assert isinstance(protocol, asyncio.BufferedProtocol)
            buffer = memoryview(protocol.get_buffer(-1))
            size = min(len(buffer), len(data) - at)
            assert size  # an empty buffer would never be filled
            buffer[:size] = data[at : at + size]
            at += size
            protocol.buffer_updated(size)
