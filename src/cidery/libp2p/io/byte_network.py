"""Where byte streams come from: the operating system's TCP, or a network in memory with the same interface."""

from __future__ import annotations

import asyncio
import asyncio.trsock
import os
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Protocol, TypeVar, runtime_checkable

from cidery.host_names import addresses_of
from cidery.multiformats.address_filter import AddressFilter, AddressForbidden

P = TypeVar("P", bound=asyncio.BaseProtocol)

UNSENT = 128 * 1024
"""Bytes of a connection that the system takes beyond what is on its way: what waits here can still be put in order."""
SLOW_UNSENT = 32 * 1024
"""The same of a line that is slow, or not known: messages wait for them, and they take from whose turn is next."""
BACKLOG = 256
"""Connections that the system accepts before we do; beyond it dialling takes a second try."""


class Listener(Protocol):
    """A bound address."""

    @property
    def endpoints(self) -> Sequence[tuple[str, int]]:
        """(host, port) of each bound socket."""
        ...

    def close(self) -> None:
        """Accept no more. Connections that exist go on."""
        ...


class ByteNetwork(Protocol):
    """Makes asyncio transports and attaches protocols to them."""

    private: bool
    """Whether only those are understood that share a key."""

    async def listen(self, make: Callable[[], asyncio.BaseProtocol], host: str, port: int) -> Listener:
        """Accept connections; ``make`` is called for each. Raises OSError."""
        ...

    async def connect(self, make: Callable[[], P], host: str, port: int) -> P:
        """Connect; the protocol has its transport when this returns. Raises OSError, TooManyLookups,
        AddressForbidden. Cancel-safe."""
        ...

    def covered(self, inner: asyncio.BufferedProtocol) -> asyncio.BufferedProtocol:
        """What stands directly below a connection, so that only members understand it; ``inner`` itself if all do."""
        ...


@runtime_checkable
class SharesPorts(Protocol):
    """A network where connections can be made from a port that is listened on."""

    async def connect_from(self, make: Callable[[], P], local: tuple[str, int], host: str, port: int) -> P:
        """See TcpNetwork."""
        ...


class TcpListener:
    """A listening TCP socket per family that the host name stands for."""

    def __init__(self, server: asyncio.Server) -> None:
        self._server = server
        self.endpoints = [(str(sock.getsockname()[0]), int(sock.getsockname()[1])) for sock in server.sockets]

    def close(self) -> None:
        self._server.close()


class TcpNetwork:
    """TCP over IPv4 and IPv6 by the running loop."""

    private = False

    def __init__(self, addresses: AddressFilter) -> None:
        """``addresses``: where names may lead."""
        self._addresses = addresses

    def covered(self, inner: asyncio.BufferedProtocol) -> asyncio.BufferedProtocol:
        return inner

    async def listen(self, make: Callable[[], asyncio.BaseProtocol], host: str, port: int) -> TcpListener:
        server = await asyncio.get_running_loop().create_server(make, host, port, backlog=BACKLOG)
        for listening in server.sockets:
            _share_port(listening)  # only now: a port that another program listens on was refused
            _keep_little_unsent(listening)  # accepted sockets inherit it
        return TcpListener(server)

    async def connect_from(self, make: Callable[[], P], local: tuple[str, int], host: str, port: int) -> P:
        """Connect from an address that is listened on: NATs and peers then see one port. Raises OSError. Cancel-safe.

        Where the other side does the same at that moment, both have one connection, which both have dialled.
        """
        loop = asyncio.get_running_loop()
        self._addresses.check_host(host)
        sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        try:
            sock.setblocking(False)
            _share_port(sock)
            sock.bind(local)
            _keep_little_unsent(sock)
            await loop.sock_connect(sock, (host, port))
            _, protocol = await loop.create_connection(make, sock=sock)
        except BaseException:
            sock.close()
            raise
        return protocol

    async def connect(self, make: Callable[[], P], host: str, port: int) -> P:
        failure: OSError | AddressForbidden = OSError(f"{host} has no address")
        for _, address in await addresses_of(host):
            try:
                self._addresses.check_host(address)
                transport, protocol = await asyncio.get_running_loop().create_connection(make, address, port)
            except (OSError, AddressForbidden) as exc:
                failure = exc
            else:
                _keep_little_unsent(transport.get_extra_info("socket"))
                return protocol
        raise failure


def keep_unsent(transport: asyncio.BaseTransport, *, slow: bool) -> None:
    """Have the system take as little as at first, or more, where it lets programs choose."""
    _keep_little_unsent(transport.get_extra_info("socket"), SLOW_UNSENT if slow else UNSENT)


def _share_port(sock: socket.socket | asyncio.trsock.TransportSocket) -> None:
    """Let connections be made from the port of a listener, for hole punching. For programs of the same user only."""
    for name in ("SO_REUSEADDR", "SO_REUSEPORT"):
        if (option := getattr(socket, name, None)) is not None and os.name != "nt":
            sock.setsockopt(socket.SOL_SOCKET, option, 1)


def _keep_little_unsent(sock: socket.socket | asyncio.trsock.TransportSocket | None, most: int = SLOW_UNSENT) -> None:
    option = getattr(socket, "TCP_NOTSENT_LOWAT", None)  # Linux and macOS
    if sock is not None and option is not None:
        with suppress(OSError, ValueError):  # the connection may have ended, or be none of TCP
            sock.setsockopt(socket.IPPROTO_TCP, option, most)
