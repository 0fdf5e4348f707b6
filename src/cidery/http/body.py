"""The body of a request as it arrives; reading pauses so that unconsumed data is bounded."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from cidery.errors import RemoteProtocolError

HELD_BYTES = 256 * 1024
"""Bytes of a body that wait for the handler; above, nothing more is read from the connection."""
WHOLE = 16 * 1024
"""Pieces of this size and more are handed on as they are: joining them would copy every byte once more."""


class BodyCut(RemoteProtocolError):
    """The client disconnected or sent nonsense in the middle of a body."""

    def __str__(self) -> str:
        return "the request body ends early"


class RequestBody:
    """One body. Created and fed by the connection; consumed by one task."""

    __slots__ = ("_begin", "_cut", "_dropped", "_held", "_parts", "_resume", "_waiter", "complete")

    def __init__(self, begin: Callable[[], None], resume: Callable[[], None]) -> None:
        """``begin`` is called when the handler first waits for bytes, ``resume`` when more may be read."""
        self._begin: Callable[[], None] | None = begin
        self._resume = resume
        self._parts: deque[bytes] = deque()
        self._held = 0
        self._waiter: asyncio.Future[None] | None = None
        self._cut = self._dropped = False
        self.complete = False
        """Whether its last byte has arrived."""

    @property
    def full(self) -> bool:
        return self._held >= HELD_BYTES

    def feed(self, data: bytes) -> None:
        if self._dropped:
            return
        self._parts.append(data)
        self._held += len(data)
        self._wake()

    def feed_eof(self) -> None:
        self.complete = True
        self._wake()

    def cut(self) -> None:
        """The last byte has arrived."""
        self._cut = not self.complete
        self._wake()

    def drop(self) -> None:
        """Further data is discarded."""
        self._dropped = True
        self._parts.clear()
        self._held = 0

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def readany(self) -> bytes:
        """The bytes that have arrived, at least one; b"" at the end. Raises BodyCut. Cancel-safe."""
        while not self._parts:
            if self.complete:
                return b""
            if self._cut:
                raise BodyCut
            if self._begin is not None:
                self._begin()
                self._begin = None
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        was_full = self.full
        if len(self._parts) == 1 or len(self._parts[0]) >= WHOLE:
            data = self._parts.popleft()
        else:
            data = b"".join(self._parts)
            self._parts.clear()
        self._held -= len(data)
        if was_full and not self.full:
            self._resume()
        return data

    def __aiter__(self) -> RequestBody:
        return self

    async def __anext__(self) -> bytes:
        if data := await self.readany():
            return data
        raise StopAsyncIteration
