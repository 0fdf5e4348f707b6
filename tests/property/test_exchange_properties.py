"""The fetch session against sources that answer anything, and lie: what must hold after every event."""

import heapq
from collections.abc import Callable
from itertools import cycle

from hypothesis import given, settings
from hypothesis import strategies as st

from cidery.exchange.commands import Ask, Cancel, GiveUp, Heard
from cidery.exchange.session import FetchSession
from cidery.exchange.source import MAX_WANTS
from cidery.exchange.waits import SessionWaits
from cidery.exchange.wants import WINDOW
from cidery.multiformats.cid import CID

NAMES = ("a", "b", "c", "d")
CIDS = [CID.of(str(at).encode()) for at in range(12)]
MANY = [CID.of(f"many {at}".encode()) for at in range(WINDOW + 400)]
BLOCK = 256 * 1024
ROOM = 64 * 1024 * 1024

EVENTS = (
    "add",
    "remove",
    "want",
    "need",
    "forget",
    "have",
    "dont-have",
    "block",
    "wrong",
    "streamed",
    "reader",
    "bytes",
    "poll",
    "poll with a stream",
    "poll without room",
)
STEPS = st.tuples(
    st.sampled_from(EVENTS),
    st.sampled_from(NAMES),
    st.integers(0, len(CIDS) - 1),
    st.sampled_from((0.0, 0.01, 0.3, 2.0, 11.0, 70.0)),
)


def check(machine: FetchSession) -> None:
    """Every want is in one place; what sources owe is what is asked of them; all is bounded."""
    wants = machine._wants
    places = (wants._queue, wants.open, wants.asked, wants.barren)
    assert sum(map(len, places)) == len(wants.all) == machine.wanted
    owed: dict[str, set[CID]] = {name: set() for name in machine.sources}
    for cid, want in wants.all.items():
        assert [place[cid] for place in places if cid in place] == [want]
        assert (want.source is not None) == (cid in wants.asked)
        assert not want.holders.keys() & want.denied
        assert (want.holders.keys() | want.denied | want.told.keys()) <= machine.sources.keys()
        if want.source is not None:
            owed[want.source].add(cid)
            assert want.source in want.told, "it would not be told that the block came from another"
    for name, source in machine.sources.items():
        assert source.outstanding.keys() == owed[name]
        assert source.outstanding_bytes == sum(size for _, size in source.outstanding.values())
        assert len(source.outstanding) <= MAX_WANTS and len(source.probed) <= MAX_WANTS
        assert source.partial == (name in machine._questions.partial)
        assert source.proof is None or (source.proof_asked and machine.has_had(source.proof))
    assert len(wants.open) <= WINDOW + len(CIDS) + MAX_WANTS * len(machine.sources)
    assert (machine.next_deadline() is None) <= (machine.wanted == 0 or machine._silence.gave_up)


def poll(machine: FetchSession, now: float, room: int = ROOM, streams: str = "") -> None:
    wants = machine._wants
    for command in machine.poll(now, room, streams=streams):
        if isinstance(command, Ask):
            assert command.source in machine.sources and (command.blocks or command.haves)
            assert len(set(command.blocks)) == len(command.blocks)
            for cid in command.blocks:
                if cid != machine.sources[command.source].proof:
                    assert wants.all[cid].source == command.source, "it was asked for what it need not send"
            assert all(cid in wants for cid in command.haves)
        elif isinstance(command, Cancel):
            assert command.source in machine.sources and command.cids


def happens(machine: FetchSession, step: tuple[str, str, int, float], now: float) -> None:
    event, name, at, _ = step
    cid = CIDS[at]
    match event:
        case "add":
            machine.add_source(name, (None, 0.01, 0.2, 5.0)[at % 4], now)
        case "remove":
            machine.remove_source(name, now)
        case "want":
            machine.want(CIDS[at:] + MANY[: at * 80], now)
        case "need":
            machine.need(cid, now)
        case "forget":
            machine.forget(CIDS[at : at + 3])
        case "have":
            machine.on_have(name, cid, now)
        case "dont-have":
            machine.on_dont_have(name, cid, now)
        case "block":
            wanted = cid in machine._wants
            assert machine.on_block(name, cid, (0, 100, BLOCK)[at % 3], now) == wanted
        case "wrong":
            machine.on_wrong(name, (1, 100, BLOCK)[at % 3], now)
        case "streamed":
            machine.on_streamed(cid, now)
        case "reader":
            machine.on_reader(name, now)
        case "bytes":
            machine.on_bytes(name, Heard(now, now, (None, frozenset(), frozenset((cid,)))[at % 3]), now)
        case "poll":
            poll(machine, now)
        case "poll with a stream":
            poll(machine, now, streams=name)
        case "poll without room":
            poll(machine, now, room=0)


@settings(max_examples=200)
@given(st.lists(STEPS, max_size=80), st.booleans())
def test_whatever_sources_answer_every_want_is_in_one_place_and_owed_by_whom_it_is_asked(steps, in_order):
    machine, now = FetchSession(SessionWaits(search_base=1.0), 0.0, in_order=in_order), 0.0
    for name in NAMES[:2]:
        machine.add_source(name, 0.01, now)
    machine.want(CIDS, now)
    for step in steps:
        now += step[3]
        happens(machine, step, now)
        check(machine)
        assert machine.stage() in ("done", "finding", "stalled", "receiving", "asking")
        machine.sole_source(CIDS[step[2]])
    poll(machine, now)
    check(machine)


# --- one honest source among any that lie

HONEST = "honest"
LIES = ("silent", "have", "dont-have", "block", "another block", "garbage", "wrong", "trickle", "reader", "comes back")


class Liars:
    """Virtual time: the honest source sends what it is asked for, the others follow their scripts in a circle."""

    def __init__(self, scripts: list[list[str]], round_trip: float, rate: float) -> None:
        self.machine = FetchSession(SessionWaits(), 0.0)
        self.now = 0.0
        self.gave_up = False
        self.round_trip, self.rate = round_trip, rate
        self.scripts = {name: cycle(script) for name, script in zip(NAMES, scripts, strict=False)}
        self.queue: dict[CID, None] = {}
        self.sending: CID | None = None
        self.events: list[tuple[float, int, Callable[[], object]]] = []
        self.order = 0
        for name in (*self.scripts, HONEST):
            self.machine.add_source(name, round_trip if name == HONEST else 0.02, 0.0)

    def later(self, delay: float, action: Callable[[], object]) -> None:
        self.order += 1
        heapq.heappush(self.events, (self.now + delay, self.order, action))

    def run(self, wanted: list[CID], until: float) -> None:
        self.machine.want(wanted, 0.0)
        self.poll()
        while self.machine.wanted and not self.gave_up and self.now < until:
            deadline = self.machine.next_deadline()
            times = [when for when in (deadline, self.events[0][0] if self.events else None) if when is not None]
            self.now = max(self.now + 1e-6, min(times))
            while self.events and self.events[0][0] <= self.now:
                heapq.heappop(self.events)[2]()
            if self.sending is not None:
                self.machine.on_bytes(HONEST, Heard(self.now, self.now, frozenset((self.sending,))), self.now)
            self.poll()
            check(self.machine)

    def poll(self) -> None:
        for command in self.machine.poll(self.now, ROOM - self.machine.outstanding_bytes):
            match command:
                case Ask(name, blocks, haves) if name == HONEST:
                    for cid in haves:
                        self.later(self.round_trip, lambda cid=cid: self.machine.on_have(HONEST, cid, self.now))
                    self.later(self.round_trip, lambda blocks=blocks: self.honest_asked(blocks))
                case Ask(name, blocks, haves):
                    for cid in (*blocks, *haves):
                        self.later(0.02, lambda name=name, cid=cid: self.lies(name, cid))
                case Cancel(name, cids) if name == HONEST:
                    for cid in cids:
                        self.queue.pop(cid, None)
                case GiveUp():
                    self.gave_up = True

    def honest_asked(self, blocks: tuple[CID, ...]) -> None:
        self.queue.update(dict.fromkeys(blocks))
        if self.sending is None:
            self.begins()

    def begins(self) -> None:
        """What it has begun to send is sent, cancelled or not."""
        self.sending = next(iter(self.queue), None)
        if self.sending is not None:
            del self.queue[self.sending]
            self.later(BLOCK / self.rate, lambda cid=self.sending: self.sends(cid))

    def sends(self, cid: CID) -> None:
        self.machine.on_block(HONEST, cid, BLOCK, self.now)
        self.begins()

    def lies(self, name: str, cid: CID) -> None:
        machine, now = self.machine, self.now
        match next(self.scripts[name]):
            case "have":
                machine.on_have(name, cid, now)
            case "dont-have":
                machine.on_dont_have(name, cid, now)
            case "block":
                machine.on_block(name, cid, BLOCK, now)
            case "another block":
                machine.on_block(name, CIDS[-1], BLOCK, now)
            case "garbage":
                machine.on_block(name, CID.of(str(now).encode()), 1, now)
            case "wrong":
                machine.on_wrong(name, BLOCK, now)
            case "trickle":
                for at in range(200):
                    heard = lambda: machine.on_bytes(name, Heard(self.now, self.now, frozenset((cid,))), self.now)  # noqa: E731
                    self.later(at * 0.5, heard)
            case "reader":
                machine.on_reader(name, now)
                machine.on_have(name, cid, now)
            case "goes and comes":
                machine.remove_source(name, now)
                machine.add_source(name, 0.02, now)


@settings(max_examples=100)
@given(
    st.lists(st.lists(st.sampled_from(LIES), min_size=1, max_size=4), max_size=3),
    st.integers(1, 40),
    st.sampled_from((0.0, 0.05, 0.4)),
    st.sampled_from((1e5, 1e6, 1e8)),
)
def test_a_session_with_one_honest_source_always_finishes(scripts, count, round_trip, rate):
    race = Liars(scripts, round_trip, rate)
    race.run(MANY[:count], until=3600.0)
    assert not race.machine.wanted and not race.gave_up, (race.now, race.machine.stage())
