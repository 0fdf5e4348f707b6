"""Paths that come from outside, on the way to the connections that they belong to (protocols/paths.py)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from typing import cast

from cidery.budgets import PATHS_ARRIVING, PATHS_IN_ALL
from cidery.libp2p.io.long_line import round_trip_of
from cidery.libp2p.protocols.paths import JOIN_SIZE, Join
from cidery.libp2p.protocols.pending import Pending
from cidery.libp2p.protocols.timeouts import CEILING

EARLY_SECONDS, EARLY_ROUND_TRIPS = 60.0, 8.0
"""For which a path that has said whose it is waits for its connection, whose handshake may be sent again."""

Take = Callable[[Join, asyncio.Transport], bool]
"""Takes a path that came from outside; False: it is refused."""


class Arriving(asyncio.BufferedProtocol):
    """A path from outside, until it has said whose it is and that connection is there."""

    def __init__(self, joining: Joining) -> None:
        self._joining = joining
        self._said = bytearray(JOIN_SIZE)
        self._have = 0
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None

    def takes_over(self, transport: asyncio.Transport, said: bytes) -> None:
        """``said``: what came behind its proposal."""
        transport.set_protocol(self)
        self._transport = transport
        if len(said) > JOIN_SIZE:  # it speaks before it was spoken to
            self.end()
            return
        self._wait(CEILING)
        self._said[: len(said)] = said
        self.buffer_updated(len(said))

    @property
    def join(self) -> Join:
        return Join.of(bytes(self._said))

    @property
    def transport(self) -> asyncio.Transport:
        assert self._transport is not None  # it was taken over
        return self._transport

    def rest(self) -> None:
        """Its connection is not there yet."""
        self.transport.pause_reading()
        self._wait(EARLY_SECONDS + EARLY_ROUND_TRIPS * round_trip_of(self.transport))

    def _wait(self, seconds: float) -> None:
        self.leave()
        self._timer = asyncio.get_running_loop().call_later(seconds, self.end)

    def leave(self) -> None:
        """Its socket goes on without it."""
        if self._timer is not None:
            self._timer.cancel()

    def end(self) -> None:
        self.leave()
        self.transport.abort()
        self._joining.gone(self)

    # --- asyncio.BufferedProtocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is not a subclass

    def get_buffer(self, _sizehint: int) -> memoryview:
        return memoryview(self._said)[self._have :]

    def buffer_updated(self, count: int) -> None:
        self._have += count
        if self._have == JOIN_SIZE:
            self._joining.joins(self)

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.leave()
        self._joining.gone(self)


class Joining:
    """Brings paths that come from outside to their connections, and counts paths. One per node."""

    def __init__(self) -> None:
        self._connections: dict[bytes, Take] = {}
        self._arriving: Pending[Arriving] = Pending(PATHS_ARRIVING.amount)
        self._early: dict[bytes, list[Arriving]] = {}
        self._count = 0
        self.dialled = 0
        """Those that this node has opened, or is opening."""

    def expect(self, secret: bytes, take: Take, ended: asyncio.Future[None]) -> None:
        """A connection that paths may join, until it has ended."""
        self._connections[secret] = take
        ended.add_done_callback(lambda _: self._connections.pop(secret, None))
        for early in self._early.pop(secret, ()):
            self._hand_to(take, early)

    def arrives(self, transport: asyncio.Transport, said: bytes, host: Hashable) -> None:
        """A path has come. ``said``: what came behind its proposal; ``host``: on whose account it waits."""
        path = Arriving(self)
        self._arriving.add(path, host)
        path.takes_over(transport, said)
        if (crowded := self._arriving.surplus()) is not None:
            crowded.end()

    def joins(self, path: Arriving) -> None:
        """It has said whose it is; that connection may come a moment later."""
        secret = path.join.token
        if (take := self._connections.get(secret)) is not None:
            self._hand_to(take, path)
        else:
            self._early.setdefault(secret, []).append(path)
            path.rest()

    def gone(self, path: Arriving) -> None:
        """It has ended. Idempotent."""
        self._arriving.discard(path)
        early = self._early.get(path.join.token, [])
        if path in early:
            early.remove(path)
            if not early:
                del self._early[path.join.token]

    def left(self) -> None:
        """One of those that were taken has ended."""
        self._count -= 1

    def close(self) -> None:
        """End those that have no connection."""
        for path in self._arriving:
            path.end()

    def _hand_to(self, take: Take, path: Arriving) -> None:
        path.leave()
        self._arriving.discard(path)
        if self._count >= PATHS_IN_ALL.amount or path.transport.is_closing() or not take(path.join, path.transport):
            path.transport.abort()
        else:
            self._count += 1
