"""The fetch session: one request's wants, raced over its sources. Pure; knows no protocol.

    wanted --assign--> asked of one source --block--> done
       ^                    | dont-have, stall, source gone
       +--------------------+

A want is asked of one source at a time, so duplicates come only from sources that were given up. Sources not known to
have anything of the session are asked want-have; the first wants also go to the nearest unasked one.

Input: want/need/forget from the reader, sources and their answers, time. Output: poll() -> commands.
"""

from collections import OrderedDict
from collections.abc import Iterable, KeysView
from itertools import islice

from cidery.exchange.commands import Ask, Cancel, Command, GiveUp, Search
from cidery.exchange.source import MAX_WANTS, Source, patient_deadline
from cidery.exchange.waits import SessionWaits
from cidery.multiformats.cid import CID

MAX_SESSION_WANTS = 64 * 1024
"""Wants that one session remembers; a reader that prefetches more must do so later."""
MAX_PROBED_SOURCES = 64
"""Concurrent want-have questions for one CID."""
MAX_PROBES = 16
"""CIDs without a known holder that are asked for by want-have concurrently."""
SEARCH_AGAIN = 10.0
"""Seconds between the first two searches of a session that receives nothing; doubles each time."""
MAX_SEARCH_PAUSE = 300.0
"""Longest pause between two searches, in seconds."""
MAX_DENIALS = 32
"""DONT_HAVE answers in a row after which a source is asked only by want-have."""


class _Want:
    __slots__ = ("asked", "denied", "holders", "parked", "source")

    def __init__(self) -> None:
        self.source: str | None = None
        """The source that is being asked for the block."""
        self.denied: set[str] = set()
        """Sources that do not have it."""
        self.holders: set[str] = set()
        """Sources that said HAVE."""
        self.asked: set[str] = set()
        """Sources asked for the block and not cancelled, besides ``source``: late answers still count."""
        self.parked: str | None = None
        """The source whose window it waits for, because the others do not have it."""


class FetchSession:
    """See the module's text. One object per request."""

    def __init__(self, waits: SessionWaits, now: float) -> None:
        self.sources: dict[str, Source] = {}
        self.duplicates = 0
        self._waits = waits
        self._wants: OrderedDict[CID, _Want] = OrderedDict()
        self._queue: OrderedDict[CID, None] = OrderedDict()
        self._orphans: OrderedDict[CID, None] = OrderedDict()
        self._done: set[CID] = set()
        self._commands: list[Command] = []
        self._progress_at = now
        self._longest_wait: float | None = None
        self._gave_up = False
        self._sources_changed = False
        self._searched_at: float | None = None
        self._search_pause = SEARCH_AGAIN

    # --- the reader

    def want(self, cids: Iterable[CID], now: float) -> None:
        """These will be needed, in this order. Repeats cost nothing; beyond MAX_SESSION_WANTS they are dropped."""
        if not self._wants:
            self._begin_waiting(now)
        for cid in cids:
            if cid not in self._wants and len(self._wants) < MAX_SESSION_WANTS:
                self._wants[cid] = _Want()
                self._queue[cid] = None
                if self._gave_up:
                    self._begin_waiting(now)

    def need(self, cid: CID, now: float) -> None:
        """The reader waits for this one: it goes to the front, and the give-up time starts again."""
        self.want((cid,), now)
        if self._gave_up:
            self._begin_waiting(now)
        want = self._wants.get(cid)
        if cid in self._queue:
            self._queue.move_to_end(cid, last=False)
        elif want is not None and want.parked is not None:
            self.sources[want.parked].parked.move_to_end(cid, last=False)

    def forget(self, cids: Iterable[CID]) -> None:
        """No longer wanted; every source asked is told."""
        for cid in cids:
            want = self._wants.pop(cid, None)
            self._queue.pop(cid, None)
            self._orphans.pop(cid, None)
            if want is not None:
                self._unpark(cid, want)
                self._cancel_all(cid, want)

    @property
    def wanted(self) -> int:
        """Wants that are not done."""
        return len(self._wants)

    def wants(self) -> KeysView[CID]:
        """Those, in the order in which they were wanted."""
        return self._wants.keys()

    def silent(self, now: float) -> float:
        """Seconds without anything new; 0.0 while nothing is wanted."""
        return now - self._progress_at if self._wants else 0.0

    @property
    def outstanding_bytes(self) -> int:
        """Assumed bytes that were requested from sources but have not arrived."""
        return sum(source.outstanding_bytes for source in self.sources.values())

    def stage(self, now: float) -> str:
        """The state of the session, in one word for people."""
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
            if self._gave_up:
                self._begin_waiting(now)
            self._sources_changed = True

    def remove_source(self, name: str, now: float) -> None:
        """It disconnected: its outstanding wants are asked of others."""
        source = self.sources.pop(name, None)
        if source is None:
            return
        self._unpark_all(source)
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
        self._revive(source)
        source.replied(now, have=True)
        source.denials = 0
        want = self._wants.get(cid)
        if want is not None:
            self._prove(source)
            want.holders.add(name)
            want.denied.discard(name)
            if cid in self._orphans:
                del self._orphans[cid]
                self._enqueue_first(cid)
            elif self._unpark(cid, want):
                self._enqueue_first(cid)

    def on_bytes(self, name: str, at: float) -> None:
        """Bytes of a message arrived at time ``at``; their content is not known yet."""
        source = self.sources.get(name)
        if source is not None:
            source.heard_at = max(source.heard_at, at)

    def on_dont_have(self, name: str, cid: CID, now: float) -> None:
        source = self.sources.get(name)
        if source is None:
            return
        source.probed.discard(cid)
        asked = source.outstanding.get(cid)
        source.answered(cid, now)
        self._revive(source)
        source.replied(now, asked[0] if asked else None, have=False)
        source.denials += 1
        if source.denials >= MAX_DENIALS:
            source.has_any = False
            self._unpark_all(source)
        want = self._wants.get(cid)
        if want is not None:
            want.denied.add(name)
            want.holders.discard(name)
            want.asked.discard(name)
            if want.source == name:
                self._unassign(cid, name)
            elif want.parked == name and self._unpark(cid, want):
                self._enqueue_first(cid)

    def on_block(self, name: str, cid: CID, size: int, now: float) -> bool:
        """A verified block arrived. False if it was not wanted (any more): a duplicate, to be dropped."""
        source = self.sources.get(name)
        want = self._wants.pop(cid, None)
        if want is None and cid not in self._done:
            return False  # never requested: it does not show that the source answers
        if source is not None:
            source.probed.discard(cid)
            self._revive(source)
            self._prove(source)
            source.received(cid, size, now)
            if source.least_delay is not None:
                self._longest_wait = max(self._longest_wait or 0.0, source.least_delay)
        # a cancel and a block may cross on the way, and a small block may answer a want-have: neither is a fault
        if want is None:
            self.duplicates += 1
            return False
        self._progress_at = now
        self._searched_at, self._search_pause = None, SEARCH_AGAIN
        if len(self._done) < MAX_SESSION_WANTS:
            self._done.add(cid)
        self._queue.pop(cid, None)
        self._orphans.pop(cid, None)
        self._unpark(cid, want)
        want.asked.discard(name)
        if want.source == name:
            want.source = None
        self._cancel_all(cid, want)
        return True

    # --- time and output

    def poll(self, now: float, room: int) -> list[Command]:
        """The commands to run now. ``room``: bytes that may be requested in addition; a single want always may."""
        self._check_stalls(now)
        self._assign(now, room)
        self._probe(now)
        if self._wants and now >= self._search_at():
            if self._searched_at is not None:
                self._search_pause = min(MAX_SEARCH_PAUSE, 2 * self._search_pause)
            self._searched_at = now
            self._commands.append(Search(next(iter(self._wants))))
        if self._wants and not self._gave_up and now >= self._give_up_at():
            self._gave_up = True
            self._commands.append(GiveUp(self.stage(now), len(self.sources)))
        commands, self._commands = self._commands, []
        return commands

    def next_deadline(self) -> float | None:
        """The latest time for the next call of poll(); None while nothing is wanted."""
        if not self._wants:
            return None
        stalls = [source.stall_deadline(self._waits.stall) for source in self.sources.values()]
        deadlines = [deadline for deadline in stalls if deadline is not None]
        if not self._gave_up:
            deadlines += (self._give_up_at(), self._search_at())
        return min(deadlines, default=None)

    # --- inside

    def _search_at(self) -> float:
        """The time of the next search for more sources."""
        if self._waits.search_base is None:
            return float("inf")
        if self._searched_at is not None:
            return self._searched_at + self._search_pause
        first = next(iter(self._wants.values()), None)
        if first is None or all(name in first.denied for name in self.sources):
            return self._progress_at  # no source is left that may have it: waiting is useless
        return self._progress_at + self._waits.search_base

    def _give_up_at(self) -> float:
        delays = [s.least_delay for s in self.sources.values() if s.least_delay is not None]
        heard_at = max((s.heard_at for s in self.sources.values()), default=0.0)
        return patient_deadline(
            self._progress_at, heard_at, self._waits.give_up(max(delays, default=self._longest_wait))
        )

    def _begin_waiting(self, now: float) -> None:
        self._progress_at = now
        self._gave_up = False

    def _revive(self, source: Source) -> None:
        """It answered: wants that no other source had may be asked of it again, and it may take over others' wants."""
        if source.stalled:
            source.stalled = False
            self._requeue_orphans()
            self._sources_changed = True

    def _prove(self, source: Source) -> None:
        """It has something of this session, so it may well have blocks that no other source had."""
        if not source.has_any:
            source.has_any = True
            self._requeue_orphans()

    def _check_stalls(self, now: float) -> None:
        for source in self.sources.values():
            deadline = source.stall_deadline(self._waits.stall)
            if deadline is None or now < deadline:
                continue
            source.stalled = True
            source.has_any = source.has_any and len(self.sources) == 1
            self._unpark_all(source)
            self._sources_changed = True
        if self._sources_changed:
            self._sources_changed = False
            for source in [s for s in self.sources.values() if s.stalled]:
                self._relieve(source, now)

    def _relieve(self, source: Source, now: float) -> None:
        """Let other sources take over the wants of a stalled one, if they may have them. O(its outstanding wants)."""
        for cid in reversed(list(source.outstanding)):
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
        """Give queued wants to sources with room, each to the one expected to deliver first.

        A want that none of them has waits, parked, for a source that may have it: no want is checked twice in vain.
        """
        batches: dict[str, list[CID]] = {}
        able = [s for s in self._able() if s.has_room()]
        left = room
        for source in able[:]:
            while source.parked and source.has_room() and self._may_ask(left, batches):
                cid, _ = source.parked.popitem(last=False)
                left -= self._give(cid, source, now, batches)
            if not source.has_room():
                able.remove(source)
        while self._queue and able and self._may_ask(left, batches):
            cid, _ = self._queue.popitem(last=False)
            want = self._wants[cid]
            candidates = [s for s in able if s.name not in want.denied]
            holders = [s for s in candidates if s.name in want.holders]
            chosen = min(holders or candidates, key=Source.delay, default=None)
            if chosen is None:
                self._park(cid, want)
                continue
            left -= self._give(cid, chosen, now, batches)
            if not chosen.has_room():
                able.remove(chosen)
        self._commands += [Ask(name, tuple(cids), ()) for name, cids in batches.items()]

    def _may_ask(self, left: int, batches: dict[str, list[CID]]) -> bool:
        return left > 0 or not (batches or self.outstanding_bytes)

    def _give(self, cid: CID, source: Source, now: float, batches: dict[str, list[CID]]) -> int:
        """Ask ``source`` for it; returns the bytes assumed."""
        want = self._wants[cid]
        want.source, want.parked = source.name, None
        source.asked(cid, now)
        batches.setdefault(source.name, []).append(cid)
        return source.expected_block

    def _park(self, cid: CID, want: _Want) -> None:
        """No source with room has it: wait for one that may, else until a source says that it does."""
        busy = [s for s in self.sources.values() if s.has_any and not s.stalled and s.name not in want.denied]
        chosen = min(busy, key=Source.delay, default=None)
        if chosen is None:
            self._orphans[cid] = None
        else:
            want.parked = chosen.name
            chosen.parked[cid] = None

    def _unpark(self, cid: CID, want: _Want) -> bool:
        if want.parked is None:
            return False
        self.sources[want.parked].parked.pop(cid, None)
        want.parked = None
        return True

    def _unpark_all(self, source: Source) -> None:
        for cid in reversed(source.parked):
            self._wants[cid].parked = None
            self._enqueue_first(cid)
        source.parked.clear()

    def _able(self) -> list[Source]:
        """Sources that may be asked for blocks: those known to have something, else the nearest unknown one."""
        known = [s for s in self.sources.values() if s.has_any and not s.stalled]
        if known:
            return known
        unknown = [s for s in self.sources.values() if not s.stalled and s.denials == 0]
        if not unknown:
            stalled = [s for s in self.sources.values() if s.stalled and not s.outstanding]
            return [max(stalled, key=lambda s: s.progress_at)] if stalled else []
        busy = any(s.outstanding for s in unknown)
        return [] if busy else [min(unknown, key=lambda s: s.least_delay or 0.0)]

    def _probe(self, now: float) -> None:
        """Ask want-have for wants that no source, or only one, is known to have."""
        targets = list(islice(self._orphans, MAX_PROBES))
        # a stalled one is asked a single question: its answer shows that it is back
        unknown = [s for s in self.sources.values() if not s.has_any and not (s.stalled and s.probed)]
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
            self._enqueue_first(cid)

    def _enqueue_first(self, cid: CID) -> None:
        self._queue[cid] = None
        self._queue.move_to_end(cid, last=False)

    def _cancel_all(self, cid: CID, want: _Want) -> None:
        """Tell every source that was asked for the block, or whether it has it, that it is no longer wanted.

        Bitswap asks for it: cancels go to all peers asked (https://specs.ipfs.tech/bitswap-protocol/).
        """
        for name, source in self.sources.items():
            asked = name == want.source or name in want.asked or name in want.holders or cid in source.probed
            if asked:
                source.probed.discard(cid)
                source.answered(cid, source.progress_at)
                self._commands.append(Cancel(name, (cid,)))
