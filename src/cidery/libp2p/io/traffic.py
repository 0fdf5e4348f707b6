"""The bytes of all connections: counted, and held to the limits of the config.

Sending waits in the muxer: a connection asks for room() before it seals a frame, and is woken when there is some, each
in turn. Short messages (wants, requests, answers of the DHT) may go beyond the limit for a moment, so that this node's
own requests are not behind what it serves. Receiving pauses the socket, and the sender's TCP notices.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable

from cidery.identity.peer_id import PeerId
from cidery.libp2p.protocols.bandwidth import NO_LIMIT, Meter, Meters, Schedule, Throttle

LOOK_EVERY = 1.0
"""Seconds between two looks at the schedule."""


class Traffic:
    """One per swarm."""

    def __init__(
        self,
        clock: Callable[[], float],
        schedule: Schedule | None = None,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        """``schedule`` None: no limits. ``wall_clock``: for its times of day, which are local ones."""
        self.clock = clock
        self._schedule = schedule or Schedule()
        self.unlimited = self._schedule.limits_nothing
        self._wall_clock = wall_clock
        now = clock()
        self.limits = self._schedule.usual
        self.up, self.down = Throttle(self.limits.up, now), Throttle(self.limits.down, now)
        self.received, self.sent = Meter(now), Meter(now)
        self.peers: Meters[PeerId] = Meters()
        self.protocols: Meters[str] = Meters()
        self._shares: set[Share] = set()
        self._waiting: deque[Share] = deque()
        self._turn: Share | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._look_at = now

    def share(self, resume: Callable[[], None], read_on: Callable[[], None]) -> Share:
        """A connection's part. ``resume`` is called when it may send again, ``read_on`` when it may read again."""
        share = Share(self, resume, read_on)
        self._shares.add(share)
        return share

    def count(self, protocol: str, *, received: int = 0, sent: int = 0) -> None:
        """Bytes of a stream's content."""
        now = self.clock()
        came, went = self.protocols.of(protocol, now)
        if received:
            came.count(received, now)
        if sent:
            went.count(sent, now)

    def look(self, now: float) -> None:
        """Apply what the schedule says now."""
        if self.unlimited or now < self._look_at:
            return
        self._look_at = now + LOOK_EVERY
        local = time.localtime(self._wall_clock())
        limits = self._schedule.at(local.tm_wday, local.tm_hour * 60 + local.tm_min)
        if limits == self.limits:
            return
        self.limits = limits
        self.up.change(limits.up, now)
        self.down.change(limits.down, now)
        for share in self._shares:
            share.up.change(limits.peer_up, now)
            share.down.change(limits.peer_down, now)

    # --- turns to send

    def may(self, share: Share, now: float, *, urgent: bool) -> int:
        """Bytes that a connection may send of the node's; 0: it will be woken."""
        room = self.up.room(now, urgent=urgent)
        if room and (urgent or share is self._turn or not self._waiting):
            return room
        if not share.waits:
            share.waits = True
            self._waiting.append(share)
        self._arm(now)
        return 0

    def _arm(self, now: float) -> None:
        if self._timer is None and self._turn is None:
            self._timer = asyncio.get_running_loop().call_later(self.up.ready_in(now), self._next_turns)

    def _next_turns(self) -> None:
        self._timer = None
        for _ in range(len(self._waiting)):
            if not self.up.room(self.clock()):
                break
            self._turn = share = self._waiting.popleft()
            share.waits = False
            share.resume()
            self._turn = None
        if self._waiting:
            self._arm(self.clock())

    def forget(self, share: Share) -> None:
        self._shares.discard(share)
        if share.waits:
            self._waiting.remove(share)
        if not self._waiting and self._timer is not None:
            self._timer.cancel()
            self._timer = None


class Share:
    """What one connection sends and receives."""

    def __init__(self, traffic: Traffic, resume: Callable[[], None], read_on: Callable[[], None]) -> None:
        now = traffic.clock()
        self.resume = resume
        self._read_on = read_on
        self._reading: asyncio.TimerHandle | None = None
        self.peer: PeerId | None = None
        """Once it is known."""
        self.up = Throttle(traffic.limits.peer_up, now)
        self.down = Throttle(traffic.limits.peer_down, now)
        self.waits = False
        """Whether it is in the queue of the node."""
        self._traffic = traffic
        self._timer: asyncio.TimerHandle | None = None

    def room(self, *, urgent: bool) -> int:
        """Bytes that may be sent now; 0: resume() will be called. ``urgent``: short messages are waiting."""
        traffic = self._traffic
        if traffic.unlimited:
            return NO_LIMIT
        now = traffic.clock()
        traffic.look(now)
        own = self.up.room(now, urgent=urgent)
        if not own:
            if self._timer is None:
                self._timer = asyncio.get_running_loop().call_later(self.up.ready_in(now), self._again)
            return 0
        return min(own, traffic.may(self, now, urgent=urgent))

    def _again(self) -> None:
        self._timer = None
        self.resume()

    def sent(self, size: int) -> None:
        traffic, now = self._traffic, self._traffic.clock()
        if not traffic.unlimited:
            self.up.take(size, now)
            traffic.up.take(size, now)
        traffic.sent.count(size, now)
        if self.peer is not None:
            traffic.peers.of(self.peer, now)[1].count(size, now)

    @property
    def most_to_read(self) -> int:
        """Bytes to take from the socket at a time."""
        return min(self.down.quantum, self._traffic.down.quantum)

    @property
    def reading_waits(self) -> bool:
        """Whether read_on() is to be waited for."""
        return self._reading is not None

    def received(self, size: int) -> bool:
        """Bytes came. True: read no more until read_on() is called."""
        traffic, now = self._traffic, self._traffic.clock()
        traffic.received.count(size, now)
        if self.peer is not None:
            traffic.peers.of(self.peer, now)[0].count(size, now)
        if traffic.unlimited:
            return False
        traffic.look(now)
        self.down.take(size, now)
        traffic.down.take(size, now)
        if self._reading is None:
            self._wait_to_read(now)
        return self.reading_waits

    def _wait_to_read(self, now: float) -> None:
        pause = max(self.down.ready_in(now), self._traffic.down.ready_in(now))
        if pause:
            self._reading = asyncio.get_running_loop().call_later(pause, self._look_again)

    def _look_again(self) -> None:
        """Others may have received meanwhile, and paid later."""
        self._reading = None
        self._wait_to_read(self._traffic.clock())
        if self._reading is None:
            self._read_on()

    def end(self) -> None:
        """The connection is closed. Idempotent."""
        for timer in (self._timer, self._reading):
            if timer is not None:
                timer.cancel()
        self._traffic.forget(self)
