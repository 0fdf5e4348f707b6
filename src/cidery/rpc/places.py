"""Limits running calls: stuck ones must not lock out the user's own short ones.

There are places for uploads, for other calls, and for short calls, which have a reserve when all others are taken. A
silent upload gives up its place to a new one.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from cidery.budgets import RPC_CALLS, RPC_SHORT_CALLS, RPC_UPLOADS
from cidery.commands.context import RunningCall
from cidery.commands.definition import Call, Command, Output
from cidery.errors import InvalidInput, Unavailable

BODY_SILENCE = 600.0
"""Longest wait for the next bytes of a body, in seconds: data piped into an add may arrive slowly."""
CROWDED_SILENCE = 5.0
"""The same when other calls wait for the place."""
SHORT_SECONDS = 10.0
"""Longest run of a call in a place reserved for short ones."""
T = TypeVar("T")


class TooManyCalls(Unavailable):
    """Every place is taken."""

    def __str__(self) -> str:
        return f"{RPC_CALLS.amount} calls are running; try again when some are done"


class TooManyUploads(Unavailable):
    """Every place for an upload is taken by a busy one."""

    def __str__(self) -> str:
        return f"{RPC_UPLOADS.amount} uploads are running; try again when some are done"


class SilentBody(InvalidInput):
    """A body stopped arriving."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = seconds

    def __str__(self) -> str:
        return f"the request body ended in the middle: nothing came for {self.seconds:.0f} s"


class Place:
    """The place of one running call. ``seconds``: how long it may run; None: no limit."""

    def __init__(self, seconds: float | None = None) -> None:
        self.seconds = seconds
        self.call: Call | None = None
        """What runs; None while its arguments are read."""
        self.began = time.time()
        self._limit: asyncio.Timeout | None = None
        self._silent_since = 0.0
        self._given_up = False

    async def hear(self, waiting: Awaitable[T]) -> T:
        """The next bytes of its body. Raises SilentBody."""
        now = asyncio.get_running_loop().time()
        self._silent_since = now
        try:
            async with asyncio.timeout(BODY_SILENCE) as self._limit:
                return await waiting
        except TimeoutError as exc:
            raise SilentBody(asyncio.get_running_loop().time() - now) from exc
        finally:
            self._limit = None

    def silence(self, now: float) -> float:
        """Seconds for which it has been waiting for its body; 0.0 while it is busy, or was told to end."""
        return 0.0 if self._limit is None or self._given_up else now - self._silent_since

    def give_up(self, now: float) -> None:
        assert self._limit is not None  # silent
        self._given_up = True
        self._limit.reschedule(now)


def _held(place: Place, taken: dict[Place, None]) -> Iterator[Place]:
    taken[place] = None
    try:
        yield place
    finally:
        taken.pop(place, None)


class Places:
    """The places of one server."""

    def __init__(self) -> None:
        self._uploads: dict[Place, None] = {}
        self._calls: dict[Place, None] = {}
        self._short: dict[Place, None] = {}

    def running(self) -> list[RunningCall]:
        """The calls that run now, the oldest first."""
        every = sorted([*self._uploads, *self._calls, *self._short], key=lambda place: place.began)
        return [RunningCall(place.call, place.began) for place in every if place.call is not None]

    @contextmanager
    def taken(self, command: Command) -> Iterator[Place]:
        """A place while the context is open. Raises TooManyCalls, TooManyUploads."""
        if command.file_argument is not None:
            yield from self._upload()
        elif len(self._calls) < RPC_CALLS.amount - RPC_UPLOADS.amount or self._all < RPC_CALLS.amount:
            yield from _held(Place(), self._calls)
        elif len(self._short) < RPC_SHORT_CALLS.amount and command.output in (Output.VALUE, Output.NOTHING):
            yield from _held(Place(SHORT_SECONDS), self._short)
        else:
            raise TooManyCalls

    @property
    def _all(self) -> int:
        return len(self._calls) + len(self._uploads)

    def _upload(self) -> Iterator[Place]:
        if len(self._uploads) >= RPC_UPLOADS.amount or self._all >= RPC_CALLS.amount:
            self._make_room()
        yield from _held(Place(), self._uploads)

    def _make_room(self) -> None:
        """End the upload that has been silent longest. Raises TooManyUploads."""
        now = asyncio.get_running_loop().time()
        silent = max(self._uploads, key=lambda place: place.silence(now), default=None)
        if silent is None or silent.silence(now) < CROWDED_SILENCE:
            raise TooManyUploads
        silent.give_up(now)
        del self._uploads[silent]
