"""The sockets of ``gateway serve``: for each address one per worker, or one for all."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from cidery.commands.bind import BadCall
from cidery.errors import InvalidInput
from cidery.gateway.listen import CannotListen
from cidery.http.server import BACKLOG
from cidery.http.unix_socket import SocketFile, bind_unix
from cidery.multiformats.multiaddr import Multiaddr

BALANCED = sys.platform == "linux"
"""Whether the system deals connections out to several sockets of one port; elsewhere workers share one socket."""


class AddressTaken(CannotListen):
    """An address of the workers cannot be had, perhaps because the daemon's own gateway has it."""

    def __str__(self) -> str:
        return (
            f"the workers cannot listen on {self.addr}: {self.reason}; give another address with --listen, or keep the "
            "daemon's own gateway from it: cidery config --json Addresses.Gateway '[]'"
        )


class Listening:
    """Bound, listening sockets."""

    def __init__(self) -> None:
        self.addrs: list[Multiaddr] = []
        """With their real ports."""
        self._files: list[SocketFile] = []
        self._sockets: list[list[socket.socket]] = []
        """For each address, by number of the worker; the last is that of all further workers."""

    def add(self, addr: Multiaddr, sockets: list[socket.socket], file: SocketFile | None = None) -> None:
        self.addrs.append(addr)
        self._sockets.append(sockets)
        if file is not None:
            self._files.append(file)

    def of(self, number: int) -> list[socket.socket]:
        """Those of one worker; in its process, the others are closed."""
        own = [sockets[min(number, len(sockets) - 1)] for sockets in self._sockets]
        for sockets in self._sockets:
            for one in sockets:
                if one not in own:
                    one.close()
        return own

    def close(self) -> None:
        """Nobody can connect any more, once the workers do so too. Idempotent."""
        for file in self._files:
            file.remove()
        for sockets in self._sockets:
            for one in sockets:
                one.close()


def addresses(listen: Sequence[str], unix: Sequence[str], configured: Sequence[Multiaddr]) -> list[Multiaddr]:
    """Those of the command line, else those of the config. Raises BadCall."""
    try:
        addrs = [Multiaddr.parse(text if text.startswith("/") else _of_host(text)) for text in listen]
        addrs += [Multiaddr.parse(f"/unix/{path.lstrip('/')}") for path in unix]
    except InvalidInput as exc:
        raise BadCall(f"an address to listen on is one such as /ip4/127.0.0.1/tcp/8080: {exc}") from exc
    if not addrs and not configured:
        raise BadCall("give an address, as --listen=/ip4/127.0.0.1/tcp/8080, or set Addresses.Gateway")
    return addrs or list(configured)


def _of_host(text: str) -> str:
    """The multiaddr of ``127.0.0.1:8080`` and ``[::1]:8080``."""
    host, _, port = text.rpartition(":")
    return f"/ip6/{host.strip('[]')}/tcp/{port}" if ":" in host else f"/ip4/{host}/tcp/{port}"


@contextmanager
def bound_sockets(addrs: Sequence[Multiaddr], count: int) -> Iterator[Listening]:
    """Sockets for ``count`` workers, closed at the end. Raises CannotListen."""
    listening = Listening()
    try:
        for addr in addrs:
            try:
                _bind(addr, count, listening)
            except OSError as exc:
                raise AddressTaken(addr, (exc.strerror or str(exc)).lower()) from exc
        yield listening
    finally:
        listening.close()


def _bind(addr: Multiaddr, count: int, listening: Listening) -> None:
    """Raises CannotListen, OSError."""
    path, endpoint = addr.unix_path(), addr.tcp_endpoint()
    if path is not None:
        bound = bind_unix(path)
        listening.add(addr, [bound], SocketFile(path))
        bound.listen(BACKLOG)
        return
    if endpoint is None:
        raise CannotListen(addr, "it is neither a TCP address nor /unix/PATH")
    host, port = endpoint
    sockets: list[socket.socket] = []
    listening.add(Multiaddr.tcp(host, port), sockets)
    for _ in range(count if BALANCED else 1):
        one = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        sockets.append(one)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if BALANCED:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if ":" in host:
            one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        one.setblocking(False)
        one.bind((host, port))
        port = one.getsockname()[1]
        one.listen(BACKLOG)
    listening.addrs[-1] = Multiaddr.tcp(host, port)
