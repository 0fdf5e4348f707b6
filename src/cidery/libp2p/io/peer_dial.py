"""One peer being dialled: its addresses raced, the first that authenticates wins at once, the others are dropped.

Some have a head start (protocols/dial_ranking.py).

An address that does not answer may be dead, or on another planet. So its dial continues until the system or the
handshake gives it up, and costs others nothing meanwhile: the next addresses begin after a second, a caller that cannot
wait that long continues without it (wait()), and what is pending longer than that has a limited number of places
(Pending).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from cidery.errors import CideryError
from cidery.identity.peer_id import PeerId
from cidery.libp2p.io.connection import Connection
from cidery.libp2p.io.dial_errors import DialFailed, reason_of
from cidery.libp2p.protocols.dial_ranking import Ranked
from cidery.libp2p.protocols.pending import Pending
from cidery.multiformats.multiaddr import Multiaddr

MAX_RACED = 16
"""Addresses of one peer dialled at once; the others follow as these fail or become old."""
OLD = 1.0
"""Seconds after which an address no longer keeps the next ones from being dialled, and needs a place to go on."""
MAX_ADDRS = 256
"""Addresses that one dial knows; those that failed make room for new ones, and beyond that new ones are dropped."""

Start = Callable[[Multiaddr, Callable[[], None]], Coroutine[Any, Any, Connection]]
"""Dials one address; calls the function once it begins, which may be later."""


def _all_at_once(addrs: Sequence[Multiaddr]) -> Ranked:
    return [(addr, 0.0) for addr in addrs]


class StillDialling(DialFailed):
    """Nobody has answered yet, and the caller did not want to wait longer. The dial continues."""

    def __init__(self, peer: PeerId, addrs: Sequence[Multiaddr]) -> None:
        super().__init__(peer, [(addr, "no answer yet") for addr in addrs])

    def __str__(self) -> str:
        return f"{super().__str__()}; it is still being dialled"


class Attempt:
    """The dial of one address."""

    def __init__(self, dial: PeerDial, addr: Multiaddr) -> None:
        self.dial = dial
        self.addr = addr
        self.began: float | None = None
        """Clock seconds; None: its turn has not come."""


class PeerDial:
    """Made for each peer that is not connected; run() is its task."""

    def __init__(
        self,
        peer: PeerId,
        start: Start,
        *,
        early: Callable[[Multiaddr], float],
        on_failure: Callable[[Multiaddr], None],
        pending: Pending[Attempt],
        rank: Callable[[Sequence[Multiaddr]], Ranked] = _all_at_once,
        on_given_up: Callable[[], None] = lambda: None,
        clock: Callable[[], float],
    ) -> None:
        """Args:
        early: the seconds after the beginning of an address' dial until wait() gives up by default.
        on_failure: called with each address that cannot be reached, or is late.
        pending: the places of all dials of the node.
        rank: the head starts of addresses that become known together.
        on_given_up: called for each address that loses its place there.
        """
        self.peer = peer
        self.over = False
        """Whether it takes no more addresses."""
        self.patient = 0
        """How many callers wait to the end."""
        self._start = start
        self._early = early
        self._on_failure = on_failure
        self._pending = pending
        self._rank = rank
        self._on_given_up = on_given_up
        self._clock = clock
        self._waiting: dict[Multiaddr, float] = {}
        """And when its turn comes, on the clock."""
        self._seen: set[Multiaddr] = set()
        self._running: dict[asyncio.Task[Connection], Attempt] = {}
        self._ended: set[Attempt] = set()
        self._failures: deque[tuple[Multiaddr, str]] = deque(maxlen=MAX_ADDRS)
        self._winner: Connection | None = None
        self._waking: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when run() has to look again."""

    def add(self, addrs: Iterable[Multiaddr]) -> None:
        """Dial these too; one that does not answer is tried once more.

        The system sends its SYNs ever more rarely: a network that is back would be noticed only after half a minute.
        """
        fresh: list[Multiaddr] = []
        for addr in addrs:
            if addr in self._seen:
                self._repeat(addr)
                continue
            if len(self._seen) >= MAX_ADDRS:
                self._seen = {*self._waiting, *(one.addr for one in self._running.values())}
            if len(self._seen) < MAX_ADDRS:
                self._seen.add(addr)
                fresh.append(addr)
        now = self._clock()
        for addr, head_start in self._rank(fresh):
            self._waiting[addr] = now + head_start
            self._wake()

    def _repeat(self, addr: Multiaddr) -> None:
        """A fresh attempt beside the first one, which may be on its way to another planet; not a third."""
        tried = [one for one in self._running.values() if one.addr == addr]
        if not tried or addr in self._waiting or not self._is_late(tried[-1]):
            return
        if len(tried) > 1:
            self.end(tried[-1])
        self._waiting[addr] = self._clock()
        self._wake()

    def _wake(self) -> None:
        if not self._waking.done():
            self._waking.set_result(None)

    def _is_late(self, attempt: Attempt) -> bool:
        return attempt.began is not None and self._clock() >= attempt.began + self._early(attempt.addr)

    def end(self, attempt: Attempt) -> None:
        """Give up one address: others need its place."""
        self._ended.add(attempt)
        self._wake()

    async def run(self) -> Connection:
        """The first connection of all addresses. Raises DialFailed naming what was tried. Cancel-safe: drops all."""
        try:
            while self._winner is None and (self._waiting or self._running):
                if self._waking.done():
                    self._waking = asyncio.get_running_loop().create_future()
                pause = self._begin()
                waits: list[asyncio.Future[Any]] = [*self._running, self._waking]
                await asyncio.wait(waits, timeout=pause, return_when=asyncio.FIRST_COMPLETED)
                self._give_up()
                self._collect()
        finally:
            self.over = True
            for task, attempt in self._running.items():
                self._pending.discard(attempt)
                task.cancel()
                task.add_done_callback(_close_latecomer)
            self._running.clear()
        if self._winner is None:
            raise DialFailed(self.peer, list(self._failures))
        return self._winner

    def _begin(self) -> float | None:
        """Start addresses as far as there is room; the seconds until there may be more, None: when something ends."""
        now = self._clock()
        ages = [0.0 if one.began is None else now - one.began for one in self._running.values()]
        young = [age for age in ages if age < OLD]
        self._end_head_starts(now)
        due = [addr for addr in sorted(self._waiting, key=self._waiting.__getitem__) if self._waiting[addr] <= now]
        for addr in due[: max(0, MAX_RACED - len(young))]:
            del self._waiting[addr]
            attempt = Attempt(self, addr)
            task = asyncio.create_task(self._start(attempt.addr, partial(self._began, attempt)))
            self._running[task] = attempt
            young.append(0.0)
        for attempt in self._running.values():
            if attempt.began is not None and now - attempt.began >= OLD and attempt not in self._pending:
                self._pending.add(attempt, self.peer)
                while (other := self._pending.surplus(lambda one: one.dial.patient > 0)) is not None:
                    self._on_given_up()
                    other.dial.end(other)
        pauses = [OLD - max(young)] if young else []
        pauses += [at - now for at in self._waiting.values() if at > now]
        return max(0.001, min(pauses)) if pauses else None

    def _end_head_starts(self, now: float) -> None:
        """Nobody is left who has one: the next ones need not wait."""
        early = min(self._waiting.values(), default=now) - now
        if not self._running and early > 0.0:
            self._waiting = {addr: at - early for addr, at in self._waiting.items()}

    def _began(self, attempt: Attempt) -> None:
        attempt.began = self._clock()

    def _give_up(self) -> None:
        for task, attempt in list(self._running.items()):
            if attempt in self._ended and not task.done():
                del self._running[task]
                self._pending.discard(attempt)
                task.cancel()
                task.add_done_callback(_close_latecomer)
                self._failed(attempt, "given up, for others were to be dialled")
        self._ended.clear()

    def _collect(self) -> None:
        for task, attempt in list(self._running.items()):
            if not task.done():
                continue
            del self._running[task]
            self._pending.discard(attempt)
            exc = task.exception()
            if exc is None and self._winner is None:
                self._winner = task.result()
            elif exc is None:
                task.result().close("another address was faster")
            elif isinstance(exc, (CideryError, OSError, TimeoutError)):
                self._failed(attempt, reason_of(exc))
            else:
                raise exc

    def _failed(self, attempt: Attempt, reason: str) -> None:
        if attempt.addr in self._waiting or any(one.addr == attempt.addr for one in self._running.values()):
            return  # another attempt may do better
        self._failures.append((attempt.addr, reason))
        self._on_failure(attempt.addr)

    # --- who waits for it

    def early_at(self) -> float:
        """When a caller that has other things to do should go on without it."""
        if self._winner is not None or self._waiting or any(one.began is None for one in self._running.values()):
            return self._clock() + OLD  # too early to tell
        newest = {one.addr: one.began or 0.0 for one in self._running.values()}
        ends = [began + self._early(addr) for addr, began in newest.items()]
        return max(ends, default=self._clock() + OLD)  # without any, the task is about to end

    async def wait(self, task: asyncio.Task[Connection], *, patient: bool) -> Connection:
        """The result of ``task``, which includes run().

        Args:
            patient: to the end, however long that takes; else until early_at().
        Raises StillDialling, and as run(). Cancellation: safe, the task continues for others.
        """
        if patient:
            self.patient += 1
            try:
                return await asyncio.shield(task)
            finally:
                self.patient -= 1
        while not task.done() and (left := self.early_at() - self._clock()) > 0:
            await asyncio.wait([task], timeout=left)
        if not task.done():
            late = list(dict.fromkeys(one.addr for one in self._running.values()))
            for addr in late:
                self._on_failure(addr)
            raise StillDialling(self.peer, late)
        return await asyncio.shield(task)


def _close_latecomer(task: asyncio.Future[Connection]) -> None:
    """A dial that was through before its cancellation reached it: nobody wants its connection."""
    with suppress(asyncio.CancelledError):
        if task.exception() is None:
            task.result().close("another address was faster")
