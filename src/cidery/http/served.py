"""What a server and its connections, of whatever version of HTTP, need of each other."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

from cidery.http.message import Answered, Request, Response


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
