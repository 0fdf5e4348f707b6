"""The sockets of ``gateway serve``: for each address one per worker, or one for all."""

from __future__ import annotations

import errno
import os
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from cidery.commands.bind import BadCall
from cidery.errors import InvalidInput, words_of
from cidery.gateway.listen import CannotListen, place_of
from cidery.http.server import BACKLOG
from cidery.http.unix_socket import SocketFile, bind_unix
from cidery.multiformats.multiaddr import Multiaddr

LISTEN, METRICS = "listen", "metrics"
"""Options whose addresses these are."""
BALANCED = sys.platform == "linux"
"""Whether the system deals connections out to several sockets of one port; elsewhere workers share one socket."""


class AddressTaken(CannotListen):
    """An address of the workers cannot be had, perhaps because the daemon's own gateway has it."""

    def __init__(self, addr: Multiaddr, reason: str, option: str, *, in_use: bool = False) -> None:
        """``option``: that gives another one. ``in_use``: somebody listens there."""
        super().__init__(addr, reason)
        self.option = option
        self.in_use = in_use

    def __str__(self) -> str:
        said = f"the workers cannot listen on {self.addr}: {self.reason}; give another address with --{self.option}"
        if not self.in_use or self.option != LISTEN:
            return said
        return f"{said}, or keep the daemon's own gateway from it: cidery config --json Addresses.Gateway '[]'"


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
    addrs = [_address(text) for text in listen] + [_socket_file(path) for path in unix]
    if not addrs and not configured:
        raise BadCall("give an address, as --listen=/ip4/127.0.0.1/tcp/8080, or set Addresses.Gateway")
    return addrs or list(configured)


def metrics_addresses(text: str) -> list[Multiaddr]:
    """Where the metrics are wanted; "": nowhere. Raises BadCall."""
    return [_address(text)] if text else []


def _address(text: str) -> Multiaddr:
    """A multiaddr, or host and port: ``127.0.0.1:8080``, ``localhost:8080``, ``[::1]:8080``. Raises BadCall."""
    host, colon, port = text.rpartition(":")
    if not text.startswith("/") and (not host or not colon or not port):
        raise BadCall(f"an address to listen on is one such as /ip4/127.0.0.1/tcp/8080 or 127.0.0.1:8080, not {text!r}")
    if host == "localhost":
        host = "127.0.0.1"  # "SHOULD always return the IP loopback address": RFC 6761, 6.3
    kind = "ip6" if ":" in host else "ip4"
    try:
        return Multiaddr.parse(text if text.startswith("/") else f"/{kind}/{host.strip('[]')}/tcp/{port}")
    except InvalidInput as exc:
        raise BadCall(f"an address to listen on is one such as /ip4/127.0.0.1/tcp/8080: {exc}") from exc


def _socket_file(path: str) -> Multiaddr:
    """Of a path, from the current folder unless it is absolute. Raises BadCall."""
    if not path:
        raise BadCall("option 'unix' takes the path of a socket, such as /run/cidery/gateway.sock")
    return Multiaddr.parse(f"/unix{os.path.abspath(path)}")


@contextmanager
def bound_sockets(addrs: Sequence[Multiaddr], count: int, option: str = LISTEN) -> Iterator[Listening]:
    """Sockets for ``count`` workers, closed at the end. ``option``: that gave the addresses. Raises AddressTaken."""
    listening = Listening()
    try:
        for addr in addrs:
            try:
                _bind(addr, count, listening, option)
            except OSError as exc:
                in_use = exc.errno == errno.EADDRINUSE
                raise AddressTaken(addr, words_of(exc), option, in_use=in_use) from exc
        yield listening
    finally:
        listening.close()


def _bind(addr: Multiaddr, count: int, listening: Listening, option: str) -> None:
    """Raises AddressTaken, OSError."""
    path = addr.unix_path()
    if path is not None:
        bound = bind_unix(path)
        listening.add(addr, [bound], SocketFile(path))
        bound.listen(BACKLOG)
        return
    try:
        host, port = place_of(addr)
    except CannotListen as exc:
        raise AddressTaken(addr, exc.reason, option) from exc
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
