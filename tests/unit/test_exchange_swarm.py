"""The fetch session as a swarm: partial sources, readers, rarest first, wants that move. Virtual time."""

import pytest
from session_commands import asks, cancels, probes

from cidery.exchange.choice import MAX_PROBED_SOURCES
from cidery.exchange.commands import Ask, Heard
from cidery.exchange.moves import CROSSING, LEAST_STAY
from cidery.exchange.outlook import LEFT_WAIT, MAX_LEFT
from cidery.exchange.session import MAX_BROKEN, MAX_DENIALS, FetchSession
from cidery.exchange.source import CROWD_WANTS, FIRST_ANSWER, LEAST_WANTS, PATIENCE, Experience, Source
from cidery.exchange.waits import SessionWaits
from cidery.exchange.wants import WINDOW
from cidery.multiformats.cid import CID
from cidery.testing.scripted_source import READ_AHEAD, Race, ScriptedSource

ROOM = READ_AHEAD
SIZE = 256 * 1024
BLOCK = 256 * 1024
STALL = SessionWaits().stall(0.01)


def cids(count: int, start: int = 0) -> list[CID]:
    return [CID.of(str(at).encode()) for at in range(start, start + count)]


def session(*names: str, seed: int = 0, in_order: bool = False) -> FetchSession:
    """With sources 10 ms away, of which nothing is known."""
    machine = FetchSession(SessionWaits(), 0.0, seed=seed, in_order=in_order)
    for name in names:
        machine.add_source(name, 0.01, 0.0)
    return machine


def readers(machine: FetchSession, have: dict[str, list[CID]]) -> None:
    """These are readers of the same DAG, and have said what they have."""
    for name in have:
        machine.on_reader(name, 0.0)
    for name, some in have.items():
        for cid in some:
            machine.on_have(name, cid, 0.0)


def left(machine: FetchSession, name: str, now: float) -> float:
    """The time at which a want leaves the source."""
    while not cancels(machine.poll(now, ROOM), name):
        assert (deadline := machine.next_deadline()) is not None
        now = max(now, deadline)
    return now


def completes(machine: FetchSession, name: str, first: CID) -> None:
    """A source is known to have something, and to lack nothing."""
    machine.on_have(name, first, 0.0)


# --- partial sources, and what they have


def test_a_source_that_has_something_and_lacks_something_is_asked_what_it_has_of_the_window():
    machine, wanted = session("a"), cids(WINDOW + 100)
    machine.want(wanted, 0.0)
    completes(machine, "a", wanted[0])
    first = asks(machine.poll(0.0, ROOM), "a")
    machine.on_dont_have("a", first[0], 0.1)
    commands = machine.poll(0.1, ROOM)
    asked = probes(commands, "a")
    assert set(asked) == machine._wants.open.keys() - {first[0]} and not asks(commands, "a")
    machine.on_have("a", asked[5], 0.2)
    assert asks(machine.poll(0.2, ROOM), "a") == [asked[5]], "and then only for what it said to have"


def test_what_enters_the_window_later_is_asked_about_too():
    machine, wanted = session("a", "b"), cids(3)
    machine.want(wanted[:1], 0.0)
    readers(machine, {"a": [], "b": []})
    machine.poll(0.0, ROOM)
    machine.want(wanted[1:], 0.1)
    commands = machine.poll(0.1, ROOM)
    assert probes(commands, "a") == probes(commands, "b") == wanted[1:]


def test_what_the_reader_needs_at_once_is_asked_about_at_once():
    machine, wanted = session("a"), cids(WINDOW + 10)
    machine.want(wanted, 0.0)
    readers(machine, {"a": []})
    machine.poll(0.0, ROOM)
    machine.need(wanted[-1], 0.1)
    assert probes(machine.poll(0.1, ROOM), "a") == [wanted[-1]]


def test_of_very_many_partial_sources_only_so_many_are_asked_about_a_want():
    names = [f"peer {at}" for at in range(MAX_PROBED_SOURCES + 10)]
    machine, wanted = session(*names), cids(2)
    machine.want(wanted[:1], 0.0)
    readers(machine, {name: [] for name in names})
    machine.poll(0.0, ROOM)
    machine.want(wanted[1:], 0.1)
    asked = [c.source for c in machine.poll(0.1, ROOM) if isinstance(c, Ask) and wanted[1] in c.haves]
    assert asked == names[:MAX_PROBED_SOURCES]


def test_a_reader_that_asks_us_becomes_a_source_of_what_it_says_to_have():
    machine, wanted = session("reader"), cids(3)
    machine.want(wanted, 0.0)
    machine.poll(0.0, 0)
    machine.on_dont_have("reader", wanted[0], 0.1)
    machine.on_reader("reader", 0.2)
    assert set(probes(machine.poll(0.2, ROOM), "reader")) == set(wanted[1:])
    machine.on_have("reader", wanted[2], 0.3)
    assert asks(machine.poll(0.3, ROOM), "reader") == [wanted[2]]
    machine.on_have("reader", wanted[0], 0.4)  # it has that, too, meanwhile
    assert asks(machine.poll(0.4, ROOM), "reader") == [wanted[0]]


def test_a_reader_stays_a_source_however_often_it_has_nothing_yet():
    machine, wanted = session("reader", "other"), cids(MAX_DENIALS + 10)
    machine.want(wanted, 0.0)
    readers(machine, {"reader": [], "other": []})
    machine.sources["other"].reads = False
    for cid in wanted[: MAX_DENIALS + 5]:
        machine.on_dont_have("reader", cid, 0.1)
        machine.on_dont_have("other", cid, 0.1)
    assert machine.sources["reader"].has_any and not machine.sources["other"].has_any


def test_a_complete_source_that_reads_as_well_stays_complete():
    machine, wanted = session("a"), cids(3)
    machine.want(wanted, 0.0)
    completes(machine, "a", wanted[0])
    machine.on_reader("a", 0.0)
    machine.on_reader("a", 0.0)
    machine.on_reader("stranger", 0.0)
    assert asks(machine.poll(0.0, ROOM), "a") == wanted and not machine.sources["a"].partial


# --- which block


def test_of_partial_sources_the_block_is_asked_first_that_the_fewest_have():
    machine, wanted = session("a", "b", "c"), cids(8)
    machine.want(wanted, 0.0)
    readers(machine, {"a": wanted, "b": wanted[:5], "c": wanted[:2]})
    assert set(asks(machine.poll(0.0, ROOM), "a")) <= set(wanted[5:]) and len(machine.sources["a"].outstanding) == 2


def test_what_the_reader_waits_for_is_asked_before_what_is_rare():
    machine, wanted = session("a", "b"), cids(8)
    machine.want(wanted, 0.0)
    readers(machine, {"a": wanted, "b": wanted[:7]})
    machine.need(wanted[3], 0.0)
    commands = machine.poll(0.0, ROOM)
    asked = asks(commands, "a"), asks(commands, "b")
    assert wanted[3] in (asked[0][0], asked[1][0]) and wanted[7] in asked[0]


def test_equally_rare_blocks_are_asked_in_another_order_by_each_reader():
    firsts = set()
    for seed in range(10):
        machine, wanted = session("a", seed=seed), cids(20)
        machine.want(wanted, 0.0)
        readers(machine, {"a": wanted})
        firsts.add(asks(machine.poll(0.0, ROOM), "a")[0])
    assert len(firsts) > 4, "so that they have different ones to give each other"


def test_a_session_without_a_store_asks_in_the_order_of_reading():
    machine, wanted = session("a", "b", in_order=True), cids(8)
    machine.want(wanted, 0.0)
    readers(machine, {"a": wanted, "b": wanted[:7]})
    commands = machine.poll(0.0, ROOM)
    assert sorted([*asks(commands, "a"), *asks(commands, "b")]) == sorted(wanted[:4])


# --- which source


def test_a_reader_is_asked_rather_than_the_complete_source_of_the_same_block():
    machine, wanted = session("seed", "reader"), cids(2)
    machine.want(wanted, 0.0)
    completes(machine, "seed", wanted[0])
    readers(machine, {"reader": wanted})
    assert set(asks(machine.poll(0.0, ROOM), "reader")) == set(wanted)


def test_the_complete_source_is_asked_if_the_reader_is_much_slower():
    machine, wanted = session("seed", "reader"), cids(2)
    machine.want(wanted, 0.0)
    completes(machine, "seed", wanted[0])
    readers(machine, {"reader": wanted})
    machine.sources["seed"].rate, machine.sources["reader"].rate = 10e6, 0.1e6
    assert set(asks(machine.poll(0.0, ROOM), "seed")) == set(wanted)


def test_of_a_complete_source_more_is_asked_at_once_while_readers_share():
    for with_reader, amount in ((False, LEAST_WANTS), (True, CROWD_WANTS)):
        machine, wanted = session("seed", "other", "reader"), cids(20)
        machine.want(wanted, 0.0)
        completes(machine, "seed", wanted[0])
        machine.sources["seed"].window, machine.sources["seed"].blocks = 1, 1
        if with_reader:
            readers(machine, {"reader": []})
        assert len(asks(machine.poll(0.0, ROOM), "seed")) == amount


# --- wants that move: cancelled first, and asked of another source when the cancel was heard

LATER = CROSSING + 0.015 + 0.001


def busy_and_idle() -> tuple[FetchSession, list[CID]]:
    """``busy`` owes two blocks, asked at 0.0; ``idle`` owes nothing, and has sent some."""
    machine, wanted = session("busy", "idle"), cids(4)
    machine.want(wanted, 0.0)
    for name in ("busy", "idle"):
        completes(machine, name, wanted[0])
    commands = machine.poll(0.0, ROOM)
    owed = asks(commands, "busy")
    assert len(owed) == 2
    for cid in asks(commands, "idle"):
        machine.on_block("idle", cid, BLOCK, 0.05)
    return machine, owed


def test_wants_are_taken_from_a_source_that_is_alive_but_sends_nothing():
    machine, owed = busy_and_idle()
    machine.on_bytes("busy", Heard(0.0, 1.5), 1.5)  # a ping was answered
    assert not asks(machine.poll(1.5, ROOM), "idle")
    machine.on_bytes("busy", Heard(0.0, 1.6), 1.6)
    left = machine.poll(1.6, ROOM)
    assert not machine.sources["busy"].stalled
    assert set(cancels(left, "busy")) == set(owed) and not asks(left, "idle")
    assert machine.next_deadline() == pytest.approx(1.6 + CROSSING + 0.015)
    moved = machine.poll(1.6 + LATER, ROOM)
    assert set(asks(moved, "idle")) == set(owed) and not cancels(moved, "busy")


def test_a_block_that_comes_although_it_was_cancelled_is_not_asked_of_another():
    machine, owed = busy_and_idle()
    machine.on_bytes("busy", Heard(0.0, 1.6), 1.6)
    assert set(cancels(machine.poll(1.6, ROOM), "busy")) == set(owed)
    machine.on_bytes("busy", Heard(1.62, 1.62, frozenset(owed[:1])), 1.62)  # it had left before
    assert asks(machine.poll(1.6 + LATER, ROOM), "idle") == owed[1:]
    assert machine.on_block("busy", owed[0], BLOCK, 1.7) and machine.duplicates == 0


@pytest.mark.parametrize("how", ["another source", "stream", "forgotten"])
def test_of_a_want_that_leaves_nothing_is_left_with_its_source_however_it_ends(how):
    machine, owed = busy_and_idle()
    machine.on_bytes("busy", Heard(0.0, 1.6), 1.6)
    assert set(cancels(machine.poll(1.6, ROOM), "busy")) == set(owed)
    for cid in owed:
        if how == "another source":
            assert machine.on_block("idle", cid, BLOCK, 1.61)
        elif how == "stream":
            machine.on_streamed(cid, 1.61)
        else:
            machine.forget([cid])
    assert not machine.sources["busy"].outstanding and machine.outstanding_bytes == 0
    machine.poll(2.0, ROOM)
    assert machine.next_deadline() is None


def test_a_want_that_left_a_source_that_went_stays_with_the_one_that_is_asked_then():
    machine, owed = busy_and_idle()
    machine.on_bytes("busy", Heard(0.0, 1.6), 1.6)
    machine.poll(1.6, ROOM)
    machine.remove_source("busy", 1.61)
    assert set(asks(machine.poll(1.61, ROOM), "idle")) == set(owed)
    assert not machine.poll(1.6 + LATER, ROOM) and machine.sources["idle"].outstanding.keys() == set(owed)


def test_a_block_that_is_on_its_way_is_not_asked_of_another():
    machine, owed = busy_and_idle()
    for at in range(3, 120):
        now = at * 0.1
        machine.on_bytes("busy", Heard(now, now, frozenset(owed[:1])), now)
        moved = machine.poll(now, ROOM)
        assert owed[0] not in asks(moved, "idle") and owed[0] not in cancels(moved, "busy")
        for cid in asks(moved, "idle"):
            machine.on_block("idle", cid, BLOCK, now)
    assert machine.sources["busy"].outstanding.keys() == {owed[0]}, "the other one has moved"
    late = 0.3 + PATIENCE * STALL + 0.1
    machine.on_bytes("busy", Heard(late, late, frozenset(owed[:1])), late)
    assert cancels(machine.poll(late, ROOM), "busy") == owed[:1], "but a trickle must not hold it for ever"
    machine.on_bytes("busy", Heard(late + LATER, late + LATER, frozenset(owed[:1])), late + LATER)
    assert asks(machine.poll(late + LATER, ROOM), "idle") == owed[:1]


def test_of_a_message_that_does_not_say_what_it_holds_the_first_block_asked_is_taken_to_come():
    machine, owed = busy_and_idle()
    machine.on_bytes("busy", Heard(1.6, 1.6, None), 1.6)
    assert cancels(machine.poll(1.6, ROOM), "busy") == owed[1:]


def test_what_a_slow_source_would_bring_late_is_taken_over_by_a_fast_one():
    sources = [ScriptedSource("slow", 0.02, 0.05e6), ScriptedSource("fast", 0.02, 10e6)]
    race = Race(session(), sources)
    race.run(cids(60))
    assert len(race.got) == 60 and race.now < 3.5, "a block of the slow one takes 5 seconds"
    assert race.sources["slow"].cancelled


def test_a_source_that_sends_steadily_keeps_its_wants():
    race = Race(session(), [ScriptedSource("a", 0.02, 5e6), ScriptedSource("b", 0.02, 5e6)])
    race.run(cids(100))
    moved = len(race.sources["a"].asked) + len(race.sources["b"].asked) - 100
    assert moved <= 6 and race.session.duplicates == 0


def test_a_want_turns_from_the_complete_source_to_a_reader_that_has_got_the_block():
    machine, wanted = session("seed", "reader"), cids(1)
    machine.want(wanted, 0.0)
    completes(machine, "seed", wanted[0])
    machine.on_reader("reader", 0.0)
    commands = machine.poll(0.0, ROOM)
    assert asks(commands, "seed") == wanted and probes(commands, "reader") == wanted
    machine.on_have("reader", wanted[0], 1.0)
    assert cancels(machine.poll(1.0, ROOM), "seed") == wanted
    assert asks(machine.poll(1.0 + LATER, ROOM), "reader") == wanted


def test_a_want_stays_with_a_source_for_a_moment_at_least():
    machine, wanted = session("seed", "reader"), cids(1)
    machine.want(wanted, 0.0)
    completes(machine, "seed", wanted[0])
    machine.on_reader("reader", 0.0)
    machine.poll(0.0, ROOM)
    machine.on_have("reader", wanted[0], LEAST_STAY)
    assert not machine.poll(LEAST_STAY, ROOM)


def test_it_does_not_turn_if_the_block_is_coming():
    machine, wanted = session("seed", "reader"), cids(1)
    machine.want(wanted, 0.0)
    completes(machine, "seed", wanted[0])
    machine.on_reader("reader", 0.0)
    machine.poll(0.0, ROOM)
    machine.on_bytes("seed", Heard(1.0, 1.0, frozenset(wanted)), 1.0)
    machine.on_have("reader", wanted[0], 1.0)
    assert not machine.poll(1.0, ROOM)


def test_those_who_wait_for_one_reader_turn_to_another_by_chance():
    turned = 0
    for seed in range(100):
        machine, wanted = session("first", "second", seed=seed), cids(1)
        machine.want(wanted, 0.0)
        readers(machine, {"first": wanted, "second": []})
        assert asks(machine.poll(0.0, ROOM), "first") == wanted
        machine.on_have("second", wanted[0], 1.0)
        turned += cancels(machine.poll(1.0, ROOM), "first") == wanted
    assert 30 < turned < 70, "of two holders each serves half of them"


def waiting_for_one(*, seed: int = 0) -> tuple[FetchSession, list[CID]]:
    """Two blocks are asked of a reader, and another reader said that it has them, too."""
    machine, wanted = session("first", "second", seed=seed), cids(2)
    machine.want(wanted, 0.0)
    readers(machine, {"first": wanted, "second": []})
    assert set(asks(machine.poll(0.0, ROOM), "first")) == set(wanted)
    for cid in wanted:
        machine.on_have("second", cid, 0.01)
    assert not cancels(machine.poll(0.01, ROOM), "first"), "it has just been asked"
    return machine, wanted


def test_of_what_a_reader_offers_one_want_leaves_the_line_of_another():
    machine, wanted = waiting_for_one()
    for cid in wanted:
        machine.on_have("second", cid, 1.0)
    (left,) = cancels(machine.poll(1.0, ROOM), "first")
    assert left in wanted
    assert asks(machine.poll(1.0 + LATER, ROOM), "second") == [left]


def test_a_reader_that_owes_a_block_or_offers_what_is_coming_is_not_asked_for_more():
    machine, wanted = waiting_for_one()
    machine.on_bytes("first", Heard(1.0, 1.0, frozenset(wanted[:1])), 1.0)
    for now in (1.0, 2.0):
        for cid in wanted:
            machine.on_have("second", cid, now)
        assert cancels(machine.poll(now, ROOM), "first") == (wanted[1:] if now == 1.0 else [])
        machine.poll(now + LATER, ROOM)


def test_an_offer_while_the_reader_rests_moves_nothing():
    machine, wanted = waiting_for_one()
    machine.on_have("second", wanted[0], 1.0)
    assert not cancels(machine.poll(1.0, ROOM, resting=True), "first")
    assert not cancels(machine.poll(1.01, ROOM), "first")


def test_a_want_that_waits_long_for_a_reader_which_has_sent_nothing_turns_to_one_that_has():
    turned = 0
    for seed in range(100):
        machine, wanted = session("silent", "sends", seed=seed), cids(2)
        machine.want(wanted, 0.0)
        readers(machine, {"silent": wanted[1:], "sends": wanted[:1]})
        commands = machine.poll(0.0, ROOM)
        assert asks(commands, "sends") == wanted[:1] and asks(commands, "silent") == wanted[1:]
        machine.on_bytes("silent", Heard(0.0, 1.9), 1.9)  # it lives
        assert machine.on_block("sends", wanted[0], SIZE, 2.0)  # there was a queue
        machine.on_have("sends", wanted[1], 2.0)
        turned += wanted[1] in cancels(machine.poll(2.0, ROOM), "silent")
    assert 30 < turned < 70, "of two holders each serves half of them"


def test_a_want_that_waits_long_for_a_fast_reader_turns_to_a_slower_one():
    turned = 0
    for seed in range(100):
        machine, wanted = session("fast", "slow", seed=seed), cids(3)
        machine.want(wanted, 0.0)
        readers(machine, {"fast": [wanted[0], wanted[2]], "slow": [wanted[1]]})
        machine.poll(0.0, ROOM)
        assert machine.on_block("fast", wanted[0], SIZE, 0.1) and machine.on_block("slow", wanted[1], SIZE, 1.0)
        assert machine.asked_of(wanted[2]) == "fast"
        machine.on_have("slow", wanted[2], 1.2)
        turned += wanted[2] in cancels(machine.poll(1.2, ROOM), "fast")
    assert 30 < turned < 70, "of two holders each serves half of them"


def test_a_reader_that_has_sent_nothing_is_taken_to_be_as_fast_as_others_are():
    seen = Experience()
    sends, new, seed = (Source(name, 0.01, experience=seen) for name in ("sends", "new", "seed"))
    sends.partial = new.partial = True
    assert new.cost() == 0.01, "nothing is known of anybody"
    wanted = cids(1)[0]
    sends.asked(wanted, 0.0)
    sends.received(wanted, SIZE, 1.0)
    assert new.cost() == pytest.approx(0.01 + new.expected_block / SIZE)
    assert seed.cost() == 0.01, "a complete source may well be another kind"


# --- the end


def slow_and_full() -> FetchSession:
    """``fast`` brings a block in 0.03 s and takes two wants at a time, ``slow`` needs 2.6 s."""
    machine = session("fast", "slow")
    for name, rate in (("fast", 10e6), ("slow", 0.1e6)):
        source = machine.sources[name]
        source.has_any, source.rate, source.blocks, source.window = True, rate, 1, 1
    return machine


def test_at_the_end_a_want_waits_for_a_source_that_is_sooner():
    machine, wanted = slow_and_full(), cids(3)
    machine.want(wanted, 0.0)
    commands = machine.poll(0.0, ROOM)
    assert asks(commands, "fast") == wanted[:2] and not asks(commands, "slow")
    machine.on_block("fast", wanted[0], BLOCK, 0.03)
    assert asks(machine.poll(0.03, ROOM), "fast") == wanted[2:]


def test_before_the_end_no_source_with_room_is_idle():
    machine, wanted = slow_and_full(), cids(30)
    machine.want(wanted, 0.0)
    commands = machine.poll(0.0, ROOM)
    assert len(asks(commands, "fast")) == len(asks(commands, "slow")) == 2


# --- sources that claim and do not send, stall, or leave


def test_a_source_that_claims_to_have_blocks_and_does_not_send_them_is_asked_no_more():
    machine, wanted = session("liar", "honest"), cids(MAX_BROKEN + 5)
    machine.want(wanted, 0.0)
    completes(machine, "honest", wanted[0])
    readers(machine, {"liar": wanted})
    for cid in wanted[:MAX_BROKEN]:
        assert machine.sources["liar"].has_any
        machine.on_dont_have("liar", cid, 0.1)
    machine.on_have("liar", wanted[-1], 0.2)
    machine.on_reader("liar", 0.2)
    commands = machine.poll(0.2, ROOM)
    assert not asks(commands, "liar") and not machine.sources["liar"].outstanding
    assert not machine.sources["liar"].usable and asks(commands, "honest")


def test_a_liar_alone_is_not_asked_for_ever():
    machine, wanted = session("liar"), cids(MAX_BROKEN + 1)
    machine.want(wanted, 0.0)
    for at, cid in enumerate(wanted[:MAX_BROKEN]):
        machine.on_have("liar", cid, at * 1.0)
        machine.on_dont_have("liar", cid, at + 0.5)
    assert not any(asks(machine.poll(10.0 + at, ROOM), "liar") for at in range(10))


def test_two_liars_do_not_pass_a_want_to_and_fro_while_an_honest_source_is_slow():
    machine, (cid,) = session("one", "two", "honest"), cids(1)
    machine.want([cid], 0.0)
    machine.sources["honest"].rate, machine.sources["honest"].blocks = 0.1e6, 1
    for name in ("one", "two", "honest"):
        completes(machine, name, cid)
    now, askers = 0.0, []
    while "honest" not in askers:
        commands = machine.poll(now, ROOM)
        askers += [name for name in machine.sources if asks(commands, name)]
        for name in ("one", "two"):
            if probes(commands, name):
                machine.on_have(name, cid, now)
        assert now < 15, askers
        now += 0.5


def test_a_stalled_source_that_said_to_have_a_block_is_asked_whether_it_is_back():
    machine, (cid,) = session("a", "b"), cids(1)
    machine.want([cid], 0.0)
    for name in ("a", "b"):
        completes(machine, name, cid)
    first = next(
        name for name in ("a", "b") if machine.sources[name].outstanding or asks(machine.poll(0.0, ROOM), name)
    )
    commands = machine.poll(STALL, ROOM)
    assert machine.sources[first].stalled and probes(commands, first) == [cid]
    machine.on_have(first, cid, 2.0)
    assert not machine.sources[first].stalled


def test_a_source_that_leaves_owing_and_comes_again_counts_as_slower_each_time():
    machine, wanted = session("liar", "honest"), cids(1)
    for name in ("liar", "honest"):
        machine.sources[name].has_any = True
    machine.want(wanted, 0.0)
    waits = []
    for at in range(3):
        machine.sources["liar"].asked(wanted[0], float(at))
        machine.remove_source("liar", float(at))
        machine.add_source("liar", 0.01, float(at))
        waits.append(machine.sources["liar"].waited)
    assert waits == [LEFT_WAIT, 2 * LEFT_WAIT, 4 * LEFT_WAIT]
    machine.sources["liar"].has_any = True
    assert asks(machine.poll(3.0, ROOM), "honest") == wanted


def test_a_source_that_leaves_owing_nothing_or_having_sent_something_comes_again_as_good_as_new():
    machine, wanted = session("idle", "useful"), cids(1)
    machine.sources["useful"].asked(wanted[0], 0.0)
    machine.sources["useful"].blocks = 1
    for name in ("idle", "useful"):
        machine.remove_source(name, 0.0)
        machine.add_source(name, 0.01, 0.0)
        assert machine.sources[name].waited == 0


def test_the_sources_that_left_owing_are_remembered_within_bounds():
    machine = session()
    for at in range(MAX_LEFT + 10):
        machine.add_source(str(at), 0.01, 0.0)
        machine.sources[str(at)].asked(cids(1)[0], 0.0)
        machine.remove_source(str(at), 0.0)
    assert len(machine._left._waits) == MAX_LEFT


def test_what_came_between_a_question_and_the_poll_is_not_asked_for():
    machine, wanted = session("seed", "reader"), cids(3)
    machine.want(wanted[:1], 0.0)
    readers(machine, {"seed": [], "reader": []})
    machine.poll(0.0, ROOM)
    machine.need(wanted[1], 0.1)  # both are to be asked whether they have it ...
    machine.on_streamed(wanted[1], 0.1)  # ... but it is here
    assert not any(isinstance(command, Ask) for command in machine.poll(0.1, ROOM))


def test_a_source_that_says_to_have_a_block_after_another_one_has_sent_it_is_asked_for_the_next():
    machine, wanted = session("a", "b"), cids(40)
    machine.want(wanted, 0.0)
    commands = machine.poll(0.0, ROOM)
    assert probes(commands, "b") == wanted[:1]
    machine.on_block("a", wanted[0], BLOCK, 0.02)
    assert not asks(machine.poll(0.02, ROOM), "b")
    machine.on_have("b", wanted[0], 0.03)
    assert asks(machine.poll(0.03, ROOM), "b")


# --- near and far


def near_and_far(wanted: list[CID]) -> FetchSession:
    machine = session("near")
    machine.add_source("far", 0.5, 0.0)
    machine.want(wanted, 0.0)
    for name in ("near", "far"):
        completes(machine, name, wanted[0])
    return machine


def test_far_sources_are_not_asked_for_what_near_ones_have_until_it_is_tried():
    wanted = cids(40)
    machine = near_and_far(wanted)
    commands = machine.poll(0.0, ROOM)
    assert asks(commands, "near") and not asks(commands, "far")
    owed, now = asks(commands, "near"), 0.0
    while not asks(commands, "far"):
        now += 0.1
        machine.on_block("near", owed.pop(0), BLOCK, now)
        commands = machine.poll(now, ROOM)
        owed += asks(commands, "near")
    assert len(asks(commands, "far")) == 1 and now > 0.2, "the trial begins with one block"


def test_far_sources_that_answer_before_the_near_one_has_sent_its_first_block_are_not_asked():
    wanted = cids(40)
    machine = session("near")
    machine.add_source("far", 0.2, 0.0)
    machine.want(wanted, 0.0)
    assert asks(machine.poll(0.0, ROOM), "near"), "the nearest one of which nothing is known may have it"
    completes(machine, "far", wanted[0])
    assert not asks(machine.poll(0.2, ROOM), "far")
    machine.on_dont_have("near", wanted[0], 0.3)
    assert wanted[0] in asks(machine.poll(0.3, ROOM), "far")


def test_the_first_want_leaves_a_source_that_says_nothing_as_soon_as_another_has_the_block():
    (wanted,) = cids(1)
    machine = session("silent")
    machine.add_source("other", 0.015, 0.0)
    machine.want([wanted], 0.0)
    assert asks(machine.poll(0.0, ROOM), "silent") == [wanted]
    completes(machine, "other", wanted)
    now = left(machine, "silent", 0.02)
    assert FIRST_ANSWER < now < 0.5, "it has the time for an answer"
    machine.poll(now, ROOM)
    assert (deadline := machine.next_deadline()) is not None and deadline < now + 0.1
    assert asks(machine.poll(deadline, ROOM), "other") == [wanted]


def test_who_gave_something_before_is_asked_first_unless_it_is_far():
    wanted = cids(2)
    machine = session("nearest")
    machine.add_source("known", 0.04, 0.0, gave=True)
    machine.want(wanted[:1], 0.0)
    assert asks(machine.poll(0.0, ROOM), "known") == wanted[:1]
    machine = session("nearest")
    machine.add_source("known far away", 0.2, 0.0, gave=True)
    machine.want(wanted[:1], 0.0)
    assert asks(machine.poll(0.0, ROOM), "nearest") == wanted[:1]


def test_a_near_source_that_does_not_answer_keeps_out_no_far_one():
    wanted = cids(4)
    machine = session("near")
    machine.add_source("far", 0.2, 0.0)
    machine.want(wanted, 0.0)
    machine.poll(0.0, ROOM)
    completes(machine, "far", wanted[0])
    now = left(machine, "near", 0.2)
    assert FIRST_ANSWER < now < 1.5 * 0.2 + 0.1
    while not asks(machine.poll(now, ROOM), "far"):
        assert (deadline := machine.next_deadline()) is not None and deadline < STALL
        now = max(now, deadline)


def test_a_near_source_that_only_answers_pings_loses_its_wants_to_a_far_one():
    wanted = cids(8)
    machine = near_and_far(wanted)
    owed = asks(machine.poll(0.0, ROOM), "near")
    machine.on_block("near", owed[0], BLOCK, 0.1)
    now, commands = 0.1, machine.poll(0.1, ROOM)
    while not asks(commands, "far"):
        now += 0.1
        machine.on_bytes("near", Heard(alive_at=now), now)
        commands = machine.poll(now, ROOM)
        assert now < 5.0
    assert now > 1.0, "it has a moment"


def test_what_was_waited_for_in_vain_counts_for_all_that_have_sent_nothing():
    seen, wanted = Experience(), cids(1)[0]
    claims, other, reader = (Source(name, 0.01, experience=seen) for name in ("claims", "other", "reader"))
    reader.partial = True
    claims.asked(wanted, 0.0)
    claims.taken_away(wanted, 1.5)
    assert claims.cost() == other.cost() == 1.51 and reader.cost() == 0.01
    other.received(wanted, SIZE, 2.0)
    assert other.cost() < 1.0


def test_far_sources_are_asked_for_what_no_near_one_has():
    wanted = cids(4)
    machine = near_and_far(wanted)
    machine.poll(0.0, ROOM)
    machine.on_dont_have("near", wanted[1], 0.1)
    assert wanted[1] in asks(machine.poll(0.1, ROOM), "far")
    machine.on_have("near", wanted[3], 0.11)  # it is asked now what else it has
    commands = machine.poll(0.11, ROOM)
    assert not asks(commands, "near"), "a want stays where it is for a moment"


def test_near_liars_do_not_keep_out_a_far_honest_source():
    machine, (cid,) = session("one", "two"), cids(1)
    machine.add_source("far", 0.5, 0.0)
    machine.want([cid], 0.0)
    for name in ("one", "two", "far"):
        completes(machine, name, cid)
    now, commands = 0.0, machine.poll(0.0, ROOM)
    while not asks(commands, "far"):
        for name in ("one", "two"):
            if probes(commands, name):
                machine.on_have(name, cid, now)
        now += 0.5
        assert now < 15
        commands = machine.poll(now, ROOM)


def test_far_sources_carry_most_where_the_near_one_is_slow():
    race = Race(session(), [ScriptedSource("near", 0.01, 0.5e6), ScriptedSource("far", 0.2, 20e6)])
    race.run(cids(200))
    assert len(race.got) == 200 and race.count("far") > 120


# --- a stream of the whole


def test_who_has_a_dag_alone():
    root, other = cids(2)
    assert session().sole_source(root) == (False, "")
    assert session("a").sole_source(root) == (True, "a")
    machine = session("a", "b")
    machine.want([root, other], 0.0)
    assert machine.sole_source(root) == (False, "")
    machine.poll(0.0, 0)
    machine.on_have("b", root, 0.1)
    assert machine.sole_source(root) == (False, ""), "the other one was asked, and may have it too"
    machine.on_dont_have("a", root, 0.1)
    assert machine.sole_source(root) == (True, "b")
    machine.on_have("b", root, 0.2)
    assert machine.sole_source(root) == (True, "b")
    machine.on_have("a", other, 0.3)
    assert machine.sole_source(root) == (True, "")
    machine = session("a", "reader")
    machine.want([root], 0.0)
    completes(machine, "a", root)
    machine.on_reader("reader", 0.0)
    assert machine.sole_source(root) == (True, "")


def test_while_one_source_streams_the_others_are_only_asked_whether_they_have_it():
    machine, wanted = session("streams", "other"), cids(10)
    machine.want(wanted, 0.0)
    completes(machine, "streams", wanted[0])
    commands = machine.poll(0.0, ROOM, streams="streams")
    assert probes(commands, "other") == wanted[:1] and not probes(commands, "streams")
    assert not any(asks(commands, name) for name in machine.sources)
    for cid in wanted[:4]:
        machine.on_streamed(cid, 0.1)
    assert machine.wanted == 6 and machine.has_had(wanted[0]) and machine.concerns(wanted[0])
    assert cancels(machine.poll(0.1, ROOM, streams="streams"), "other") == wanted[:1]
    assert (machine.next_deadline() or 0.0) > 0.1, "it is not polled all the time meanwhile"
    assert asks(machine.poll(0.2, ROOM), "streams") == wanted[4:]


def test_what_a_stream_brings_is_progress_though_it_was_not_wanted_by_itself():
    machine, wanted = session("streams"), cids(2)
    machine.want(wanted[:1], 0.0)
    machine.on_streamed(wanted[1], 5.0)
    assert machine.silent(6.0) == 1.0 and machine.has_had(wanted[1]) and machine.wanted == 1


# --- what people are shown


def test_the_state_of_a_session_in_one_word():
    machine, wanted = session(), cids(2)
    assert machine.stage() == "done" and machine.silent(9.0) == 0.0
    machine.want(wanted, 0.0)
    assert machine.stage() == "finding"
    machine.add_source("a", 0.01, 0.0)
    assert machine.stage() == "finding"
    machine.poll(0.0, ROOM)
    assert (
        machine.stage() == "asking"
        and [name for name, one in machine.sources.items() if one.owes] == ["a"]
        and list(machine.wants()) == wanted
    )
    machine.on_block("a", wanted[0], BLOCK, 0.1)
    assert machine.stage() == "receiving"
    state = machine.sources["a"].state(0.3)
    assert (state.last_answer, state.silent, state.blocks, state.outstanding) == (
        "block",
        pytest.approx(0.2),
        1,
        1,
    )
    machine.poll(20.0, ROOM)
    assert machine.stage() == "stalled"


def test_events_of_sources_that_have_gone_change_nothing():
    machine, (cid,) = session(), cids(1)
    machine.want([cid], 0.0)
    machine.on_have("gone", cid, 0.0)
    machine.on_dont_have("gone", cid, 0.0)
    machine.on_bytes("gone", Heard(1.0), 0.0)
    machine.remove_source("gone", 0.0)
    assert machine.wanted == 1 and not machine.sources
    assert machine.on_block("gone", cid, BLOCK, 0.0), "a block is a block"
