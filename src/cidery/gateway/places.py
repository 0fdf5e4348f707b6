"""Places for answers being read: a slow reader holds a block in memory, so few may do so while others wait.

A body has a place from its first byte to its last. When all are taken, a reader that has not taken a slice for SLOW
seconds (or less, in a crowd) loses its place to a waiting one. The next is one whose client has the fewest places, and
among these the one that came last: under attack, older ones have left, or are the attack.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

from cidery.budgets import GATEWAY_BODIES
from cidery.errors import LimitExceeded

SLOW = 2.0
"""Seconds for a slice of 64 KiB, above which a reader is slow: 32 KiB/s."""
SLOW_IN_A_CROWD = 0.25
"""The same when more wait than can read: 256 KiB/s, so that the queue moves."""
PATIENCE = 15.0
"""Longest wait for a place, in seconds."""
LOOK_EVERY = 0.1
"""Seconds between two searches for a slow reader while others wait."""


class Crowded(LimitExceeded):
    """No place became free in time."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = seconds

    def __str__(self) -> str:
        return f"{GATEWAY_BODIES.amount} answers are being read and none ended within {self.seconds:.0f} s"


class Reader:
    """One body's place."""

    def __init__(self, client: str, cut: Callable[[], None]) -> None:
        self.client = client
        self.cut = cut
        self.blocked_since: float | None = None

    @contextmanager
    def taking(self, now: float) -> Iterator[None]:
        """While a slice is being written."""
        self.blocked_since = now
        try:
            yield
        finally:
            self.blocked_since = None


class BodyPlaces:
    """The places of one gateway."""

    def __init__(self, clock: Callable[[], float], most: int = GATEWAY_BODIES.amount) -> None:
        """``most``: places."""
        self._clock = clock
        self._most = most
        self._readers: dict[Reader, None] = {}
        self._of: Counter[str] = Counter()
        self._waiting: list[tuple[Reader, asyncio.Future[None]]] = []
        self._looking: asyncio.TimerHandle | None = None

    @property
    def full(self) -> bool:
        """Whether a further body would wait."""
        return len(self._readers) >= self._most

    @property
    def taken_now(self) -> int:
        """How many are taken."""
        return len(self._readers)

    @asynccontextmanager
    async def taken(self, client: str, cut: Callable[[], None]) -> AsyncIterator[Reader]:
        """A place for a body of ``client``; ``cut`` ends it when it is slow and others wait. Raises Crowded."""
        reader = Reader(client, cut)
        if self.full:
            await self._wait(reader)
        else:
            self._enter(reader)
        try:
            yield reader
        finally:
            self._leave(reader)

    def _enter(self, reader: Reader) -> None:
        self._readers[reader] = None
        self._of[reader.client] += 1

    def _leave(self, reader: Reader) -> None:
        if reader not in self._readers:
            return  # it was cut
        del self._readers[reader]
        self._of[reader.client] -= 1
        if not self._of[reader.client]:
            del self._of[reader.client]
        while self._waiting and len(self._readers) < self._most:
            at = min(range(len(self._waiting)), key=lambda at: (self._of[self._waiting[at][0].client], -at))
            following, turn = self._waiting.pop(at)
            if not turn.done():
                self._enter(following)
                turn.set_result(None)

    async def _wait(self, reader: Reader) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((reader, turn))
        self._look()
        try:
            async with asyncio.timeout(PATIENCE):
                await turn
        except TimeoutError as exc:
            self._leave(reader)  # its turn may have come in the same moment
            raise Crowded(PATIENCE) from exc
        except asyncio.CancelledError:
            self._leave(reader)
            raise
        finally:
            self._waiting = [one for one in self._waiting if one[0] is not reader]

    def _look(self) -> None:
        """Cut slow readers, at most one for each waiting body."""
        if self._looking is not None:
            self._looking.cancel()
            self._looking = None
        now = self._clock()
        patience = SLOW if len(self._waiting) <= len(self._readers) else SLOW_IN_A_CROWD
        blocked = [(one.blocked_since, one) for one in self._readers if one.blocked_since is not None]
        slow = sorted((pair for pair in blocked if now - pair[0] >= patience), key=lambda pair: pair[0])
        for _, reader in slow[: len(self._waiting)]:
            reader.cut()
            self._leave(reader)
        if self._waiting:
            self._looking = asyncio.get_running_loop().call_later(LOOK_EVERY, self._look)
