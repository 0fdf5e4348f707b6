"""Paths that come from outside, on the way to the connections that they belong to (protocols/paths.py)."""

import asyncio
from collections.abc import Callable

from cidery.budgets import PATHS, PATHS_IN_ALL
from cidery.libp2p.protocols.paths import Join

EARLY_SECONDS = 60.0
"""Seconds for which a path waits for its connection, whose handshake may be sent again."""

Take = Callable[[Join, asyncio.Transport, bytes], bool]
"""Takes a path that came from outside, and what came with it; False: it is refused."""


class Joining:
    """Brings paths that come from outside to their connections. One per node."""

    def __init__(self) -> None:
        self._connections: dict[bytes, Take] = {}
        self._early: dict[bytes, list[tuple[Join, asyncio.Transport, bytes]]] = {}
        self._count = 0

    def expect(self, secret: bytes, take: Take, ended: asyncio.Future[None]) -> None:
        """A connection that paths may join, until it has ended."""
        self._connections[secret] = take
        ended.add_done_callback(lambda _: self._connections.pop(secret, None))
        for early in self._early.pop(secret, ()):
            self._hand_to(take, *early)

    def join(self, join: Join, transport: asyncio.Transport, rest: bytes) -> None:
        """A path has come; its connection may come a moment later."""
        if (take := self._connections.get(join.token)) is not None:
            self._hand_to(take, join, transport, rest)
            return
        waiting = self._early.setdefault(join.token, [])
        if sum(map(len, self._early.values())) >= PATHS.amount:
            transport.abort()
            return
        transport.pause_reading()
        waiting.append((join, transport, rest))
        asyncio.get_running_loop().call_later(EARLY_SECONDS, self._give_up, join.token)

    def left(self) -> None:
        """One of those that were taken has ended."""
        self._count -= 1

    def _hand_to(self, take: Take, join: Join, transport: asyncio.Transport, rest: bytes) -> None:
        if self._count >= PATHS_IN_ALL.amount or transport.is_closing() or not take(join, transport, rest):
            transport.abort()
        else:
            self._count += 1

    def _give_up(self, secret: bytes) -> None:
        for _, transport, _ in self._early.pop(secret, ()):
            transport.abort()
