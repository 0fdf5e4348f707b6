"""A network in memory, for simulations: asyncio transports with delay, bandwidth, loss and odd segment sizes.

    network = MemoryNetwork(seed=1)
    network.set_link("10.0.0.1", "10.0.0.2", Link(latency=0.05, bandwidth=10e6, loss=0.01))
    swarm = Swarm(config, upgrade, store, loop.time, network.host("10.0.0.1"))

It carries byte streams as TCP does: bytes of one connection stay in order and none is lost; a lost segment is held
back until it would have been sent again, and later ones wait behind it. Segments of different connections overtake
each other. Run it on a ``virtual_clock.VirtualLoop``: then the same seed gives the same ``trace``.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

P = TypeVar("P", bound=asyncio.BaseProtocol)

SEGMENT = 64 * 1024
"""Longest segment in bytes, unless the link has a smaller limit: the size of a large receive offload."""
FIRST_PORT = 10_000
"""First port given to a listener or dialler that requests none."""
LEAST_RETRANSMISSION = 0.2
"""Minimum delay of a lost segment, in seconds (RFC 6298's minimum as in Linux)."""


@dataclass(frozen=True, slots=True)
class Link:
    """The line between two hosts, the same in both directions."""

    latency: float = 0.0
    """Seconds one way."""
    jitter: float = 0.0
    """Most seconds added at random, per segment."""
    bandwidth: float = 0.0
    """Bytes per second in each direction, over all connections; 0: no limit."""
    loss: float = 0.0
    """Share of segments that are lost once and sent again."""
    least_segment: int = SEGMENT
    """Segments have a random size from this..."""
    largest_segment: int = SEGMENT
    """... to this, in bytes."""


@dataclass(slots=True)
class _Wire:
    """One direction between two hosts."""

    link: Link
    free_at: float = 0.0
    """When the last byte handed to it has left."""
    frozen: bool = False


@dataclass(slots=True)
class _Pipe:
    """One direction of one connection: segments on their way, in order. None is the end."""

    segments: deque[tuple[float, float, bytes | None]] = field(default_factory=deque)
    """(leaves, arrives, bytes)."""
    arrives: float = 0.0
    timer: asyncio.TimerHandle | None = None


class MemoryTransport(asyncio.Transport):
    """One end of a connection. ``pause_reading()`` plays a peer whose receive window is full."""

    def __init__(self, network: MemoryNetwork, protocol: asyncio.BaseProtocol, here: _Endpoint, there: _Endpoint):
        super().__init__({"peername": there, "sockname": here})
        self.here = here
        self.there = there
        self.other: MemoryTransport | None = None
        self.reading = True
        self._network = network
        self._protocol = protocol
        self._loop = asyncio.get_running_loop()
        self._out = _Pipe()
        self._high, self._low = 64 * 1024, 16 * 1024
        self._full = False
        self._closing = False
        self._lost = False

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
            self._loop.call_at(self._low_at(), self._drained)

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
        self._closing = True
        self._out.segments.clear()
        self._loop.call_soon(self._lose, None)
        other, delay = self.other, self._network.latency(self)
        assert other is not None  # both ends are made together
        self._loop.call_later(delay, other.lose, ConnectionResetError(104, "Connection reset by peer"))

    def lose(self, exc: Exception | None) -> None:
        """The connection has ended for this end."""
        self._closing = True
        self._out.segments.clear()
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

    def _drained(self) -> None:
        if self._full and self.get_write_buffer_size() <= self._low and not self._lost:
            self._full = False
            self._protocol.resume_writing()

    def rearm(self) -> None:
        """Segments may arrive again."""
        self._arm()

    def _arm(self) -> None:
        pipe = self._out
        if pipe.timer is None and pipe.segments and not self._network.is_frozen(self):
            pipe.timer = self._loop.call_at(pipe.segments[0][1], self._arrive)

    def _arrive(self) -> None:
        pipe, other, now = self._out, self.other, self._loop.time()
        pipe.timer = None
        assert other is not None
        while pipe.segments and pipe.segments[0][1] <= now and other.reading and not self._network.is_frozen(self):
            _, _, data = pipe.segments.popleft()
            other.take(data)
        if pipe.segments and other.reading:
            self._arm()
        if self._closing and not pipe.segments:
            self._lose(None)
        else:
            self._drained()

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
            buffer = memoryview(protocol.get_buffer(-1))
            size = min(len(buffer), len(data) - at)
            assert size  # an empty buffer would never be filled
            buffer[:size] = data[at : at + size]
            at += size
            protocol.buffer_updated(size)


_Endpoint = tuple[str, int]


class MemoryListener:
    """A bound address in memory."""

    def __init__(self, network: MemoryNetwork, endpoint: _Endpoint) -> None:
        self._network = network
        self.endpoints = [endpoint]

    def close(self) -> None:
        self._network.listeners.pop(self.endpoints[0], None)


class MemoryHost:
    """The network as one host sees it. Satisfies ``libp2p.io.transport.Transport``."""

    private = False

    def __init__(self, network: MemoryNetwork, address: str) -> None:
        self._network = network
        self.address = address

    async def listen(self, make: Callable[[], asyncio.BaseProtocol], host: str, port: int) -> MemoryListener:
        endpoint = (self.address, port or self._network.next_port())
        if endpoint in self._network.listeners:
            raise OSError(98, "Address already in use")
        self._network.listeners[endpoint] = make
        return MemoryListener(self._network, endpoint)

    async def connect(self, make: Callable[[], P], host: str, port: int) -> P:
        network = self._network
        here, there = (self.address, network.next_port()), (host, port)
        delay = network.link(self.address, host).latency
        await asyncio.sleep(2 * delay)  # SYN and its answer
        if network.frozen(self.address, host):
            await asyncio.get_running_loop().create_future()  # no answer: the caller's timeout ends this
        accept = network.listeners.get(there)
        if accept is None:
            raise ConnectionRefusedError(111, "Connection refused")
        protocol = make()
        near = MemoryTransport(network, protocol, here, there)
        far = MemoryTransport(network, accept(), there, here)
        near.other, far.other = far, near
        network.transports += [near, far]
        far.get_protocol().connection_made(far)
        protocol.connection_made(near)
        return protocol


class MemoryNetwork:
    """All hosts, links and connections of a simulation."""

    def __init__(self, seed: int = 0, default: Link | None = None) -> None:
        self.random = random.Random(seed)
        self.listeners: dict[_Endpoint, Callable[[], asyncio.BaseProtocol]] = {}
        self.transports: list[MemoryTransport] = []
        """Every end ever created, in order."""
        self.segments = self.bytes = 0
        """Delivered so far."""
        self._default = default or Link()
        self._links: dict[frozenset[str], Link] = {}
        self._wires: dict[tuple[str, str], _Wire] = {}
        self._trace = hashlib.sha256()
        self._port = FIRST_PORT

    def host(self, address: str) -> MemoryHost:
        """The network of one node; ``address`` is an IP address as text."""
        return MemoryHost(self, address)

    def set_link(self, one: str, other: str, link: Link) -> None:
        """Change the link between two hosts, also for existing connections."""
        self._links[frozenset((one, other))] = link
        for pair in ((one, other), (other, one)):
            if pair in self._wires:
                self._wires[pair].link = link

    def link(self, one: str, other: str) -> Link:
        return self._links.get(frozenset((one, other)), self._default)

    def freeze(self, one: str, other: str) -> None:
        """Stop delivering between two hosts, silently."""
        for pair in ((one, other), (other, one)):
            self._wire(*pair).frozen = True

    def thaw(self, one: str, other: str) -> None:
        """Deliver again; data held back in the meantime arrives now."""
        for pair in ((one, other), (other, one)):
            self._wire(*pair).frozen = False
        for transport in self.transports:
            if {transport.here[0], transport.there[0]} == {one, other} and transport.other is not None:
                transport.rearm()

    def frozen(self, one: str, other: str) -> bool:
        return self._wire(one, other).frozen

    def cut(self, one: str, other: str) -> None:
        """Reset every connection between two hosts."""
        for transport in [t for t in self.transports if (t.here[0], t.there[0]) == (one, other)]:
            transport.abort()

    @property
    def trace(self) -> str:
        """A digest of every delivery so far: when, where, which bytes."""
        return self._trace.hexdigest()

    # --- for transports

    def next_port(self) -> int:
        self._port += 1
        return self._port

    def latency(self, transport: MemoryTransport) -> float:
        return self.link(transport.here[0], transport.there[0]).latency

    def is_frozen(self, transport: MemoryTransport) -> bool:
        return self._wire(transport.here[0], transport.there[0]).frozen

    def carry(self, transport: MemoryTransport, pipe: _Pipe, data: bytes | None) -> None:
        """Cut ``data`` into segments and schedule their arrivals."""
        wire = self._wire(transport.here[0], transport.there[0])
        link, now, at = wire.link, asyncio.get_running_loop().time(), 0
        while at < len(data or b"") or data is None:
            piece = None if data is None else data[at : at + self._segment_size(link)]
            size = 40 + len(piece or b"")  # with the headers of IP and TCP
            leaves = max(now, wire.free_at) + (size / link.bandwidth if link.bandwidth else 0.0)
            wire.free_at = leaves
            arrives = leaves + link.latency + (self.random.random() * link.jitter if link.jitter else 0.0)
            if link.loss and self.random.random() < link.loss:
                arrives += max(LEAST_RETRANSMISSION, 2 * link.latency)
            pipe.arrives = max(pipe.arrives, arrives)
            pipe.segments.append((leaves, pipe.arrives, piece))
            at += len(piece or b"")
            if data is None:
                return

    def note(self, transport: MemoryTransport, data: bytes | None) -> None:
        self.segments += 1
        self.bytes += len(data or b"")
        when = asyncio.get_running_loop().time()
        self._trace.update(f"{when!r} {transport.there}>{transport.here} {data is None}".encode())
        self._trace.update(data or b"")

    def _segment_size(self, link: Link) -> int:
        if link.least_segment >= link.largest_segment:
            return link.largest_segment
        return self.random.randint(link.least_segment, link.largest_segment)

    def _wire(self, source: str, target: str) -> _Wire:
        wire = self._wires.get((source, target))
        if wire is None:
            wire = self._wires[source, target] = _Wire(self.link(source, target))
        return wire


def seeded_entropy(seed: int) -> Callable[[int], bytes]:
    """Bytes that look random but are the same in each run: keys and nonces of a simulation, never of a real node."""
    source: Any = random.Random(seed)
    return lambda size: bytes(source.randbytes(size))
