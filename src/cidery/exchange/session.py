"""The fetch session: one request's wants, raced over its sources. Pure; knows no protocol.

    wanted --assign--> asked of one source --block--> done
       ^                    | dont-have, stall, source gone
       +--------------------+

A want is asked of one source at a time, so duplicates come only from sources that were given up. Sources that are not
known to have anything of the session are asked want-have; the first wants also go to the nearest one unasked.

Input: want/need/forget from the reader, sources and their answers, time. Output: poll() -> commands.
"""

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass

from cidery.exchange.source import MAX_WANTS, Source
from cidery.multiformats.cid import CID

MAX_SESSION_WANTS = 64 * 1024
"""Wants that one session remembers; a reader that prefetches more is told to come back."""
MAX_PROBED_SOURCES = 64
"""Sources asked want-have for one CID at once."""
MAX_PROBES = 16
"""CIDs that nobody is known to have, asked for by want-have at once."""
MAX_DENIALS = 32
"""DONT_HAVE answers in a row after which a source is asked only by want-have."""


@dataclass(frozen=True, slots=True)
class Ask:
    """Ask a source for blocks, and whether it has others."""

    source: str
    blocks: tuple[CID, ...]
    haves: tuple[CID, ...]


@dataclass(frozen=True, slots=True)
class Cancel:
    """Tell a source that these are no longer wanted of it."""

    source: str
    cids: tuple[CID, ...]


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Nothing new came from anybody for too long."""

    stage: str
    sources: int


Command = Ask | Cancel | GiveUp


@dataclass(frozen=True, slots=True)
class SessionWaits:
    """Bases of the session's waits, in seconds; round trips are added. See libp2p.protocols.timeouts."""

    stall_base: float = 1.5
    give_up_base: float = 60.0
    factor: float = 4.0
    ceiling: float = 6 * 3600.0

    def stall(self, round_trip: float | None) -> float:
        return min(self.ceiling, self.stall_base + self.factor * (1.0 if round_trip is None else round_trip))

    def give_up(self, round_trip: float | None) -> float:
        return min(self.ceiling, self.give_up_base + self.factor * (1.0 if round_trip is None else round_trip))


class _Want:
    __slots__ = ("asked", "denied", "holders", "source")

    def __init__(self) -> None:
        self.source: str | None = None
        """Of whom the block is being asked."""
        self.denied: set[str] = set()
        """Who does not have it."""
        self.holders: set[str] = set()
        """Who said HAVE."""
        self.asked: set[str] = set()
        """Of whom the block was asked and not cancelled, besides ``source``: late answers still count."""


class FetchSession:
    """See the module's text. One object per request."""

    def __init__(self, waits: SessionWaits, now: float) -> None:
        self.sources: dict[str, Source] = {}
        self.duplicates = 0
        self._waits = waits
        self._wants: dict[CID, _Want] = {}
        self._queue: OrderedDict[CID, None] = OrderedDict()
        self._orphans: OrderedDict[CID, None] = OrderedDict()
        self._done: set[CID] = set()
        self._commands: list[Command] = []
        self._progress_at = now
        self._longest_wait: float | None = None
        self._gave_up = False

    # --- the reader

    def want(self, cids: Iterable[CID], now: float) -> None:
        """These will be needed, in this order. Repeats cost nothing; beyond MAX_SESSION_WANTS they are dropped."""
        if not self._wants:
            self._progress_at = now
        for cid in cids:
            if cid not in self._wants and len(self._wants) < MAX_SESSION_WANTS:
                self._wants[cid] = _Want()
                self._queue[cid] = None
                self._gave_up = False

    def need(self, cid: CID, now: float) -> None:
        """Somebody waits for this one: it goes to the front."""
        self.want((cid,), now)
        if cid in self._queue:
            self._queue.move_to_end(cid, last=False)

    def forget(self, cids: Iterable[CID]) -> None:
        """No longer wanted; whoever was asked is told."""
        for cid in cids:
            want = self._wants.pop(cid, None)
            self._queue.pop(cid, None)
            self._orphans.pop(cid, None)
            if want is not None:
                self._cancel_all(cid, want)

    @property
    def wanted(self) -> int:
        """Wants that are not done."""
        return len(self._wants)

    @property
    def outstanding_bytes(self) -> int:
        """Assumed bytes that sources were asked for and have not sent."""
        return sum(source.outstanding_bytes for source in self.sources.values())

    def stage(self, now: float) -> str:
        """What the session is doing, in one word for people."""
        if not self._wants:
            return "done"
        if not self.sources or not any(s.has_any or s.outstanding for s in self.sources.values()):
            return "finding"
        busy = [s for s in self.sources.values() if s.outstanding]
        if busy and all(s.stalled for s in busy):
            return "stalled"
        return "receiving" if any(s.blocks for s in self.sources.values()) else "asking"

    # --- sources

    def add_source(self, name: str, round_trip: float | None, now: float) -> None:
        if name not in self.sources:
            self.sources[name] = Source(name, round_trip)
            self._requeue_orphans()
            self._gave_up = False

    def remove_source(self, name: str, now: float) -> None:
        """It is gone: what it owed is asked of others."""
        source = self.sources.pop(name, None)
        if source is None:
            return
        for cid in reversed(source.release()):
            self._unassign(cid, name)
        for want in self._wants.values():
            want.denied.discard(name)
            want.holders.discard(name)
            want.asked.discard(name)

    def on_have(self, name: str, cid: CID, now: float) -> None:
        source = self.sources.get(name)
        if source is None:
            return
        source.probed.discard(cid)
        source.replied(now)
        source.denials = 0
        want = self._wants.get(cid)
        if want is not None:
            source.has_any = True
            want.holders.add(name)
            want.denied.discard(name)
            if want.source is None and cid in self._orphans:
                del self._orphans[cid]
                self._queue[cid] = None
                self._queue.move_to_end(cid, last=False)

    def on_dont_have(self, name: str, cid: CID, now: float) -> None:
        source = self.sources.get(name)
        if source is None:
            return
        source.probed.discard(cid)
        asked = source.outstanding.get(cid)
        source.answered(cid, now)
        source.replied(now, asked[0] if asked else None)
        source.denials += 1
        if source.denials >= MAX_DENIALS:
            source.has_any = False
        want = self._wants.get(cid)
        if want is not None:
            want.denied.add(name)
            want.holders.discard(name)
            want.asked.discard(name)
            if want.source == name:
                self._unassign(cid, name)

    def on_block(self, name: str, cid: CID, size: int, now: float) -> bool:
        """A verified block came. False if it was not wanted (any more): a duplicate, to be dropped."""
        source = self.sources.get(name)
        want = self._wants.pop(cid, None)
        if source is not None:
            source.probed.discard(cid)
            source.received(cid, size, now)
            if source.least_delay is not None:
                self._longest_wait = max(self._longest_wait or 0.0, source.least_delay)
        if want is None:
            self.duplicates += cid in self._done
            return False
        self._progress_at = now
        if len(self._done) < MAX_SESSION_WANTS:
            self._done.add(cid)
        self._queue.pop(cid, None)
        self._orphans.pop(cid, None)
        want.asked.discard(name)
        if want.source == name:
            want.source = None
        self._cancel_all(cid, want)
        return True

    # --- time and output

    def poll(self, now: float, room: int) -> list[Command]:
        """What to do now. ``room``: bytes that may be asked for beyond what is outstanding; one want always may."""
        self._check_stalls(now)
        self._assign(now, room)
        self._probe(now)
        if self._wants and not self._gave_up and now >= self._give_up_at():
            self._gave_up = True
            self._commands.append(GiveUp(self.stage(now), len(self.sources)))
        commands, self._commands = self._commands, []
        return commands

    def next_deadline(self) -> float | None:
        """When poll() wants to be called at the latest; None while nothing is wanted."""
        if not self._wants:
            return None
        stalls = [source.stall_deadline(self._waits.stall) for source in self.sources.values()]
        deadlines = [deadline for deadline in stalls if deadline is not None]
        if not self._gave_up:
            deadlines.append(self._give_up_at())
        return min(deadlines, default=None)

    # --- inside

    def _give_up_at(self) -> float:
        delays = [s.least_delay for s in self.sources.values() if s.least_delay is not None]
        return self._progress_at + self._waits.give_up(max(delays, default=self._longest_wait))

    def _check_stalls(self, now: float) -> None:
        for source in self.sources.values():
            deadline = source.stall_deadline(self._waits.stall)
            if deadline is None or now < deadline:
                continue
            source.stalled = True
            source.has_any = source.has_any and len(self.sources) == 1
            for cid in list(source.outstanding):
                want = self._wants.get(cid)
                if want is not None and self._others_may_have(want, source.name):
                    source.answered(cid, now)
                    want.asked.add(source.name)
                    self._unassign(cid, source.name)

    def _others_may_have(self, want: _Want, name: str) -> bool:
        return any(
            other.name != name and not other.stalled and other.name not in want.denied
            for other in self.sources.values()
        )

    def _assign(self, now: float, room: int) -> None:
        """Give queued wants to sources with room, each to the one that would have it here first."""
        batches: dict[str, list[CID]] = {}
        able = [s for s in self._able() if s.has_room()]
        left, assigned, orphaned = room, [], []
        for cid in self._queue:
            if not able or (left <= 0 and (batches or self.outstanding_bytes)):
                break
            want = self._wants[cid]
            candidates = [s for s in able if s.name not in want.denied]
            holders = [s for s in candidates if s.name in want.holders]
            chosen = min(holders or candidates, key=Source.delay, default=None)
            if chosen is None:
                if not self._could_get(want):
                    orphaned.append(cid)
                continue
            assigned.append(cid)
            want.source = chosen.name
            chosen.asked(cid, now)
            left -= chosen.average_block
            batches.setdefault(chosen.name, []).append(cid)
            if not chosen.has_room():
                able.remove(chosen)
        for cid in assigned:
            del self._queue[cid]
        for cid in orphaned:
            del self._queue[cid]
            self._orphans[cid] = None
        self._commands += [Ask(name, tuple(cids), ()) for name, cids in batches.items()]

    def _able(self) -> list[Source]:
        """Sources that may be asked for blocks: those known to have something, else the nearest unknown one."""
        known = [s for s in self.sources.values() if s.has_any and not s.stalled]
        if known:
            return known
        unknown = [s for s in self.sources.values() if not s.stalled and s.denials == 0]
        if not unknown:
            stalled = [s for s in self.sources.values() if s.stalled and s.outstanding == {}]
            return stalled[:1]
        busy = any(s.outstanding for s in unknown)
        return [] if busy else [min(unknown, key=lambda s: s.least_delay or 0.0)]

    def _could_get(self, want: _Want) -> bool:
        """Whether a source that is busy now may have it."""
        return any(s.has_any and s.name not in want.denied for s in self.sources.values())

    def _probe(self, now: float) -> None:
        """Ask want-have where nobody is known to have a want, or where only one source is."""
        targets = list(self._orphans)[:MAX_PROBES]
        unknown = [s for s in self.sources.values() if not s.has_any and not s.stalled]
        if unknown and self._wants:
            first = next(iter(self._wants))
            if first not in targets:
                targets.append(first)
        for cid in targets:
            want = self._wants[cid]
            for source in [s for s in unknown if s.name != want.source][:MAX_PROBED_SOURCES]:
                if cid in source.probed or source.name in want.denied or source.name in want.holders:
                    continue
                if len(source.probed) >= MAX_WANTS:
                    continue
                if not source.outstanding and not source.probed:
                    source.progress_at = now
                source.probed.add(cid)
                self._commands.append(Ask(source.name, (), (cid,)))

    def _requeue_orphans(self) -> None:
        for cid in self._orphans:
            self._queue[cid] = None
        self._orphans.clear()

    def _unassign(self, cid: CID, name: str) -> None:
        want = self._wants.get(cid)
        if want is not None and want.source == name:
            want.source = None
            self._queue[cid] = None
            self._queue.move_to_end(cid, last=False)

    def _cancel_all(self, cid: CID, want: _Want) -> None:
        """Tell everyone who was asked for the block, or whether they have it, that it is no longer wanted."""
        for name, source in self.sources.items():
            asked = name == want.source or name in want.asked or name in want.holders or cid in source.probed
            if asked:
                source.probed.discard(cid)
                source.answered(cid, source.progress_at)
                self._commands.append(Cancel(name, (cid,)))
