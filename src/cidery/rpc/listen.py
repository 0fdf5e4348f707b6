"""Listening for RPC calls on this machine, and the ``api`` file that tells clients where."""

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from ipaddress import ip_address
from pathlib import Path

from aiohttp import web

from cidery.budgets import RPC_CONNECTIONS
from cidery.core.api import Api
from cidery.errors import InvalidInput, Unavailable
from cidery.http_server import Server, connections_for, open_files
from cidery.multiformats.multiaddr import Multiaddr
from cidery.rpc.guard import default_origins
from cidery.rpc.server import RpcHandler

SHUTDOWN_GRACE = 2.0
"""Seconds that running calls get to end when the daemon stops; then they are cancelled."""


class NotLoopback(InvalidInput):
    """The RPC would be reachable from other machines."""

    def __init__(self, addr: Multiaddr) -> None:
        super().__init__(addr)
        self.addr = addr

    def __str__(self) -> str:
        return f"Addresses.API is {self.addr}; the RPC has full power over the node, so it must be 127.0.0.1 or ::1"


class CannotListen(Unavailable):
    """The address is taken."""

    def __init__(self, addr: Multiaddr, reason: str) -> None:
        super().__init__(addr, reason)
        self.addr = addr
        self.reason = reason

    def __str__(self) -> str:
        return f"the RPC cannot listen on {self.addr}: {self.reason}; set Addresses.API to a free port"


def loopback_endpoint(addr: Multiaddr) -> tuple[str, int]:
    """Host and port. Raises NotLoopback."""
    endpoint = addr.tcp_endpoint()
    if endpoint is None:
        raise NotLoopback(addr)
    try:
        if not ip_address(endpoint[0]).is_loopback:
            raise NotLoopback(addr)
    except ValueError as exc:
        raise NotLoopback(addr) from exc
    return endpoint


@asynccontextmanager
async def listen(
    api: Api, addrs: tuple[Multiaddr, ...], headers: dict[str, list[str]], api_file: Path, stop: Callable[[], None]
) -> AsyncIterator[list[Multiaddr]]:
    """Serve until the context ends; gives the real addresses (port 0 resolved).

    ``api_file`` holds the first address while serving. Raises NotLoopback, CannotListen.
    """
    origins = {origin.lower() for origin in headers.get("Access-Control-Allow-Origin", ())}
    bound: list[Multiaddr] = []
    runners: list[web.ServerRunner] = []
    try:
        for addr in addrs:
            host, port = loopback_endpoint(addr)
            handler = _LateHandler()
            server = Server(handler, connections_for(RPC_CONNECTIONS, open_files()))
            runner = web.ServerRunner(server, shutdown_timeout=SHUTDOWN_GRACE)
            await runner.setup()
            runners.append(runner)
            try:
                await web.TCPSite(runner, host, port).start()
            except OSError as exc:
                raise CannotListen(addr, exc.strerror or str(exc)) from exc
            real = int(runner.addresses[0][1])
            handler.inner = RpcHandler(api, default_origins(real) | frozenset(origins), stop)
            bound.append(Multiaddr.tcp(host, real))
        if bound:
            write_api_file(api_file, str(bound[0]))
        yield bound
    finally:
        if bound:
            api_file.unlink(missing_ok=True)
        for runner in runners:
            await runner.cleanup()


class _LateHandler:
    """The allowed origins contain the port, which is known only once the socket listens."""

    inner: RpcHandler

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        return await self.inner(request)


def write_api_file(path: Path, text: str) -> None:
    """Atomically, so that a client never reads half an address."""
    temporary = path.with_name(path.name + ".new")
    temporary.write_text(text, encoding="ascii")
    os.replace(temporary, path)
