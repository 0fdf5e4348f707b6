"""Listens for RPC calls, and writes the files that tell local clients the address and the daemon's token.

``api`` holds an address, as in Kubo. ``api-token``, readable by the user alone, is new on each start. A caller
that sends it means this daemon, not another that has since taken its port, and proves to be its user on this machine.
"""

import os
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from ipaddress import ip_address
from pathlib import Path

from cidery.budgets import MISS_SESSIONS, RPC_CONNECTIONS
from cidery.core.api import Api
from cidery.errors import InvalidInput, Unavailable, words_of
from cidery.http.authorization import AGENT, CERTIFICATE_FILE, TOKEN_FILE
from cidery.http.message import Request, Response
from cidery.http.open_files import connections_for, open_files
from cidery.http.server import HttpServer
from cidery.http.tls import Certificate
from cidery.http.unix_socket import SocketFile, bind_unix
from cidery.multiformats.multiaddr import Multiaddr
from cidery.plain_files import check_plain
from cidery.rpc.certificate import NoCertificate, followed, speaks_tls
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
_ORIGINS = "Access-Control-Allow-Origin"
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
            f"Addresses.API is {self.addr}; it takes addresses such as /ip4/127.0.0.1/tcp/5001, "
            "/ip4/127.0.0.1/tcp/5001/tls/http or /unix/run/cidery.sock"
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
    certificate: Certificate | None = None,
) -> AsyncIterator[list[Multiaddr]]:
    """Serve until the context ends; yields the real addresses (port 0 resolved).

    ``api_file`` holds the first address without TLS, or else the first, while serving. ``exposed``: other machines may
    call, even without API.Authorizations. ``metrics``: the text for Prometheus. ``routing``: the HTTP routing API, for
    workers of the gateway. ``official``: the official page. ``certificate``: of addresses under TLS; it is followed.
    ``headers``: API.HTTPHeaders. Raises NotLoopback, NoApiAddress, NoCertificate, CannotListen.
    """
    origins, more = _meant(headers)
    token = secrets.token_hex(TOKEN_BYTES)
    most = connections_for(RPC_CONNECTIONS, open_files())
    first = RpcHandler(
        api,
        origins,
        stop,
        token,
        exposed=exposed,
        metrics=metrics,
        sessions=min(MISS_SESSIONS.amount, most // 2),
        routing=routing,
        official=official,
        more=more,
    )
    bound: list[Multiaddr] = []
    servers: list[HttpServer] = []
    named: list[RpcHandler] = []
    files: list[SocketFile] = []
    open_to_all = exposed or bool(api.config.authorizations)
    try:
        for addr in addrs:
            _check(addr, open_to_all)
            handler = first.beside()  # the allowed origins contain the port, which is known only after binding
            server = _server(handler, most)
            servers.append(server)
            bound.append(await _start(server, addr, files, certificate))
            port = _port_of(bound[-1])
            handler.allow(default_origins(port), own_origins(port))
            if speaks_tls(addr):
                named.append(handler)
        async with followed(certificate, named, api_file.with_name(CERTIFICATE_FILE), _write):
            with _found_by(api_file, bound, token):
                yield bound
    finally:
        for server in servers:
            await server.close(SHUTDOWN_GRACE)
        for file in files:
            file.remove()


@contextmanager
def _found_by(api_file: Path, bound: list[Multiaddr], token: str) -> Iterator[None]:
    """Local clients find the address and the token, until the end."""
    if not bound:
        yield
        return
    token_file = api_file.with_name(TOKEN_FILE)
    try:
        _write(token_file, token, 0o600)  # first: a client that finds the address also finds the token
        _write(api_file, str(_from_here(bound)), 0o644)
        yield
    finally:
        api_file.unlink(missing_ok=True)
        token_file.unlink(missing_ok=True)


def _server(handler: RpcHandler, most: int) -> HttpServer:
    return HttpServer(
        handler,
        most=most,
        name=f"{AGENT}{__version__}",
        max_target=MAX_LINE,
        clock=time.time,
        at_hand=handler.at_hand,
    )


def _meant(headers: dict[str, list[str]]) -> tuple[frozenset[str], dict[str, str]]:
    """The origins that may call, and the headers of answers under one name each, as this node writes it."""
    texts = {name.title(): values for name, values in headers.items()}
    origins = frozenset(origin.lower() for origin in texts.pop(_ORIGINS, ()))
    return origins, {name: ", ".join(values) for name, values in texts.items()}


def _check(addr: Multiaddr, open_to_all: bool) -> None:
    """Raises NotLoopback, NoApiAddress."""
    if addr.unix_path() is not None:
        return  # the permissions of the socket's file control access
    endpoint = addr.http_endpoint()
    if endpoint is None or endpoint.name:
        raise NoApiAddress(addr)
    try:
        loopback = ip_address(endpoint.host.partition("%")[0]).is_loopback
    except ValueError as exc:
        raise NoApiAddress(addr) from exc  # a name: its meaning is up to a DNS server
    if not loopback and not open_to_all:
        raise NotLoopback(addr)


async def _start(
    server: HttpServer, addr: Multiaddr, files: list[SocketFile], certificate: Certificate | None
) -> Multiaddr:
    """Listen; returns the address with the real port. Raises CannotListen, NoCertificate."""
    path, endpoint = addr.unix_path(), addr.http_endpoint()
    try:
        if path is not None:
            bound = bind_unix(path, SOCKET_MODE)
            files.append(SocketFile(path))
            await server.listen_at(bound)
            return addr
        assert endpoint is not None  # checked by _check()
        if endpoint.secure and certificate is None:
            raise NoCertificate(addr)
        used = certificate if endpoint.secure else None
        return addr.with_port(await server.listen(endpoint.host, endpoint.port, used))
    except OSError as exc:
        raise CannotListen(addr, words_of(exc)) from exc


def _port_of(addr: Multiaddr) -> int:
    """0: it has none."""
    endpoint = addr.http_endpoint()
    return 0 if endpoint is None else endpoint.port


def _from_here(bound: list[Multiaddr]) -> Multiaddr:
    """The address under which local clients call; a wildcard address cannot be connected to."""
    # not all programs that read the file speak TLS, or would trust the certificate under this machine's address
    addr = next((one for one in bound if not speaks_tls(one)), bound[0])
    endpoint = addr.http_endpoint()
    if endpoint is None or not ip_address(endpoint.host.partition("%")[0]).is_unspecified:
        return addr
    return addr.at_host("::1" if ":" in endpoint.host else "127.0.0.1")


def _write(path: Path, text: str, mode: int) -> None:
    """Atomically, so that a client never reads half of it. Raises NotAFile, OSError."""
    temporary = path.with_name(path.name + ".new")
    temporary.unlink(missing_ok=True)
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(fd, "w", encoding="utf-8") as file:
        file.write(text)
    try:
        os.replace(temporary, path)
    except OSError:
        check_plain(path)
        raise
