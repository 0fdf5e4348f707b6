"""The line of what peers send: each turn of the loop reads a slice of it, so that others are answered meanwhile.

All that came in one turn of the loop would be read in that turn: a fifth of a second for messages of 64 wants from 250
peers, in which nothing else happens. So when a turn's slice is used up the rest stands in line, and each further turn
takes the next few. Meanwhile the streams of those peers are not read, and their windows close.

The line is a fair queue by bytes (as in turns.py): of two messages that wait, the one goes first that would end
earlier if each peer were read at the same rate. Who sends little is not behind those that send much.
"""

import asyncio
from collections.abc import Callable
from heapq import heappop, heappush

SLICE = 0.004
"""Seconds of one turn of the loop after which further messages stand in line."""
BYTES_AT_A_TIME = 4096
"""Bytes of the messages that are let in together from the line; one at least: some 90 wants, two milliseconds."""


class Place:
    """One peer's place: what it sent lately, in the time of the line."""

    __slots__ = ("ends",)

    def __init__(self) -> None:
        self.ends = 0


class LoopLine:
    """One per node."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._began: float | None = None
        """When something was let in first in this turn of the loop; None: nothing was."""
        self._time = self._number = 0
        """The line's time, in bytes; what came how many-th."""
        self._waiting: list[tuple[int, int, asyncio.Future[None], int]] = []
        """(end, number, its turn, bytes)"""

    def __len__(self) -> int:
        """Messages that wait."""
        return len(self._waiting)

    async def enter(self, place: Place, size: int) -> None:
        """Before a message of ``size`` bytes is read: returns when it may be, at once while there is room.

        Cancellation gives the turn to the next.
        """
        place.ends = max(self._time, place.ends) + size
        now = self._clock()
        if not self._waiting and (self._began is None or now - self._began < SLICE):
            self._time = max(self._time, place.ends - size)
            self._begin(now)
            return
        self._begin(now)
        self._number += 1
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heappush(self._waiting, (place.ends, self._number, turn, size))
        await turn

    def _begin(self, now: float) -> None:
        if self._began is None:
            self._began = now
            asyncio.get_running_loop().call_soon(self._next_turn)

    def _next_turn(self) -> None:
        """A new turn of the loop: the first of the line are woken, and run in the one after it."""
        self._began = None
        room = BYTES_AT_A_TIME
        while self._waiting and room > 0:
            ends, _, turn, size = self._waiting[0]
            if size > room < BYTES_AT_A_TIME:
                break
            heappop(self._waiting)
            if turn.done():
                continue  # cancelled
            self._time = max(self._time, ends - size)
            turn.set_result(None)
            room -= size
        if self._waiting or room < BYTES_AT_A_TIME:
            self._begin(self._clock())
