"""UDP of a network in memory: datagrams with delay, jitter and loss, through NATs that let in what was asked for.

The hosts, links and NATs are those of MemoryNetwork. A NAT lets a datagram in whose source its host has sent to before,
address and port; what it has let out once stays open.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Protocol

from cidery.libp2p.io.udp_socket import Batching, Datagrams
from cidery.testing.memory_transport import Endpoint


class Line(Protocol):
    """memory_network.Link."""

    @property
    def latency(self) -> float: ...

    @property
    def jitter(self) -> float: ...

    @property
    def loss(self) -> float: ...


class Hosts(Protocol):
    """What is needed of a MemoryNetwork."""

    random: random.Random

    def next_port(self) -> int: ...

    def link(self, one: str, other: str) -> Line: ...

    def is_hidden(self, address: str) -> bool: ...

    def is_symmetric(self, address: str) -> bool: ...

    def mapped(self, here: Endpoint) -> Endpoint: ...


class MemorySocket:
    """A bound one. Satisfies libp2p.io.udp_socket.DatagramSocket."""

    blocked = False

    def __init__(self, datagrams: MemoryDatagrams, endpoint: Endpoint, receive: Callable[[Datagrams], None]) -> None:
        self._datagrams = datagrams
        self.endpoint = endpoint
        self.receive = receive
        self.closed = False

    def batch_by(self, make: Callable[[int], Batching]) -> None:
        """There is no kernel that could take many at once."""

    def call_when_writable(self, resume: Callable[[], None]) -> None:
        asyncio.get_running_loop().call_soon(resume)  # it always is

    def send(self, datagrams: list[bytes], target: Endpoint) -> None:
        if not self.closed:
            self._datagrams.send(self.endpoint, datagrams, target)

    def close(self) -> None:
        self.closed = True
        self._datagrams.sockets.pop(self.endpoint, None)


class MemoryDatagrams:
    """All sockets of a network."""

    def __init__(self, network: Hosts) -> None:
        self.sockets: dict[Endpoint, MemorySocket] = {}
        self._network = network
        self._outside: dict[tuple[Endpoint, Endpoint | None], Endpoint] = {}
        """Of a host's endpoint, towards a target if its NAT tells them apart: where the world sees it."""
        self._inside: dict[Endpoint, Endpoint] = {}
        self._holes: set[tuple[Endpoint, Endpoint]] = set()
        """Where the world sees a host, and to whom it has sent from there."""

    def bind(self, address: str, port: int, receive: Callable[[Datagrams], None]) -> MemorySocket:
        """Raises OSError: the port is taken."""
        endpoint = (address, port or self._network.next_port())
        if endpoint in self.sockets:
            raise OSError(98, "Address already in use")
        self.sockets[endpoint] = made = MemorySocket(self, endpoint, receive)
        return made

    def send(self, here: Endpoint, datagrams: list[bytes], target: Endpoint) -> None:
        network, loop = self._network, asyncio.get_running_loop()
        source = self._let_out(here, target)
        link = network.link(here[0], self._inside.get(target, target)[0])
        for data in datagrams:
            if network.random.random() >= link.loss:
                delay = link.latency + network.random.random() * link.jitter
                loop.call_later(delay, self._arrive, source, target, data)

    def _let_out(self, here: Endpoint, target: Endpoint) -> Endpoint:
        network = self._network
        if not network.is_hidden(here[0]):
            return here
        key = (here, target if network.is_symmetric(here[0]) else None)
        if key not in self._outside:
            self._outside[key] = outside = network.mapped(here)
            self._inside[outside] = here
        self._holes.add((self._outside[key], target))
        return self._outside[key]

    def _arrive(self, source: Endpoint, target: Endpoint, data: bytes) -> None:
        inside = self._inside.get(target)
        if inside is not None and (target, source) not in self._holes:
            return
        if inside is None and self._network.is_hidden(target[0]):
            return
        if (sock := self.sockets.get(inside or target)) is not None:
            sock.receive([(data, source)])
