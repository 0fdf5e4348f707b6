"""What a server and its connections, of whatever version of HTTP, need of each other."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Protocol

from cidery.http.message import Answered, Request, Response

UNSENT = 256 * 1024
"""Bytes that the system buffers for a connection beyond those in flight: else it buffers 4 MiB for a silent reader."""
UNSENT_OF_LARGE = 1024 * 1024
"""The same once a large body is read: a tenth more of them a second. A gateway has few at a time (GATEWAY_BODIES)."""


def set_unsent(transport: asyncio.Transport | None, size: int) -> None:
    """Set what the system buffers for a connection beyond what is in flight, in bytes; nothing where it cannot."""
    option = getattr(socket, "TCP_NOTSENT_LOWAT", None)  # Linux and macOS
    opened = None if transport is None else transport.get_extra_info("socket")
    if option is not None and opened is not None and opened.family in (socket.AF_INET, socket.AF_INET6):
        opened.setsockopt(socket.IPPROTO_TCP, option, size)


class Served(Protocol):
    """What a server needs of its connections."""

    @property
    def tasks(self) -> list[asyncio.Task[None]]: ...

    def drain(self) -> None: ...

    def close(self) -> None: ...

    def abort(self) -> None: ...


class Server(Protocol):
    """What a connection needs of its server; see HttpServer."""

    name: str
    max_target: int
    closing: bool
    tunnels: bool
    on_answered: list[Callable[[Answered], None]]
    at_hand: Callable[[Request], Response | None] | None

    def handler(self, request: Request, /) -> Awaitable[Response]: ...

    def opened(self, connection: Served, transport: asyncio.Transport) -> None: ...

    def busy(self, connection: Served) -> None: ...

    def idle(self, connection: Served) -> None: ...

    def closed(self, connection: Served) -> None: ...

    def date(self) -> bytes: ...
