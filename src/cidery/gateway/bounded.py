"""A handler with limits: requests at a time, of one client and in all, time for an answer, and places for bodies.

::

    too many at a time        429, Retry-After        nothing in time, no place      504, 503, Retry-After
    no progress of a body, or longer than a request may take                         the connection ends
"""

from __future__ import annotations

import asyncio
import types
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Mapping, Sequence
from contextlib import AsyncExitStack
from functools import partial
from typing import Any, NamedTuple, TypeVar

from cidery.budgets import GATEWAY_BODIES, GATEWAY_CLIENT_REQUESTS, GATEWAY_REQUESTS
from cidery.disk.file_part import FilePart
from cidery.errors import CideryError, Unavailable
from cidery.gateway.errors import failed, said
from cidery.gateway.places import BodyPlaces, Crowded, Reader
from cidery.gateway.shared_counts import Running, WorkerCounts
from cidery.gateway.visitor import client_of
from cidery.http.message import Piece, Request, Response
from cidery.multiformats.address_filter import Net

SLICE = 256 * 1024
"""Bytes handed to the socket at a time, as many as the system takes: unwritten data is not copied."""
SLICE_IN_A_CROWD = 64 * 1024
"""The same when all places are taken, so that slow readers show."""
RETRIEVAL_SECONDS = 30.0
"""Longest wait for the first byte, and for the next one, as in Kubo."""
DURATION_SECONDS = 3600.0
"""Longest time of a whole request, as in Kubo."""

T = TypeVar("T")
Handler = Callable[[Request], Awaitable[Response]]


class Limits(NamedTuple):
    """Of the requests to one gateway; 0: none."""

    requests: int = GATEWAY_REQUESTS.amount
    """At a time."""
    retrieval: float = RETRIEVAL_SECONDS
    """Seconds until the first byte, and between two pieces of a body."""
    duration: float = DURATION_SECONDS
    """Seconds of a whole request."""
    bodies: int = GATEWAY_BODIES.amount
    """Answers being read at a time."""
    proxies: Sequence[Net] = ()
    """Where proxies are, beside this machine, that are believed when they name a client."""


class Stalled(Unavailable):
    """Content did not come in time."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = seconds

    def __str__(self) -> str:
        return f"nothing came within {self.seconds:g} s: those who have the content may be offline; try again later"


class Bounded:
    """A handler that obeys limits."""

    def __init__(
        self,
        handler: Handler,
        limits: Limits | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        html: bool = False,
        shared: WorkerCounts | None = None,
    ) -> None:
        """``headers``, and ``html`` (pages for people): of the answers that are given here, as of the handler's.
        ``shared``: with the other workers of the gateway."""
        self._shared = shared
        self._handler = handler
        self.limits = limits or Limits()
        self._headers = headers or {}
        self._html = html
        self._of: Counter[str] = Counter()
        """Running requests by client; those that cannot be told apart are not among them."""
        self._clock = asyncio.get_running_loop().time
        self.places = BodyPlaces(self._clock, self.limits.bodies)
        self.running = 0
        self.refused = self.timeouts = self.stalled = self.overdue = 0
        """Since the start: beyond a limit; without an answer in time; cut off for no progress, and for their length."""

    async def __call__(self, request: Request) -> Response:
        """Cancellation: the answer is dropped when the client disconnects."""
        client = client_of(request, self.limits.proxies)
        shared = self._shared
        others = 0 if shared is None else shared.others(Running.REQUESTS, "")
        if self.limits.requests and self.running + others >= self.limits.requests:
            return self._refused(request, "too many requests at once")
        others = 0 if shared is None or not client else shared.others(Running.CLIENT_REQUESTS, client)
        if client and self._of[client] + others >= GATEWAY_CLIENT_REQUESTS.amount:
            return self._refused(request, f"more than {GATEWAY_CLIENT_REQUESTS.size} of one client at once")
        place, began = self._entered(client), self._clock()
        try:
            response, reader, left = await self._in_time(request, client, place)
            body = _pieces(request, response)
            if reader is None or body is None:
                await place.aclose()
                return response
            response.body = self._in_place(place, reader, body, left)
            await anext(response.body)  # started, so that its end frees the place, whatever happens
            self._limit_duration(request, place, began)
            return response
        except Crowded as exc:
            await place.aclose()
            return self._said(request, 503, str(exc), {"Retry-After": "5"})
        except Stalled as exc:
            await place.aclose()
            self.timeouts += 1
            return self._finished(failed(exc, request, html=self._html))
        except CideryError as exc:  # of the first piece of a body
            await place.aclose()
            return self._finished(failed(exc, request, html=self._html))
        except BaseException:
            await place.aclose()
            raise

    def _refused(self, request: Request, reason: str) -> Response:
        self.refused += 1
        return self._said(request, 429, reason, {"Retry-After": "1"})

    def _said(self, request: Request, status: int, message: str, headers: Mapping[str, str]) -> Response:
        return self._finished(said(status, message, request, headers, html=self._html))

    def _finished(self, response: Response) -> Response:
        for name, value in self._headers.items():
            response.headers.setdefault(name, value)
        return response

    def _entered(self, client: str) -> AsyncExitStack:
        """What is undone when the request ends."""
        self._count(client, 1)
        place = AsyncExitStack()
        place.callback(self._ended, client)
        return place

    def _ended(self, client: str) -> None:
        self._count(client, -1)
        if client and not self._of[client]:
            del self._of[client]

    def _count(self, client: str, step: int) -> None:
        self.running += step
        if self._shared is not None:
            self._shared.add(Running.REQUESTS, "", step)
        if client:
            self._of[client] += step
            if self._shared is not None:
                self._shared.add(Running.CLIENT_REQUESTS, client, step)

    def _limit_duration(self, request: Request, place: AsyncExitStack, began: float) -> None:
        """What is left of the time is for the body, also while its client reads nothing."""
        if self.limits.duration:
            assert request.abort is not None  # set by the server
            ends = began + self.limits.duration
            timer = asyncio.get_running_loop().call_at(ends, self._cut, request.abort)
            place.callback(timer.cancel)

    def _cut(self, abort: Callable[[], None]) -> None:
        self.overdue += 1
        abort()

    async def _in_time(
        self, request: Request, client: str, place: AsyncExitStack
    ) -> tuple[Response, Reader | None, float | None]:
        """The answer, the place of its body if it is read in pieces, and the seconds left for the first piece.

        Raises Crowded, Stalled.
        """
        assert request.abort is not None  # set by the server
        response, left = await self._waited(self._handler(request))
        body = _pieces(request, response)
        if body is None:
            return response, None, None
        full = self.places.full
        if full:  # a waiting body would hold the block it begins with: it is made again when it has its place
            await body.aclose()
        reader = await place.enter_async_context(self.places.taken(client or request.client, request.abort))
        if full:
            response, left = await self._waited(self._handler(request))
        return response, reader, left

    async def _waited(self, response: Awaitable[Response]) -> tuple[Response, float | None]:
        """An answer, and what is left of the time until its first byte. Raises Stalled."""
        limits = [one for one in (self.limits.retrieval, self.limits.duration) if one]
        seconds, began = min(limits, default=None), self._clock()
        answer = await _within(seconds, response)
        return answer, None if seconds is None else seconds - (self._clock() - began)

    async def _in_place(
        self, place: AsyncExitStack, reader: Reader, body: AsyncGenerator[Piece, None], left: float | None
    ) -> AsyncGenerator[Piece, None]:
        """Waits for the first piece and yields nothing once, then the slices of the body. Raises Stalled."""
        clock, begun = self._clock, False
        try:
            piece = await _within(left, anext(body, None))
            begun = True
            yield b""
            while piece is not None:
                view = piece if isinstance(piece, FilePart) else memoryview(piece)
                step = SLICE_IN_A_CROWD if self.places.full else SLICE
                for start in range(0, len(view), step):
                    with reader.taking(clock()):
                        yield view[start : start + step]
                piece = await _within(self.limits.retrieval or None, anext(body, None))
        except Stalled:
            if begun:
                self.stalled += 1
            raise
        finally:
            await body.aclose()
            await place.aclose()


async def _within(seconds: float | None, work: Awaitable[T]) -> T:
    """What need not wait costs no timer. Raises Stalled."""
    steps = work.__await__()
    try:
        waited = next(steps)
    except StopIteration as stop:
        ready: T = stop.value
        return ready
    try:
        async with asyncio.timeout(seconds) as limit:
            return await _resumed(waited, steps)
    except TimeoutError as exc:
        if not limit.expired():
            raise
        raise Stalled(seconds or 0.0) from exc


@types.coroutine
def _resumed(waited: Any, steps: Generator[Any, Any, T]) -> Generator[Any, Any, T]:
    """The rest of a coroutine that was stepped to its first wait, for ``waited``."""
    while True:
        try:
            answer = yield waited
        except BaseException as exc:  # noqa: BLE001 - it is handed on
            step = partial(steps.throw, exc)
        else:
            step = partial(steps.send, answer)
        try:
            waited = step()
        except StopIteration as stop:
            value: T = stop.value
            return value


def _pieces(request: Request, response: Response) -> AsyncGenerator[Piece, None] | None:
    return None if isinstance(response.body, bytes) or request.method == "HEAD" else response.body
