"""A network in memory, for simulations: asyncio transports with delay, bandwidth, loss and odd segment sizes.

    network = MemoryNetwork(seed=1)
    network.set_link("10.0.0.1", "10.0.0.2", Link(latency=0.05, bandwidth=10e6, loss=0.01))
    swarm = Swarm(config, upgrade, store, loop.time, [StreamTransport(network.host("10.0.0.1"), loop.time)])

It carries byte streams as TCP does: bytes of one connection stay in order and none is lost; a lost segment is held
back until it would have been sent again, and later ones wait behind it. Segments of different connections overtake
each other. A host may have a line of its own, which its connections share (``set_line()``, ``host_line``). Run it on
a ``virtual_clock.VirtualLoop``: then the same seed gives the same ``trace``.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

from cidery.errors import InvalidInput
from cidery.libp2p.io.udp_socket import Datagrams
from cidery.testing.host_line import HEADERS, SEGMENT, Flow, HostLine, Line, check_amounts, segment_size, window
from cidery.testing.memory_datagrams import MemoryDatagrams, MemorySocket
from cidery.testing.memory_transport import Endpoint, MemoryTransport, Pipe

P = TypeVar("P", bound=asyncio.BaseProtocol)

FIRST_PORT = 10_000
"""First port given to a listener or dialler that requests none."""
LEAST_RETRANSMISSION = 0.2
"""Minimum delay of a lost segment, in seconds (RFC 6298's minimum as in Linux)."""
SYN_AGAIN = 1.0
"""Seconds until an unanswered SYN is sent again; doubles each time (RFC 6298)."""
SYN_TIMES = 7
"""That it is sent, as Linux does: a dial ends after 127 seconds."""


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

    def __post_init__(self) -> None:
        """Raises InvalidInput."""
        check_amounts(self, ("latency", "jitter", "bandwidth", "loss"))
        if self.loss > 1.0:
            raise InvalidInput(f"loss of a Link is a share from 0 to 1, not {self.loss}")


@dataclass(slots=True)
class _Wire:
    """One direction between two hosts."""

    link: Link
    free_at: float = 0.0
    """When the last byte handed to it has left."""
    frozen: bool = False


class _Way(Flow):
    """A flow, and where it goes."""

    __slots__ = ("crossing", "down", "held", "pipe", "transport", "up")

    def __init__(self, transport: MemoryTransport, pipe: Pipe, up: Line[_Way], down: Line[_Way]) -> None:
        super().__init__()
        self.transport, self.pipe, self.up, self.down = transport, pipe, up, down
        self.crossing: deque[bytes | None] = deque()
        """Segments between both lines; each has a timer, and timers of the same time have no order."""
        self.held: list[bytes | None] = []
        """Segments that a frozen line keeps."""


class _Host:
    """Both directions of one host's line."""

    def __init__(self, network: MemoryNetwork) -> None:
        self.line = HostLine()
        self.up: Line[_Way] = Line(lambda way: way.may_send, network.take_segment, network.sent_segment)
        self.down: Line[_Way] = Line(
            lambda way: bool(way.arrived), lambda way: way.arrived.popleft(), network.received_segment
        )
        self.unplugged = False
        self.dead = False


class MemoryListener:
    """A bound address in memory."""

    def __init__(self, network: MemoryNetwork, endpoint: Endpoint) -> None:
        self._network = network
        self.endpoints = [endpoint]

    def close(self) -> None:
        self._network.listeners.pop(self.endpoints[0], None)


class MemoryHost:
    """The network as one host sees it. Satisfies ``libp2p.io.byte_network.ByteNetwork``."""

    private = False

    def __init__(self, network: MemoryNetwork, address: str) -> None:
        self._network = network
        self.address = address

    def covered(self, inner: asyncio.BufferedProtocol) -> asyncio.BufferedProtocol:
        return inner

    async def listen(self, make: Callable[[], asyncio.BaseProtocol], host: str, port: int) -> MemoryListener:
        endpoint = (self.address, port or self._network.next_port())
        if endpoint in self._network.listeners:
            raise OSError(98, "Address already in use")
        self._network.listeners[endpoint] = make
        return MemoryListener(self._network, endpoint)

    async def connect(self, make: Callable[[], P], host: str, port: int) -> P:
        """A dial of TCP. Raises OSError: refused, unreachable, or not answered for SYN_TIMES sendings."""
        network = self._network
        if network.is_dead(self.address):
            raise OSError(101, "Network is unreachable")
        target = network.reached(self.address, (host, port))
        delay = network.link(self.address, target[0]).latency if target is not None else 0.0
        await asyncio.sleep(2 * delay)  # SYN and its answer
        for sent in range(SYN_TIMES):
            if target is not None and not network.frozen(self.address, target[0]):
                return self._connected(make, target, (host, port))
            await asyncio.sleep(SYN_AGAIN * 2**sent)
        raise TimeoutError(110, "Connection timed out")

    async def connect_from(self, make: Callable[[], P], local: Endpoint, host: str, port: int) -> P:
        """As connect(), from a port that is listened on; through NATs where the other side does the same meanwhile."""
        network, there = self._network, (host, port)
        here = (self.address, local[1])
        target = network.reached(self.address, there)
        if target is not None:
            await asyncio.sleep(network.syn_delay(self.address, target[0]))
            return self._connected(make, target, there, here)
        seen = network.mapped(here)
        if seen == there:
            raise ConnectionRefusedError(111, "Connection refused")
        waiting = network.punches.pop((there, seen), None)
        if waiting is not None:
            other, accept, joined = waiting
            await asyncio.sleep(network.syn_delay(self.address, other[0]))
            protocol = self._joined(make, accept, here, other, there)
            joined.set_result(None)
            return protocol
        made: list[P] = []

        def kept() -> P:
            made.append(make())
            return made[0]

        joined = asyncio.get_running_loop().create_future()
        network.punches[seen, there] = (here, kept, joined)
        try:
            await asyncio.wait_for(asyncio.shield(joined), SYN_AGAIN * 2**SYN_TIMES)
        finally:
            network.punches.pop((seen, there), None)
        return made[0]

    def bind(self, host: str, port: int, receive: Callable[[Datagrams], None]) -> MemorySocket:
        """A UDP socket; every ``host`` is this one. Raises OSError."""
        return self._network.datagrams.bind(self.address, port, receive)

    def _connected(self, make: Callable[[], P], target: Endpoint, dialled: Endpoint, here: Endpoint | None = None) -> P:
        accept = self._network.listeners.get(target)
        if accept is None:
            raise ConnectionRefusedError(111, "Connection refused")
        return self._joined(make, accept, here or (self.address, self._network.next_port()), target, dialled)

    def _joined(
        self,
        make: Callable[[], P],
        accept: Callable[[], asyncio.BaseProtocol],
        here: Endpoint,
        target: Endpoint,
        dialled: Endpoint,
    ) -> P:
        network = self._network
        protocol = make()
        near = MemoryTransport(network, protocol, here, target, dialled)
        far = MemoryTransport(network, accept(), target, here, network.seen_as(here, target[0]))
        near.other, far.other = far, near
        network.transports += [near, far]
        far.get_protocol().connection_made(far)
        protocol.connection_made(near)
        return protocol


class MemoryNetwork:
    """All hosts, links and connections of a simulation."""

    def __init__(self, seed: int = 0, default: Link | None = None) -> None:
        self.random = random.Random(seed)
        self.listeners: dict[Endpoint, Callable[[], asyncio.BaseProtocol]] = {}
        self.transports: list[MemoryTransport] = []
        self.datagrams = MemoryDatagrams(self)
        self.punches: dict[tuple[Endpoint, Endpoint], tuple[Endpoint, Callable[[], Any], asyncio.Future[None]]] = {}
        """Dials that a NAT lets out and nobody in: from where as others see it, and whereto."""
        self._symmetric: set[str] = set()
        self.segments = self.bytes = 0
        """Delivered so far."""
        self._default = default or Link()
        self._links: dict[frozenset[str], Link] = {}
        self._wires: dict[tuple[str, str], _Wire] = {}
        self._hosts: dict[str, _Host] = {}
        self._routers: dict[str, str] = {}
        self._forwarded: dict[Endpoint, Endpoint] = {}
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
        for transport in self.transports:
            if {transport.here[0], transport.there[0]} == {one, other} and isinstance(way := transport.flow, _Way):
                self._fit(way)

    def link(self, one: str, other: str) -> Link:
        return self._links.get(frozenset((one, other)), self._default)

    def set_line(self, address: str, line: HostLine) -> None:
        """Change the line of a host, also for existing connections."""
        host = self._host(address)
        host.line, host.up.rate, host.down.rate = line, line.uplink, line.downlink
        for transport in self.transports:
            if address in (transport.here[0], transport.there[0]) and isinstance(way := transport.flow, _Way):
                self._fit(way)

    def carried(self, address: str) -> tuple[int, int]:
        """Bytes, with headers, that went up and down a host's line while it, or the other end's, was limited."""
        host = self._host(address)
        return host.up.bytes, host.down.bytes

    def set_nat(self, address: str, router: str, *, symmetric: bool = False) -> None:
        """Put a host behind a router whose public address is ``router``: others see its connections come from there.

        ``symmetric``: at another port for each of them, else the router keeps the port.

        Hosts behind the same router reach each other. Nobody else reaches it, but by ports that are forwarded.
        """
        self._routers[address] = router
        if symmetric:
            self._symmetric.add(router)

    def is_hidden(self, address: str) -> bool:
        """Whether a host is behind a NAT, or a wall (a NAT of its own address)."""
        return address in self._routers

    def is_symmetric(self, address: str) -> bool:
        """Whether its NAT gives it another port for each connection."""
        return self._routers.get(address) in self._symmetric

    def mapped(self, here: Endpoint) -> Endpoint:
        """Where the world sees a new connection from an endpoint come from."""
        router = self._routers.get(here[0])
        if router is None:
            return here
        return router, self.next_port() if router in self._symmetric else here[1]

    def forward(self, router: str, port: int, address: str, to: int) -> None:
        """Let connections to a port of a router go on to a port of a host behind it."""
        self._forwarded[router, port] = (address, to)

    def reached(self, source: str, dialled: Endpoint) -> Endpoint | None:
        """Where a dial by ``source`` ends; None: a router drops it."""
        target = self._forwarded.get(dialled, dialled)
        router = self._routers.get(target[0])
        if router is None:
            return None if target[0] in self._routers.values() else target
        return target if target is not dialled or self._routers.get(source) == router else None

    def seen_as(self, here: Endpoint, there: str) -> Endpoint:
        """The endpoint as the host ``there`` sees it; routers keep the port."""
        router = self._routers.get(here[0])
        return here if router is None or self._routers.get(there) == router else (router, here[1])

    def freeze(self, one: str, other: str) -> None:
        """Stop delivering between two hosts, silently."""
        self.partition([one], [other])

    def thaw(self, one: str, other: str) -> None:
        """Deliver again; data held back in the meantime arrives now."""
        self.heal([one], [other])

    def partition(self, ones: Iterable[str], others: Iterable[str]) -> None:
        """Freeze every pair of one host of each side."""
        self._set_frozen(ones, others, frozen=True)

    def heal(self, ones: Iterable[str], others: Iterable[str]) -> None:
        """Thaw these pairs."""
        self._set_frozen(ones, others, frozen=False)
        self._deliver_held()

    def unplug(self, address: str) -> None:
        """Pull a host's cable: nothing leaves it or reaches it, and nobody is told."""
        self._host(address).unplugged = True

    def plug(self, address: str) -> None:
        """Put it back; data held back in the meantime arrives now."""
        self._host(address).unplugged = False
        self._deliver_held()

    def kill(self, address: str) -> None:
        """End every process of a host, as a crash does: its connections are reset, and dials to it are refused."""
        self._host(address).dead = True
        for endpoint in [endpoint for endpoint in self.listeners if endpoint[0] == address]:
            del self.listeners[endpoint]
        for transport in [t for t in self.transports if t.here[0] == address]:
            transport.abort()

    def is_dead(self, address: str) -> bool:
        """Whether it was killed."""
        return address in self._hosts and self._hosts[address].dead

    def frozen(self, one: str, other: str) -> bool:
        return self._wire(one, other).frozen or self._unplugged(one) or self._unplugged(other)

    def cut(self, one: str, other: str) -> None:
        """Reset every connection between two hosts."""
        for transport in [t for t in self.transports if (t.here[0], t.there[0]) == (one, other)]:
            transport.abort()

    def syn_delay(self, one: str, other: str) -> float:
        """Seconds until a SYN is answered, which is sent again where it is lost."""
        link, delay = self.link(one, other), 0.0
        for sent in range(SYN_TIMES if link.loss else 0):
            if self.random.random() >= link.loss:
                break
            delay += SYN_AGAIN * 2**sent
        return delay + 2 * link.latency + (self.random.random() * 2 * link.jitter if link.jitter else 0.0)

    def _set_frozen(self, ones: Iterable[str], others: Iterable[str], *, frozen: bool) -> None:
        beyond = list(others)
        for one in ones:
            for other in beyond:
                self._wire(one, other).frozen = self._wire(other, one).frozen = frozen

    def _deliver_held(self) -> None:
        for transport in self.transports:
            if transport.other is None or self.is_frozen(transport):
                continue
            way = transport.flow
            if isinstance(way, _Way) and way.held:
                held, way.held = way.held, []
                for piece in held:
                    self._reached(way, piece)
            transport.rearm()

    def _unplugged(self, address: str) -> bool:
        return address in self._hosts and self._hosts[address].unplugged

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
        return self.frozen(transport.here[0], transport.there[0])

    def carry(self, transport: MemoryTransport, pipe: Pipe, data: bytes | None) -> None:
        """Cut ``data`` into segments and schedule their arrivals."""
        here, there = self._hosts.get(transport.here[0]), self._hosts.get(transport.there[0])
        if pipe.flow is None and ((here and here.line.limited) or (there and there.line.limited)):
            up, down = self._host(transport.here[0]).up, self._host(transport.there[0]).down
            pipe.flow = _Way(transport, pipe, up, down)
            self._fit(pipe.flow)
        if isinstance(way := pipe.flow, _Way):
            way.write(data)
            way.up.wake(way)
            return
        wire, at = self._wire(transport.here[0], transport.there[0]), 0
        while at < len(data or b"") or data is None:
            piece = None if data is None else data[at : at + self._segment_size(wire.link)]
            leaves = self._cross(wire, pipe, piece)
            pipe.segments.append((leaves, pipe.arrives, piece))
            at += len(piece or b"")
            if data is None:
                return

    def _cross(self, wire: _Wire, pipe: Pipe, piece: bytes | None) -> float:
        """Put a segment on the wire: it arrives at ``pipe.arrives``. The time at which it has left."""
        link, now = wire.link, asyncio.get_running_loop().time()
        size = HEADERS + len(piece or b"")
        leaves = max(now, wire.free_at) + (size / link.bandwidth if link.bandwidth else 0.0)
        wire.free_at = leaves
        arrives = leaves + link.latency + (self.random.random() * link.jitter if link.jitter else 0.0)
        if link.loss and self.random.random() < link.loss:
            arrives += max(LEAST_RETRANSMISSION, 2 * link.latency)
        pipe.arrives = max(pipe.arrives, arrives)
        return leaves

    # --- for the lines of hosts

    def take_segment(self, way: _Way) -> bytes | None:
        link = self.link(way.transport.here[0], way.transport.there[0])
        piece = way.next_segment(min(way.segment, self._segment_size(link)))
        way.flying += HEADERS + len(piece or b"")
        return piece

    def sent_segment(self, way: _Way, piece: bytes | None) -> None:
        """It went through the sender's line: onto the wire."""
        self._cross(self._wire(way.transport.here[0], way.transport.there[0]), way.pipe, piece)
        way.crossing.append(piece)
        asyncio.get_running_loop().call_at(way.pipe.arrives, self._crossed, way)
        way.transport.drained()

    def _crossed(self, way: _Way) -> None:
        self._reached(way, way.crossing.popleft())

    def _reached(self, way: _Way, piece: bytes | None) -> None:
        """It came to the receiver's line."""
        if way.held or self.is_frozen(way.transport):
            way.held.append(piece)
            return
        way.arrived.append(piece)
        way.down.wake(way)

    def received_segment(self, way: _Way, piece: bytes | None) -> None:
        way.transport.arrive(piece)

    def taken(self, transport: MemoryTransport, flow: Flow, data: bytes | None) -> None:
        assert isinstance(flow, _Way)  # carry() made it
        asyncio.get_running_loop().call_later(self.latency(transport), self._acknowledged, flow, data)

    def _acknowledged(self, way: _Way, data: bytes | None) -> None:
        way.flying = max(0, way.flying - HEADERS - len(data or b""))
        if way.may_send:
            way.up.wake(way)

    def _fit(self, way: _Way) -> None:
        """Size its window and segments for the lines that it takes."""
        here, there = way.transport.here[0], way.transport.there[0]
        link = self.link(here, there)
        rates = [self._host(here).line.uplink, self._host(there).line.downlink, link.bandwidth]
        way.window, way.segment = window(rates, 2 * link.latency), segment_size(rates)
        way.up.wake(way)

    def _host(self, address: str) -> _Host:
        host = self._hosts.get(address)
        if host is None:
            host = self._hosts[address] = _Host(self)
        return host

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
