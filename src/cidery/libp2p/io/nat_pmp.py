"""NAT-PMP over UDP with the default gateway of this machine. The machine is in protocols/nat_pmp.py."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable
from ipaddress import IPv4Address
from pathlib import Path

from cidery.libp2p.io.port_mapping import Carrier, Port
from cidery.libp2p.protocols import nat_pmp
from cidery.libp2p.protocols.nat_pmp import NatPmp
from cidery.multiformats.multiaddr import Multiaddr

log = logging.getLogger("cidery.libp2p")

ROUTES = Path("/proc/net/route")
"""The system's IPv4 routes; only Linux has it."""
MAX_ROUTES = 256 * 1024
"""Bytes read of it."""
MAX_WAITING = 16
"""Datagrams of the gateway that wait; further ones are dropped."""
RELEASE_SECONDS = 1.0
"""For the answer when a mapping is taken back: the gateway is a few ms away, and the mapping ends by itself."""
_UP_GATEWAY = 0x1 | 0x2
_OPCODES = {Carrier.TCP: nat_pmp.TCP_OPCODE, Carrier.UDP: nat_pmp.UDP_OPCODE}


def default_gateway(table: str) -> IPv4Address | None:
    """The gateway of the default route with the least metric in a table like ROUTES, None if there is none."""
    best: tuple[int, IPv4Address] | None = None
    for line in table.splitlines()[1:]:
        fields = line.split()
        try:
            destination, gateway, flags, mask = (int(fields[at], 16) for at in (1, 2, 3, 7))
            metric = int(fields[6])
            address = IPv4Address(gateway.to_bytes(4, sys.byteorder))
        except (IndexError, ValueError, OverflowError):
            continue
        if destination or mask or flags & _UP_GATEWAY != _UP_GATEWAY:
            continue
        if best is None or metric < best[0]:
            best = metric, address
    return None if best is None else best[1]


def find_gateway() -> IPv4Address | None:
    """The default gateway of this machine, if it is one of a private network: others map no ports for us."""
    try:
        with ROUTES.open() as file:
            found = default_gateway(file.read(MAX_ROUTES))
    except OSError:
        return None
    return found if found is not None and not found.is_global else None


class NatPmpRouter:
    """Keeps ports mapped at the default gateway. Satisfies ``port_mapping.Router``."""

    def __init__(
        self,
        clock: Callable[[], float],
        find: Callable[[], IPv4Address | None] = find_gateway,
        port: int = nat_pmp.PORT,
    ) -> None:
        """``port``: of the gateway."""
        self._clock = clock
        self._find = find
        self._gateway_port = port

    async def keep(self, port: Port, report: Callable[[Multiaddr], bool]) -> None:
        """Map, tell where, renew; returns when the gateway does it no more. See ``port_mapping.Router``."""
        gateway = self._find()
        if gateway is None:
            return
        socket = _Socket()
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: socket, remote_addr=(str(gateway), self._gateway_port)
        )
        machine = NatPmp(_OPCODES[port.carrier], port.number, self._clock())
        kept = False
        try:
            while not machine.failure:
                before = machine.outside
                if (out := machine.data_to_send()) is not None:
                    transport.sendto(out)
                await self._advance(machine, socket)
                if machine.outside is not None and machine.outside != before:
                    kept = report(port.outside(str(machine.outside[0]), machine.outside[1]))
                    if not kept:
                        return
            log.debug("nat-pmp at %s: %s", gateway, machine.failure)
        finally:
            try:
                if kept:
                    transport.sendto(machine.release())
                    await socket.receive(RELEASE_SECONDS)
            finally:
                transport.close()

    async def _advance(self, machine: NatPmp, socket: _Socket) -> None:
        """Until the next datagram or deadline. Raises OSError if nobody listens at the gateway."""
        data = await socket.receive(max(machine.next_deadline() - self._clock(), 0.0))
        if data is None:
            machine.handle_deadline(self._clock())
        else:
            machine.receive_data(data, self._clock())


class _Socket(asyncio.DatagramProtocol):
    """Connected to the gateway: the system drops what others send."""

    def __init__(self) -> None:
        self._waiting: asyncio.Queue[bytes | OSError] = asyncio.Queue(MAX_WAITING)

    def datagram_received(self, data: bytes, addr: object) -> None:
        self._put(data[: nat_pmp.MAX_DATAGRAM])

    def error_received(self, exc: Exception) -> None:
        if isinstance(exc, OSError):
            self._put(exc)

    def _put(self, item: bytes | OSError) -> None:
        if not self._waiting.full():
            self._waiting.put_nowait(item)

    async def receive(self, seconds: float) -> bytes | None:
        """The next datagram, None if none comes in time. Raises OSError: the port is closed there (section 3.1)."""
        try:
            async with asyncio.timeout(seconds):
                item = await self._waiting.get()
        except TimeoutError:
            return None
        if isinstance(item, OSError):
            raise item
        return item
