"""Has the router of a home network pass ports on to this node, by whichever protocol it speaks.

A TCP port and a UDP port (QUIC) are mapped, each on its own: one may be refused and the other given. NAT-PMP and UPnP
are tried at once; the first that gives a mapping keeps it, the others end. Whatever answers on the local network is
only asked for a mapping: what it gives is a candidate address, believed when others have dialled it (AutoNAT).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import partial
from ipaddress import ip_address
from typing import Protocol

from cidery.libp2p.protocols.addresses import Scope, scope_of
from cidery.multiformats.multiaddr import Multiaddr, WsEndpoint
from cidery.multiformats.multiaddr_protocols import TCP, UDP
from cidery.tasks import end

log = logging.getLogger("cidery.libp2p")

SEARCH_AGAIN = 900.0
"""Seconds until a router is looked for again when there was none: people carry their machines about."""
LOST_AGAIN = 60.0
"""Seconds until one is looked for again that has mapped the port and stopped: it may have started anew."""


class Carrier(Enum):
    """What ports are of. The values are the names in addresses."""

    TCP = "tcp"
    UDP = "udp"


_CODES = {Carrier.TCP: TCP, Carrier.UDP: UDP}


@dataclass(frozen=True, slots=True)
class Port:
    """One that this node listens on."""

    carrier: Carrier
    number: int

    def outside(self, host: str, number: int) -> Multiaddr:
        """The plain address, ``/ip4/HOST/tcp/NUMBER`` say, that leads to it."""
        return Multiaddr.parse(f"/ip{ip_address(host).version}/{host}/{self.carrier.value}/{number}")


def mappable_port(carrier: Carrier, bound: Sequence[Multiaddr]) -> Port | None:
    """A port that a router of this network could forward; None if nothing listens beyond this machine."""
    for addr in bound:
        if carrier is Carrier.TCP:
            endpoint: tuple[str, int] | WsEndpoint | None = addr.tcp_endpoint() or addr.ws_endpoint()
        else:
            endpoint = addr.quic_endpoint()
        if endpoint is not None and scope_of(addr.encode()) is not Scope.LOOPBACK and ":" not in endpoint[0]:
            return Port(carrier, endpoint[1])
    return None


def every_form(port: Port, mapped: Multiaddr, bound: Sequence[Multiaddr]) -> list[Multiaddr]:
    """The plain address outside in each form that is listened for on the mapped port: WebSockets share it with TCP."""
    forms: dict[Multiaddr, None] = {}
    wanted = _CODES[port.carrier], port.number.to_bytes(2, "big")
    for addr in bound:
        if wanted in addr.components:
            forms[Multiaddr((*mapped.components, *addr.components[addr.components.index(wanted) + 1 :]))] = None
    return list(forms)


class Router(Protocol):
    """One way to a mapping."""

    async def keep(self, port: Port, report: Callable[[Multiaddr], bool]) -> None:
        """Map the port and keep it mapped until it is impossible or the call is cancelled.

        ``report`` gets the address outside, at first and after each change; where it says False another router was
        faster. A mapping that it was glad of is taken back at the end; another is left to its lifetime, since the same
        router may have given it twice and would take both. Runs for several ports at once. Raises OSError.
        """
        ...


class PortMapping:
    """Keeps one port mapped. ``mapped`` is the plain address outside, None while there is none."""

    def __init__(
        self, port: Callable[[], Port | None], on_change: Callable[[], None], routers: Sequence[Router]
    ) -> None:
        """``port``: what this node listens on; None: nothing that could be mapped."""
        self.mapped: Multiaddr | None = None
        self._port = port
        self._on_change = on_change
        self._routers = routers
        self._task: asyncio.Task[None] | None = None
        self._running: dict[Router, asyncio.Task[None]] = {}
        self._chosen: Router | None = None

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def close(self) -> None:
        """Take the mapping back, if the router still answers."""
        if self._task is not None:
            await end([self._task])

    async def _run(self) -> None:
        while True:
            port, pause = self._port(), SEARCH_AGAIN
            if port is not None:
                await self._race(port)
                pause = LOST_AGAIN if self._chosen is not None else SEARCH_AGAIN
                self._chosen = None
                self._set(None)
            await asyncio.sleep(pause)

    async def _race(self, port: Port) -> None:
        """All routers, until none keeps the port mapped any more. Cancelled: each takes back what it has mapped."""
        loop = asyncio.get_running_loop()
        self._running = {router: loop.create_task(self._keep(router, port)) for router in self._routers}
        try:
            await asyncio.wait(self._running.values())
        finally:
            await end(self._running.values())

    async def _keep(self, router: Router, port: Port) -> None:
        def report(addr: Multiaddr) -> bool:
            return self._report(router, addr)

        try:
            await router.keep(port, report)
        except OSError as exc:
            log.debug("port mapping: %s", exc)

    def _report(self, router: Router, addr: Multiaddr) -> bool:
        if self._chosen is None:
            self._chosen = router
            for other, task in self._running.items():
                if other is not router:
                    task.cancel()
        if self._chosen is not router:
            return False
        self._set(addr)
        return True

    def _set(self, addr: Multiaddr | None) -> None:
        if addr != self.mapped:
            self.mapped = addr
            if addr is not None:
                log.info("the router passes %s on to this node", addr)
            self._on_change()


class PortMappings:
    """A PortMapping for TCP and one for UDP."""

    def __init__(
        self, bound: Callable[[], Sequence[Multiaddr]], on_change: Callable[[], None], routers: Sequence[Router]
    ) -> None:
        """``bound``: the addresses listened on."""
        self._bound = bound
        self._each = {carrier: PortMapping(partial(self._port, carrier), on_change, routers) for carrier in Carrier}

    def _port(self, carrier: Carrier) -> Port | None:
        return mappable_port(carrier, self._bound())

    @property
    def mapped(self) -> list[Multiaddr]:
        """Where the router passes connections on to this node: addresses to dial."""
        forms: list[Multiaddr] = []
        for carrier, one in self._each.items():
            port = self._port(carrier)
            if port is not None and one.mapped is not None:
                forms += every_form(port, one.mapped, self._bound())
        return forms

    def start(self) -> None:
        for one in self._each.values():
            one.start()

    async def close(self) -> None:
        """Take all mappings back, at once."""
        await asyncio.gather(*(one.close() for one in self._each.values()))
