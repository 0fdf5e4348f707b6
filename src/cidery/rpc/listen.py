"""Listens for RPC calls, and writes the files that tell local clients the address and the daemon's token.

``api`` holds an address, as in Kubo. ``api-token``, readable by the user alone, is new on each start. A caller
that sends it means this daemon, not another that has since taken its port, and proves to be its user on this machine.
"""

import os
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from ipaddress import ip_address
from pathlib import Path

from cidery.budgets import MISS_SESSIONS, RPC_CONNECTIONS
from cidery.core.api import Api
from cidery.errors import InvalidInput, Unavailable
from cidery.http.authorization import AGENT, TOKEN_FILE
from cidery.http.message import Request, Response
from cidery.http.open_files import connections_for, open_files
from cidery.http.server import HttpServer
from cidery.http.unix_socket import SocketFile, bind_unix
from cidery.multiformats.multiaddr import Multiaddr
from cidery.rpc.guard import default_origins, own_origins
from cidery.rpc.official import OfficialPage
from cidery.rpc.server import RpcHandler
from cidery.version import __version__

SHUTDOWN_GRACE = 2.0
"""Seconds that running calls have to finish when the daemon stops; then they are cancelled."""
SOCKET_MODE = 0o600
"""Permissions of a Unix socket: who can write to it has full power over the node."""
MAX_LINE = 1 << 20
"""Longest request line, in bytes: the limit of servers written in Go, so that Kubo's clients may send as much."""
TOKEN_BYTES = 16
"""Random bytes in a token: unguessable, and different for each daemon."""


class NotLoopback(InvalidInput):
    """The RPC would be reachable from other machines."""

    def __init__(self, addr: Multiaddr) -> None:
        super().__init__(addr)
        self.addr = addr

    def __str__(self) -> str:
        return (
            f"Addresses.API is {self.addr}: every machine that reaches it has full power over this node. "
            "Use 127.0.0.1, or set API.Authorizations, or start with: cidery daemon --expose-api"
        )


class NoApiAddress(InvalidInput):
    """The RPC cannot listen on this kind of address."""

    def __init__(self, addr: Multiaddr) -> None:
        super().__init__(addr)
        self.addr = addr

    def __str__(self) -> str:
        return (
            f"Addresses.API is {self.addr}; it takes addresses such as /ip4/127.0.0.1/tcp/5001 or /unix/run/cidery.sock"
        )


class CannotListen(Unavailable):
    """The address is in use."""

    def __init__(self, addr: Multiaddr, reason: str) -> None:
        super().__init__(addr, reason)
        self.addr = addr
        self.reason = reason

    def __str__(self) -> str:
        return f"the RPC cannot listen on {self.addr}: {self.reason}; set Addresses.API to a free one"


@asynccontextmanager
async def listen(
    api: Api,
    addrs: tuple[Multiaddr, ...],
    headers: dict[str, list[str]],
    api_file: Path,
    stop: Callable[[], None],
    *,
    exposed: bool = False,
    routing: Callable[[Request], Awaitable[Response]] | None = None,
    metrics: Callable[[], Awaitable[bytes]] | None = None,
    official: OfficialPage | None = None,
) -> AsyncIterator[list[Multiaddr]]:
    """Serve until the context ends; yields the real addresses (port 0 resolved).

    ``api_file`` holds the first address while serving. ``exposed``: other machines may call, even without
    API.Authorizations. ``metrics``: the text for Prometheus. ``routing``: the HTTP routing API, for workers of the
    gateway. ``official``: the official page. Raises NotLoopback, NoApiAddress, CannotListen.
    """
    origins = frozenset(origin.lower() for origin in headers.get("Access-Control-Allow-Origin", ()))
    token, token_file = secrets.token_hex(TOKEN_BYTES), api_file.with_name(TOKEN_FILE)
    bound: list[Multiaddr] = []
    servers: list[HttpServer] = []
    files: list[SocketFile] = []
    open_to_all = exposed or bool(api.config.authorizations)
    try:
        for addr in addrs:
            _check(addr, open_to_all)
            # the allowed origins contain the port, which is known only after binding
            most = connections_for(RPC_CONNECTIONS, open_files())
            sessions = min(MISS_SESSIONS.amount, most // 2)
            handler = RpcHandler(
                api,
                origins,
                stop,
                token,
                exposed=exposed,
                metrics=metrics,
                sessions=sessions,
                routing=routing,
                official=official,
            )
            server = HttpServer(handler, most=most, name=f"{AGENT}{__version__}", max_target=MAX_LINE, clock=time.time)
            servers.append(server)
            real = await _start(server, addr, files)
            port = (real.tcp_endpoint() or ("", 0))[1]
            handler.allow(default_origins(port), own_origins(port))
            bound.append(real)
        if bound:
            _write(token_file, token, 0o600)  # first: a client that finds the address also finds the token
            _write(api_file, str(_from_here(bound[0])), 0o644)
        yield bound
    finally:
        if bound:
            api_file.unlink(missing_ok=True)
            token_file.unlink(missing_ok=True)
        for server in servers:
            await server.close(SHUTDOWN_GRACE)
        for file in files:
            file.remove()


def _check(addr: Multiaddr, open_to_all: bool) -> None:
    """Raises NotLoopback, NoApiAddress."""
    if addr.unix_path() is not None:
        return  # the permissions of the socket's file control access
    endpoint = addr.tcp_endpoint()
    if endpoint is None:
        raise NoApiAddress(addr)
    try:
        loopback = ip_address(endpoint[0].partition("%")[0]).is_loopback
    except ValueError as exc:
        raise NoApiAddress(addr) from exc  # a name: its meaning is up to a DNS server
    if not loopback and not open_to_all:
        raise NotLoopback(addr)


async def _start(server: HttpServer, addr: Multiaddr, files: list[SocketFile]) -> Multiaddr:
    """Listen; returns the address with the real port. Raises CannotListen."""
    path, endpoint = addr.unix_path(), addr.tcp_endpoint()
    try:
        if path is not None:
            bound = bind_unix(path, SOCKET_MODE)
            files.append(SocketFile(path))
            await server.listen_at(bound)
            return addr
        assert endpoint is not None  # checked by _check()
        return Multiaddr.tcp(endpoint[0], await server.listen(*endpoint))
    except OSError as exc:
        raise CannotListen(addr, exc.strerror or str(exc)) from exc


def _from_here(addr: Multiaddr) -> Multiaddr:
    """The address under which local clients reach an address; a wildcard address cannot be connected to."""
    endpoint = addr.tcp_endpoint()
    if endpoint is None or not ip_address(endpoint[0].partition("%")[0]).is_unspecified:
        return addr
    return Multiaddr.tcp("::1" if ":" in endpoint[0] else "127.0.0.1", endpoint[1])


def _write(path: Path, text: str, mode: int) -> None:
    """Atomically, so that a client never reads half of it."""
    temporary = path.with_name(path.name + ".new")
    temporary.unlink(missing_ok=True)
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(fd, "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(temporary, path)
