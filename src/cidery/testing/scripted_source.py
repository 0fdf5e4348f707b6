"""Sources for a FetchSession that follow a script: a delay, a rate, their blocks, when they stall or lie.

race = Race(FetchSession(waits, 0.0), [ScriptedSource("near", 0.01), ScriptedSource("far", 0.1)])
race.run(cids)          # virtual time; race.got tells which source sent what, and when
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass, field

from cidery.exchange.commands import Ask, Cancel, GiveUp
from cidery.exchange.session import FetchSession
from cidery.multiformats.cid import CID

READ_AHEAD = 64 * 1024 * 1024
"""Bytes the reader of a race has room for."""


@dataclass(slots=True)
class ScriptedSource:
    """One source. Blocks leave one after another at ``rate`` and arrive ``round_trip`` after they were requested."""

    name: str
    round_trip: float
    """Seconds."""
    rate: float = 100e6
    """Bytes per second."""
    has: Container[CID] | None = None
    """Its blocks; None: everything."""
    silent_after: int | None = None
    """Blocks after which it sends nothing more."""
    gone_after: int | None = None
    """Blocks after which its connection ends."""
    sent: int = 0
    free_at: float = 0.0
    gone: bool = False
    asked: list[CID] = field(default_factory=list)
    cancelled: set[CID] = field(default_factory=set)


class Race:
    """Runs one session against scripted sources until every block arrived or it gives up."""

    def __init__(self, session: FetchSession, sources: Iterable[ScriptedSource], size: int = 256 * 1024) -> None:
        self.session = session
        self.sources = {source.name: source for source in sources}
        self.size = size
        self.now = 0.0
        self.got: dict[CID, tuple[str, float]] = {}
        """Block -> (source that sent it first, when)."""
        self.gave_up: GiveUp | None = None
        self.polls = 0
        self._events: list[tuple[float, int, Callable[[], object]]] = []
        self._order = 0
        for source in self.sources.values():
            session.add_source(source.name, source.round_trip, self.now)

    def at(self, when: float, action: Callable[[], object]) -> None:
        """Do something at a moment of the race."""
        self._order += 1
        heapq.heappush(self._events, (when, self._order, action))

    def run(self, cids: Sequence[CID] = (), until: float = 1e9) -> None:
        """Want ``cids``, and advance the clock until all wants are done, no events are left, or ``until``."""
        self.session.want(cids, self.now)
        self._poll()
        while self.session.wanted and self.gave_up is None:
            deadline = self.session.next_deadline()
            when = min(self._events[0][0] if self._events else until, until if deadline is None else deadline)
            if when >= until:
                return
            self.now = max(self.now, when)
            while self._events and self._events[0][0] <= self.now:
                heapq.heappop(self._events)[2]()
            self._poll()

    def count(self, name: str) -> int:
        """Blocks that came from ``name`` first."""
        return sum(1 for sender, _ in self.got.values() if sender == name)

    # --- inside

    def _poll(self) -> None:
        self.polls += 1
        for command in self.session.poll(self.now, READ_AHEAD - self.session.outstanding_bytes):
            match command:
                case Ask(name, blocks, haves):
                    self._asked(self.sources[name], blocks, haves)
                case Cancel(name, cids):
                    self.sources[name].cancelled.update(cids)
                case GiveUp():
                    self.gave_up = command

    def _asked(self, source: ScriptedSource, blocks: Sequence[CID], haves: Sequence[CID]) -> None:
        source.asked += blocks
        source.cancelled.difference_update(blocks)
        for cid in haves:
            self.at(self.now + source.round_trip, lambda cid=cid: self._presence(source, cid))  # type: ignore[misc]
        for cid in blocks:
            if source.has is not None and cid not in source.has:
                self.at(self.now + source.round_trip, lambda cid=cid: self._presence(source, cid))  # type: ignore[misc]
                continue
            source.free_at = max(source.free_at, self.now + source.round_trip / 2) + self.size / source.rate
            arrives = source.free_at + source.round_trip / 2
            self.at(arrives, lambda cid=cid: self._arrives(source, cid))  # type: ignore[misc]

    def _silent(self, source: ScriptedSource) -> bool:
        return source.gone or (source.silent_after is not None and source.sent >= source.silent_after)

    def _presence(self, source: ScriptedSource, cid: CID) -> None:
        if self._silent(source):
            return
        if source.has is None or cid in source.has:
            self.session.on_have(source.name, cid, self.now)
        else:
            self.session.on_dont_have(source.name, cid, self.now)

    def _arrives(self, source: ScriptedSource, cid: CID) -> None:
        if self._silent(source) or cid in source.cancelled:
            return
        source.sent += 1
        if self.session.on_block(source.name, cid, self.size, self.now):
            self.got[cid] = (source.name, self.now)
        if source.gone_after is not None and source.sent >= source.gone_after:
            source.gone = True
            self.session.remove_source(source.name, self.now)
