"""The fetch session: one request's wants, spread over a swarm of sources. Pure; knows no protocol.

    wanted --assign--> asked of one source --block--> done
       ^                    | dont-have, stall, source gone, another is much sooner
       +--------------------+

A want is asked of one source at a time. A source that denied nothing yet is taken to have everything; of one that
lacks something (a *partial* source, such as another reader of the same DAG) the session asks what it has, by want-have
for every open want, and then only for that. Of partial sources' blocks the rarest are asked first. A want that another
source would bring much sooner is taken from a busy or silent one, unless the block is already on its way.

Input: want/need/forget from the reader, sources and their answers, time. Output: poll() -> commands.
"""

from collections.abc import Iterable, KeysView
from random import Random

from cidery.exchange import choice, outlook
from cidery.exchange.commands import Command, GiveUp, Heard, Outbox, Search
from cidery.exchange.moves import Moves
from cidery.exchange.proofs import Proofs
from cidery.exchange.questions import Questions
from cidery.exchange.reach import Reach
from cidery.exchange.risk import Risk
from cidery.exchange.shares import Shares
from cidery.exchange.silence import MAX_SEARCH_PAUSE, Silence
from cidery.exchange.source import ASSUMED_BLOCK, MAX_BROKEN, WRONG_COSTS, Experience, Source
from cidery.exchange.waits import SessionWaits
from cidery.exchange.wants import MAX_SESSION_WANTS, Want, Wants
from cidery.multiformats.cid import CID

LAST = 16
"""Open wants from which on one waits for a source without room that is sooner than those with room."""
PROBE_PAUSE = 5.0
"""Seconds until a source that had nothing is asked again what it has; doubles each time, up to MAX_SEARCH_PAUSE."""
MAX_DENIALS = 32
"""DONT_HAVE answers in a row after which a source counts as one that has nothing, unless it is a reader too."""


class FetchSession:
    """See the module's text. One object per request."""

    def __init__(self, waits: SessionWaits, now: float, *, seed: int = 0, in_order: bool = False) -> None:
        """``seed``: of the choice among equals. ``in_order``: never ask for the rarest first."""
        self.sources: dict[str, Source] = {}
        self.duplicates = 0
        self._waits = waits
        self._random = Random(seed)
        self._in_order = in_order
        self._wants, self._out = Wants(), Outbox()
        self._questions = Questions(self._wants, self._out)
        self._done: set[CID] = set()
        self._silence, self._moves, self._shares = Silence(waits, now), Moves(waits), Shares()
        self._sources_changed = False
        self._reach, self._experience = Reach(), Experience()
        self._proofs, self._risk, self._left = Proofs(), Risk(), outlook.Left()
        self._several = self._proven = False
        self._held: set[str] = set()
        """Far sources that are not asked for what near ones have."""
        self._typical_block = ASSUMED_BLOCK
        """Bytes that a want is assumed to bring of a source that has sent none."""
        self._pace = 0.0
        """Smoothed seconds from the request of a block until it is here."""

    # --- the reader

    def want(self, cids: Iterable[CID], now: float) -> None:
        """These will be needed, in this order. Repeats cost nothing; beyond MAX_SESSION_WANTS they are dropped."""
        if not self._wants:
            self._silence.begin(now)
        before = len(self._wants)
        self._wants.add(cids)
        if self._silence.gave_up and len(self._wants) > before:
            self._silence.begin(now)

    def need(self, cid: CID, now: float) -> None:
        """The reader waits for this one: it goes to the front, and the give-up time starts again."""
        self.want((cid,), now)
        if self._silence.gave_up:
            self._silence.begin(now)
        if self._wants.need(cid):
            self._entered((cid,))

    def forget(self, cids: Iterable[CID]) -> None:
        """No longer wanted; every source asked is told."""
        for cid in cids:
            if (want := self._wants.pop(cid)) is not None:
                self._questions.settle(cid, want, self.sources)

    @property
    def wanted(self) -> int:
        """Wants that are not done."""
        return len(self._wants)

    def wants(self) -> KeysView[CID]:
        """Those, in the order in which they were wanted."""
        return self._wants.keys()

    def has_had(self, cid: CID) -> bool:
        """Whether it came."""
        return cid in self._done

    def concerns(self, cid: CID) -> bool:
        return cid in self._wants or cid in self._done

    def asked_of(self, cid: CID) -> str | None:
        """The source that is being asked for it."""
        want = self._wants.get(cid)
        return want.source if want is not None else None

    def sole_source(self, cid: CID) -> tuple[bool, str]:
        """See outlook.sole_source()."""
        return outlook.sole_source(self.sources.values(), self._wants.get(cid))

    def silent(self, now: float) -> float:
        """Seconds without anything new; 0.0 while nothing is wanted."""
        return now - self._silence.since if self._wants else 0.0

    @property
    def outstanding_bytes(self) -> int:
        """Assumed bytes that were requested from sources but have not arrived."""
        return sum(source.outstanding_bytes for source in self.sources.values())

    def stage(self) -> str:
        """The state of the session, in one word for people."""
        return outlook.stage(self.sources.values()) if self._wants else "done"

    # --- sources

    def add_source(self, name: str, round_trip: float | None, now: float, *, gave: bool = False) -> None:
        if name not in self.sources:
            self.sources[name] = Source(name, round_trip, self._left.waited(name), self._experience, gave=gave)
            self._wants.revive_all()
            if self._silence.gave_up:
                self._silence.begin(now)
            self._sources_changed = True

    def remove_source(self, name: str, now: float) -> None:
        """It disconnected: its outstanding wants are asked of others."""
        source = self.sources.pop(name, None)
        if source is None:
            return
        self._left.leaves(source)
        self._questions.left(name)
        self._out.drop(name)
        for cid in reversed(source.release()):
            self._wants.reopen(cid, name)
        self._wants.forget_source(name)

    def on_reader(self, name: str, now: float) -> None:
        """The source asks us for what this session wants or fetched: it has, or will have, some of it."""
        source = self.sources.get(name)
        if source is not None and not source.reads and source.broken < MAX_BROKEN:
            source.reads = True
            if not source.has_any:
                self._make_partial(source)
                source.has_any = True
                self._wants.revive_all()

    def on_have(self, name: str, cid: CID, now: float) -> None:
        source = self.sources.get(name)
        if source is None:
            return
        source.probed.discard(cid)
        self._revive(source)
        source.replied(now, have=True)
        source.denials = 0
        want = self._wants.get(cid)
        if want is None and cid in self._done and source.broken < MAX_BROKEN:
            self._prove(source)  # it was asked when another one had not sent the block yet
        elif want is not None and name in want.holders:
            self._moves.offered(name, cid)
        elif want is not None and source.broken < MAX_BROKEN:
            want.holders[name] = None
            want.denied.discard(name)
            self._prove(source)
            self._wants.revive(cid)
            giver = self.sources.get(want.source or "")
            if giver is not None and source.partial and source.usable and self._room(source):
                if self._moves.turns(giver, source, cid, want, self._random.random, now):
                    self._moves.begin(giver, cid, now)
                    self._out.cancel(giver.name, cid)

    def on_bytes(self, name: str, heard: Heard, now: float) -> None:
        if (source := self.sources.get(name)) is not None:
            source.hears(heard.at, heard.alive_at, heard.coming, now, heard.ends_at, heard.missing, heard.arrived)

    def on_dont_have(self, name: str, cid: CID, now: float) -> None:
        source = self.sources.get(name)
        if source is None:
            return
        source.probed.discard(cid)
        if cid == source.proof:
            source.proof = None
            self._make_partial(source)
        asked = source.outstanding.get(cid)
        source.answered(cid, now)
        self._revive(source)
        source.replied(now, asked[0] if asked else None, have=False)
        if (want := self._wants.get(cid)) is None:
            return
        if name in want.holders:
            want.holders.pop(name, None)
            source.broken += 1
        want.denied.add(name)
        self._wants.reopen(cid, name)
        source.denials += 1
        if source.broken >= MAX_BROKEN or (source.denials >= MAX_DENIALS and not source.reads):
            self._disprove(source)
        elif source.has_any:
            self._make_partial(source)
        else:
            source.probe_pause = min(MAX_SEARCH_PAUSE, max(PROBE_PAUSE, 2 * source.probe_pause))
            source.probe_at = now + source.probe_pause

    def on_block(self, name: str, cid: CID, size: int, now: float) -> bool:
        """A verified block arrived. False if it was not wanted (any more): a duplicate, to be dropped."""
        source = self.sources.get(name)
        want = self._wants.pop(cid)
        if want is None and cid not in self._done:
            return False  # never requested: it does not show that the source answers
        if source is not None:
            source.probed.discard(cid)
            self._revive(source)
            self._prove(source)
            if cid == source.proof:
                source.proof = None
                if want is None:
                    source.proves(size, now)
                    return False
            asked_at, _ = source.outstanding.get(cid, (now, 0))
            source.received(cid, size, now)
            self._questions.gave(source)
            self._typical_block = source.expected_block
            if want is not None and want.source == name:
                self._pace += (now - asked_at - self._pace) / 8
        # a cancel and a block may cross on the way, and a small block may answer a want-have: neither is a fault
        if want is None:
            self.duplicates += 1
            return False
        self._came(cid, now, source.least_delay if source is not None else None)
        self._reach.received(name, size, now)
        self._proofs.came(cid, size)
        self._risk.came(size)
        want.told.pop(name, None)
        if want.source == name:
            want.source = None
        self._questions.settle(cid, want, self.sources)
        return True

    def on_wrong(self, name: str, size: int, now: float) -> None:
        """Bytes of blocks came that it was never asked for: all that it owes is withdrawn; see last_resorts()."""
        if (source := self.sources.get(name)) is not None:
            source.credit -= WRONG_COSTS * size
            if source.outstanding:
                self._risk.lied(source, size, now)
            for cid in reversed(list(source.outstanding)):
                self._take_away(source, cid, self._wants.all[cid], now)

    def on_streamed(self, cid: CID, now: float) -> None:
        """A block came that was not asked for by itself, within a stream of the whole DAG."""
        self._came(cid, now)
        if (want := self._wants.pop(cid)) is not None:
            self._questions.settle(cid, want, self.sources)

    def _came(self, cid: CID, now: float, delay: float | None = None) -> None:
        """Something new, from a source with this least delay."""
        self._silence.broken(now, delay)
        if len(self._done) < MAX_SESSION_WANTS:
            self._done.add(cid)

    # --- time and output

    def poll(self, now: float, room: int, *, streams: str = "", resting: bool = False) -> list[Command]:
        """The commands to run now. ``room``: bytes that may be requested in addition; a single want always may.

        ``streams``: the source that streams all that is wanted: the others are only asked whether they have it.
        ``resting``: the reader has enough to read for now: nothing further is requested, and silence is no fault.
        """
        self._check_stalls(now)
        for source, cid, first in self._shares.over(self._wants, self.sources):
            if first:
                self._out.ask(source.name, cid)
            else:
                self._take_away(source, cid, self._wants.all[cid], now)
        usable = [source for source in self.sources.values() if source.usable]
        self._several = len(usable) > 1
        self._proven = self._several and any(source.proven for source in usable)
        self._risk.weigh(self.sources, self._wants, self._typical_block, self._silence.since, now)
        self._entered(self._wants.fill())
        if self._proven and self._wants.open and not streams:
            self._proofs.ask(usable, self._out, now)
        self._follow_moves(now, asks=not (streams or resting))
        if resting:
            self._silence.begin(now)
        if streams or resting:
            self._moves.rest()
            self._reach.rest()
        else:
            self._assign(now, room)
            for cid, source in choice.last_resorts(self._wants, self.sources.values(), choice.MAX_PROBES):
                self._wants.revive(cid)
                self._ask_for(source, cid, now)
            self._move(now)
        self._probe(now, streams)
        commands = self._out.take(self._wants)
        if self._wants and not resting and now >= self._silence.search_at(self._wants, self.sources):
            self._silence.searched(now)
            commands.append(Search(self._wants.first()))
        if self._wants and not self._silence.gave_up and now >= self._silence.give_up_at(self.sources.values()):
            self._silence.gave_up = True
            commands.append(GiveUp(self.stage(), len(self.sources)))
        return commands

    def next_deadline(self) -> float | None:
        """The latest time for the next call of poll(); None while nothing is wanted."""
        if not self._wants:
            return None
        times = [source.stall_deadline(self._waits.stall) for source in self.sources.values()]
        times += (self._moves.next_at, self._risk.next_at, self._reach.next_at, self._shares.next_at)
        if not self._silence.gave_up:
            times.append(self._silence.give_up_at(self.sources.values()))
            times.append(self._silence.search_at(self._wants, self.sources))
        return min((at for at in times if at is not None), default=None)

    # --- inside: what is known of sources

    def _revive(self, source: Source) -> None:
        """It answered: wants that no other source had may be asked of it again, and it may take over others' wants."""
        if source.stalled:
            source.stalled = False
            self._wants.revive_all()
            self._sources_changed = True

    def _prove(self, source: Source) -> None:
        """It has something of this session, so it may well have blocks that no other source had."""
        if not source.has_any:
            source.has_any = True
            self._wants.revive_all()

    def _disprove(self, source: Source) -> None:
        source.has_any = source.partial = source.reads = False
        self._questions.left(source.name)
        for cid in reversed(source.release()):
            self._wants.reopen(cid, source.name)

    def _make_partial(self, source: Source) -> None:
        """It lacks something: from now on it is asked what it has."""
        if source.partial:
            return
        source.partial = True
        self._questions.began(source)

    def _check_stalls(self, now: float) -> None:
        for source in self.sources.values():
            deadline = source.stall_deadline(self._waits.stall)
            if deadline is None or now < deadline:
                continue
            source.stalled = True
            source.waited *= 2  # again without a block since: two liars must not pass a want to and fro for ever
            source.has_any = source.has_any and (len(self.sources) == 1 or source.partial)
            self._sources_changed = True
        if self._sources_changed:
            self._sources_changed = False
            for source in [s for s in self.sources.values() if s.stalled]:
                self._relieve(source, now)

    def _relieve(self, source: Source, now: float) -> None:
        """Let other sources take over the wants of a stalled one, if they may have them. O(its outstanding wants)."""
        for cid in reversed(list(source.outstanding)):
            want = self._wants.get(cid)
            if want is not None and outlook.others_may_have(self.sources.values(), source, want):
                self._take_away(source, cid, want, now)

    # --- inside: asking for blocks

    def _assign(self, now: float, room: int) -> None:
        """Give open wants to sources with room, each to the one expected to deliver first."""
        far = self._reach.far(self.sources.values(), now, crowd=bool(self._questions.partial))
        self._held = self._reach.held(far, now)
        able = choice.Able(source for source in choice.askable(self.sources.values()) if self._room(source))
        if not able or not self._wants.open:
            return
        left, asked_any, seeds = room, False, None
        order = self._wants.rarest_first() if self._questions.partial and not self._in_order else list(self._wants.open)
        for cid in order:
            if not able or not (left > 0 or not (asked_any or self.outstanding_bytes)):
                break
            want = self._wants.open[cid]
            chosen = self._choose(want, able)
            if chosen is not None and len(self._wants.open) <= LAST:
                seeds = choice.measured_seeds(self.sources.values(), self._held) if seeds is None else seeds
                full = [seed for seed in seeds if not self._room(seed) and seed.name not in want.denied]
                near = [seed for seed in full if seed.name not in far] if chosen.name in far else []
                if choice.sooner_later(chosen, full) or self._reach.sooner_alone(near, len(self._wants.open), chosen):
                    continue
            if chosen is None:
                if not outlook.any_left(self.sources.values(), want):
                    self._wants.give_up(cid)
                continue
            if self._proven and self._risk.asked(chosen):
                able.keep(self._risk.allows)
            left -= self._ask_for(chosen, cid, now)
            asked_any = True
            if not self._room(chosen) or chosen.name in self._reach.trying:
                able.remove(chosen.name)
        self._entered(self._wants.fill())

    def _room(self, source: Source) -> bool:
        crowd = bool(self._questions.partial)
        ahead = self._proven and not crowd and self._risk.asks_ahead(source)
        room = source.has_room(crowd=crowd, several=self._several, trial=self._proven, ahead=ahead)
        return room and (not self._proven or self._risk.allows(source))

    def _choose(self, want: Want, able: choice.Able, but: str = "") -> Source | None:
        """None: of those that are able, none has it. Far sources are left out if a near one may have it."""
        kept_out = self._held if self._held and choice.may_have(want, self._reach.counted, self._held) else ()
        return choice.choose(want, able, (but, *kept_out) if but else kept_out, self._random.random)

    def _ask_for(self, source: Source, cid: CID, now: float, *, offered: bool = False) -> int:
        """Returns the bytes assumed. ``offered``: by the source, which has nobody in line."""
        if not source.blocks:
            source.expected_block = self._typical_block
        self._wants.ask(cid, source.name, now)
        source.asked(cid, now, offered=offered)
        self._out.ask(source.name, cid)
        if source.partial:
            self._questions.tell_seeds(cid)
        return source.expected_block

    def _move(self, now: float) -> None:
        """Cancel what another source with room would bring much sooner."""
        kept_out, sources = self._held | self._reach.trying, self.sources.values()
        takers = [s for s in sources if s.usable and s.name not in kept_out and self._room(s)]
        for giver, cid in self._moves.slow(self._wants, sources, takers, self._choose, self._pace, now):
            self._moves.begin(giver, cid, now)
            self._out.cancel(giver.name, cid)
        for giver, cid, taker in self._moves.late(self._wants, sources, takers, self._choose, now):
            if not self._shares.asks(taker, cid):
                self._take_away(giver, cid, self._wants.all[cid], now)
                self._ask_for(taker, cid, now)
        self._shares.ask(self._wants, sources, takers, self._moves.leaves, self._out, now)

    def _follow_moves(self, now: float, *, asks: bool) -> None:
        """Ask others for what has left its source; take up offers."""
        for giver, cid, taker in self._moves.due(self._wants, self.sources, now):
            self._take_back(giver, cid, self._wants.all[cid], now)
            reader = self.sources.get(taker)
            if asks and reader is not None and reader.usable and self._room(reader):
                if self._proven:
                    self._risk.asked(reader)
                self._ask_for(reader, cid, now, offered=True)
        for reader, giver, cid in self._moves.accepted(self._wants, self.sources, self._room, now):
            if asks and self._moves.brings(giver, cid, now):
                self._take_away(giver, cid, self._wants.all[cid], now)
                self._ask_for(reader, cid, now, offered=True)
            elif asks:
                self._moves.begin(giver, cid, now, reader.name)
                self._out.cancel(giver.name, cid)

    def _take_away(self, source: Source, cid: CID, want: Want, now: float) -> None:
        self._take_back(source, cid, want, now)
        self._out.cancel(source.name, cid)

    def _take_back(self, source: Source, cid: CID, want: Want, now: float) -> None:
        source.taken_away(cid, now)
        self._wants.reopen(cid, source.name)
        want.told.pop(source.name, None)
        if not source.partial:
            want.holders.pop(source.name, None)  # it is told again, and may offer it

    # --- inside: asking who has what

    def _entered(self, cids: Iterable[CID]) -> None:
        """Wants are open now: partial sources are asked whether they have them."""
        for cid in cids:
            self._wants.all[cid].salt = self._random.random()
            self._questions.of_partial(cid)

    def _probe(self, now: float, streams: str) -> None:
        """Ask sources of which nothing is known for the first want, and for those that no source may have."""
        for source, cid in choice.unanswered(self._wants, self.sources.values(), streams, now):
            if not source.outstanding and not source.probed:
                source.progress_at = now
            source.probed.add(cid)
            self._wants.all[cid].told[source.name] = None
            self._out.ask_whether(source.name, cid)
