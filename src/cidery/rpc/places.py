"""Limits running calls: stuck ones must not lock out the user's own short ones.

There are places for uploads, for other calls, and for short calls, which have a reserve when all others are taken. Who
finds none waits in line for a while: a thousand calls at once are all answered. A silent upload gives up its place to a
new one.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable
from typing import TypeVar

from cidery.budgets import RPC_CALLS, RPC_SHORT_CALLS, RPC_UPLOADS, RPC_WAITING
from cidery.commands.context import RunningCall
from cidery.commands.definition import Call, Command, Output
from cidery.errors import InvalidInput, Unavailable

BODY_SILENCE = 600.0
"""Longest wait for the next bytes of a body, in seconds: data piped into an add may arrive slowly."""
CROWDED_SILENCE = 5.0
"""The same when other calls wait for the place."""
PLACE_SECONDS = 20.0
"""Longest wait for a place, in seconds: below the time-out of most clients, which then hear why."""
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


class _Line:
    """Who waits for a place, the first in front."""

    def __init__(self) -> None:
        self._waiting: deque[asyncio.Future[None]] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    async def turn(self, seconds: float, *, front: bool) -> None:
        """Wait to be called, at most so long. ``front``: it was called, and somebody was faster."""
        called: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if front:
            self._waiting.appendleft(called)
        else:
            self._waiting.append(called)
        try:
            await asyncio.wait([called], timeout=seconds)
        except asyncio.CancelledError:
            if called.done():
                self.call()  # it goes away with a turn that it does not use
            raise
        finally:
            if not called.done():
                self._waiting.remove(called)

    def call(self) -> None:
        """It is the first one's turn."""
        if self._waiting:
            self._waiting.popleft().set_result(None)


class Taken:
    """A place of Places, as an async context; contextlib's would take a tenth of a small call."""

    def __init__(self, places: Places, command: Command) -> None:
        self._places = places
        self._command = command

    async def __aenter__(self) -> Place:
        self._found = await self._places.take(self._command)
        return self._found[0]

    async def __aexit__(self, *_: object) -> None:
        self._places.give(*self._found)


class Places:
    """The places of one server."""

    def __init__(self) -> None:
        self._uploads: dict[Place, None] = {}
        self._calls: dict[Place, None] = {}
        self._short: dict[Place, None] = {}
        self._lines = (_Line(), _Line())
        """Who waits to call, and to upload."""

    def running(self) -> list[RunningCall]:
        """The calls that run now, the oldest first."""
        every = sorted([*self._uploads, *self._calls, *self._short], key=lambda place: place.began)
        return [RunningCall(place.call, place.began) for place in every if place.call is not None]

    def taken(self, command: Command) -> Taken:
        """A place while the context is open; waits for it. Raises TooManyCalls, TooManyUploads."""
        return Taken(self, command)

    async def take(self, command: Command) -> tuple[Place, dict[Place, None]]:
        """For Taken: a place, and among which it is."""
        uploads = command.file_argument is not None
        line = self._lines[uploads]
        found = None if len(line) else self._found(command)
        if found is None:
            found = (uploads is False and self._short_found(command)) or await self._waited(command, line)
        found[1][found[0]] = None
        return found

    def give(self, place: Place, among: dict[Place, None]) -> None:
        """For Taken: it is free, and the next one's turn."""
        among.pop(place, None)
        for one in self._lines:
            one.call()

    async def _waited(self, command: Command, line: _Line) -> tuple[Place, dict[Place, None]]:
        now = asyncio.get_running_loop().time
        end, front = now() + PLACE_SECONDS, False
        while sum(map(len, self._lines)) < RPC_WAITING.amount and now() < end:
            await line.turn(min(end - now(), CROWDED_SILENCE), front=front)
            if found := self._found(command):
                return found
            front = True
        raise TooManyUploads if command.file_argument is not None else TooManyCalls

    def _found(self, command: Command) -> tuple[Place, dict[Place, None]] | None:
        if command.file_argument is not None:
            free = len(self._uploads) < RPC_UPLOADS.amount and self._all < RPC_CALLS.amount
            return (Place(), self._uploads) if free or self._made_room() else None
        if len(self._calls) < RPC_CALLS.amount - RPC_UPLOADS.amount or self._all < RPC_CALLS.amount:
            return Place(), self._calls
        return self._short_found(command)

    def _short_found(self, command: Command) -> tuple[Place, dict[Place, None]] | None:
        if len(self._short) < RPC_SHORT_CALLS.amount and command.output in (Output.VALUE, Output.NOTHING):
            return Place(SHORT_SECONDS), self._short
        return None

    @property
    def _all(self) -> int:
        return len(self._calls) + len(self._uploads)

    def _made_room(self) -> bool:
        """End the upload that has been silent longest, if it has been for long."""
        now = asyncio.get_running_loop().time()
        silent = max(self._uploads, key=lambda place: place.silence(now), default=None)
        if silent is None or silent.silence(now) < CROWDED_SILENCE:
            return False
        silent.give_up(now)
        del self._uploads[silent]
        return True
