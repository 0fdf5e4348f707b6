"""A connection over which nothing comes: its peer is dialled once more, and the new one takes its place.

When a line was cut for a while and is mended, TCP tries again only after half a minute; a new connection shows at once
that the peer is there. And what a router on the way has forgotten never comes back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from cidery.identity.peer_id import PeerId
from cidery.libp2p.io.connection import Connection

SILENT = 0.5
"""Seconds, beside two round trips, without anything after a ping until the peer is dialled once more."""
PAUSE = 5.0
"""Seconds between two such dials of one peer."""
MAX_REMEMBERED = 1024
"""Peers whose last such dial is known; the oldest is forgotten."""


class Renewals:
    """Of one node. ``dial``: begins a dial of a peer beside its connections; None: it has one, or no address."""

    def __init__(self, dial: Callable[[PeerId], asyncio.Task[Connection] | None], clock: Callable[[], float]) -> None:
        self._dial = dial
        self._clock = clock
        self._begun_at: dict[PeerId, float] = {}

    def consider(self, connection: Connection) -> None:
        """Dial its peer if nothing has come over it for too long after a ping. Returns at once."""
        if connection.relayed or connection.unanswered < connection.wait(SILENT, 2.0):
            return
        peer, now = connection.peer, self._clock()
        if now < self._begun_at.get(peer, float("-inf")) + PAUSE or (task := self._dial(peer)) is None:
            return
        self._begun_at.pop(peer, None)
        self._begun_at[peer] = now
        if len(self._begun_at) > MAX_REMEMBERED:
            del self._begun_at[next(iter(self._begun_at))]
        task.add_done_callback(lambda done: self._dialled(connection, now, done))

    def _dialled(self, connection: Connection, began: float, task: asyncio.Task[Connection]) -> None:
        if task.cancelled() or task.exception() is not None:
            return
        if connection.usable and connection.heard_at <= began:
            connection.close("nothing comes over it, but over a new one")
