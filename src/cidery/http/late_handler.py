"""A handler that is made at its first request: what it needs is not part of a start."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from cidery.http.message import Request, Response

Handler = Callable[[Request], Awaitable[Response]]


def made_when_asked(make: Callable[[], Handler]) -> Handler:
    """``make`` is called once, by the first request, which gets what it raises."""
    made: Handler | None = None

    async def handle(request: Request) -> Response:
        nonlocal made
        if made is None:
            made = make()
        return await made(request)

    return handle
