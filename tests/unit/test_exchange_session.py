"""The fetch session alone: scripted sources, virtual time."""

import time

import pytest
from session_commands import asks, cancels, probes

from cidery.exchange.commands import Ask, GiveUp, Heard, Search
from cidery.exchange.session import MAX_DENIALS, MAX_SESSION_WANTS, FetchSession
from cidery.exchange.source import FIRST_WINDOW, LEAST_WINDOW, MAX_WANTS, MAX_WINDOW, Source
from cidery.exchange.waits import SessionWaits
from cidery.multiformats.cid import CID
from cidery.testing.scripted_source import READ_AHEAD, Race, ScriptedSource

ROOM = READ_AHEAD
BLOCK = 256 * 1024


def cids(count: int, start: int = 0) -> list[CID]:
    return [CID.of(str(at).encode()) for at in range(start, start + count)]


def session() -> FetchSession:
    return FetchSession(SessionWaits(), 0.0)


def test_one_source_brings_everything_in_order():
    wanted = cids(500)
    race = Race(session(), [ScriptedSource("a", 0.05)])
    race.run(wanted)
    assert list(race.got) == wanted and race.session.stage() == "done"
    assert race.sources["a"].asked == wanted and race.session.duplicates == 0


def test_the_window_doubles_each_round_trip_so_long_distances_take_few():
    race = Race(session(), [ScriptedSource("mars", 2640.0, rate=1e12)])
    race.run(cids(1000))
    # 8 blocks, then 16, 32, ... up to 128 (MAX_WINDOW): 1000 blocks in about 11 round trips
    assert race.now <= 12 * 2640


def test_two_equal_sources_share_the_work_without_duplicates():
    race = Race(session(), [ScriptedSource("a", 0.05, 10e6), ScriptedSource("b", 0.05, 10e6)])
    race.run(cids(400))
    assert len(race.got) == 400 and race.session.duplicates == 0
    assert min(race.count("a"), race.count("b")) > 120


def test_the_near_source_carries_most():
    sources = [ScriptedSource("far", 0.4, 10e6), ScriptedSource("near", 0.01, 50e6), ScriptedSource("mid", 0.1, 10e6)]
    race = Race(session(), sources)
    race.run(cids(600))
    assert race.count("near") > 300 and race.session.duplicates == 0


def test_a_dont_have_moves_the_want_on():
    wanted = cids(100)
    race = Race(session(), [ScriptedSource("a", 0.01, has=set(wanted[:50])), ScriptedSource("b", 0.05)])
    race.run(wanted)
    assert len(race.got) == 100 and race.count("b") >= 50 and race.now < 3


def test_blocks_spread_over_two_partial_sources_are_found():
    wanted = cids(300)
    halves = set(wanted[::2]), set(wanted[1::2])
    race = Race(session(), [ScriptedSource("a", 0.01, has=halves[0]), ScriptedSource("b", 0.02, has=halves[1])])
    race.run(wanted)
    assert len(race.got) == 300 and race.count("a") == race.count("b") == 150


def test_a_stall_moves_wants_to_another_source_and_late_answers_count_as_duplicates():
    wanted = cids(200)
    race = Race(session(), [ScriptedSource("a", 0.01, silent_after=20), ScriptedSource("b", 0.05)])
    race.run(wanted)
    assert len(race.got) == 200 and race.count("a") == 20
    assert race.now < 10


def test_a_source_that_goes_away_is_replaced_at_once():
    race = Race(session(), [ScriptedSource("a", 0.01, gone_after=20), ScriptedSource("b", 0.05)])
    race.run(cids(200))
    assert len(race.got) == 200 and race.now < 2 and race.session.duplicates == 0


def test_what_a_stalled_source_owes_goes_to_one_that_connects_later():
    wanted = cids(8)
    race = Race(session(), [ScriptedSource("dead", 0.01, silent_after=0)])
    late = race.sources["late"] = ScriptedSource("late", 0.01)
    race.at(20.0, lambda: race.session.add_source(late.name, late.round_trip, race.now))
    race.run(wanted)
    assert race.gave_up is None and race.count("late") == 8 and race.now < 21


def test_wants_that_nobody_had_are_asked_of_a_source_that_wakes_up():
    machine, wanted = session(), cids(1)
    machine.add_source("slow", 0.01, 0.0)
    machine.want(wanted, 0.0)
    assert asks(machine.poll(0.0, ROOM), "slow") == wanted
    machine.add_source("empty", 0.01, 0.1)
    stalled = machine.poll(5.0, ROOM)
    assert probes(stalled, "empty") == wanted or asks(stalled, "empty") == wanted
    machine.on_dont_have("empty", wanted[0], 5.1)
    machine.poll(5.1, ROOM)
    assert machine.on_block("slow", wanted[0], BLOCK, 9.0)


def test_a_stalled_source_that_answers_a_question_is_used_again():
    machine, wanted = session(), cids(40)
    machine.add_source("a", 0.01, 0.0)
    machine.add_source("b", 0.02, 0.0)
    machine.want(wanted, 0.0)
    first = asks(machine.poll(0.0, ROOM), "a")
    machine.poll(60.0, ROOM)
    assert machine.sources["a"].stalled
    machine.on_block("a", first[0], BLOCK, 60.1)
    machine.poll(60.1, ROOM)
    assert not machine.sources["a"].stalled and machine.sources["a"].has_any


def test_garbage_that_nobody_asked_for_is_no_sign_of_life():
    machine, wanted = session(), cids(4)
    machine.add_source("liar", 0.01, 0.0)
    machine.add_source("honest", 0.02, 0.0)
    machine.want(wanted, 0.0)
    assert asks(machine.poll(0.0, ROOM), "liar") == wanted
    for at in range(1, 30):
        assert not machine.on_block("liar", cids(1, 1000 + at)[0], BLOCK, at * 0.1)
    machine.on_have("honest", wanted[0], 3.0)
    assert asks(machine.poll(3.0, ROOM), "honest") == wanted
    assert machine.duplicates == 0 and machine.sources["liar"].blocks == 0


def test_a_block_that_comes_twice_counts_as_a_duplicate():
    machine, wanted = session(), cids(1)
    machine.add_source("a", 0.01, 0.0)
    machine.want(wanted, 0.0)
    machine.poll(0.0, ROOM)
    assert machine.on_block("a", wanted[0], BLOCK, 0.1)
    assert not machine.on_block("a", wanted[0], BLOCK, 0.2)
    assert machine.duplicates == 1


def test_who_was_asked_is_told_when_the_block_came_from_another():
    machine, (cid,) = session(), cids(1)
    machine.add_source("a", 0.01, 0.0)
    machine.add_source("b", 0.02, 0.0)
    machine.want([cid], 0.0)
    commands = machine.poll(0.0, ROOM)
    assert asks(commands, "a") == [cid] and probes(commands, "b") == [cid]
    machine.on_have("b", cid, 0.05)
    moved = machine.poll(9.0, ROOM)  # a stalled
    assert asks(moved, "b") == [cid]
    assert machine.on_block("b", cid, BLOCK, 9.1)
    assert cancels(machine.poll(9.1, ROOM), "a") == [cid]


def test_a_forgotten_want_is_cancelled_wherever_it_was_asked():
    machine, wanted = session(), cids(3)
    machine.add_source("a", 0.01, 0.0)
    machine.want(wanted, 0.0)
    machine.poll(0.0, ROOM)
    machine.forget(wanted)
    assert sorted(cancels(machine.poll(0.1, ROOM), "a")) == sorted(wanted)
    assert machine.wanted == 0 and machine.outstanding_bytes == 0 and machine.next_deadline() is None
    assert not machine.on_block("a", wanted[0], BLOCK, 0.2)


def test_a_needed_block_overtakes_what_was_only_wanted():
    machine, wanted = session(), cids(400)
    machine.want(wanted, 0.0)
    machine.need(wanted[300], 0.0)
    machine.add_source("a", 0.01, 0.0)
    assert asks(machine.poll(0.0, ROOM), "a")[0] == wanted[300]


def test_without_room_nothing_more_is_asked_but_one_want_always_is():
    machine, wanted = session(), cids(10)
    machine.add_source("a", 0.01, 0.0)
    machine.want(wanted, 0.0)
    assert len(asks(machine.poll(0.0, 0), "a")) == 1
    assert asks(machine.poll(0.0, 0), "a") == []


def test_a_session_gives_up_when_nothing_comes_and_starts_anew_for_who_asks_again():
    machine, (cid,) = session(), cids(1)
    machine.add_source("a", 0.1, 0.0)
    machine.need(cid, 0.0)
    machine.poll(0.0, ROOM)
    assert not [c for c in machine.poll(60.0, ROOM) if isinstance(c, GiveUp)]
    assert [c for c in machine.poll(61.0, ROOM) if isinstance(c, GiveUp)] == [GiveUp("stalled", 1)]
    assert not [c for c in machine.poll(70.0, ROOM) if isinstance(c, GiveUp)]
    machine.need(cid, 100.0)
    assert not [c for c in machine.poll(100.0, ROOM) if isinstance(c, GiveUp)]
    assert [c for c in machine.poll(161.0, ROOM) if isinstance(c, GiveUp)]


def test_giving_up_waits_for_the_slowest_source():
    machine, (cid,) = session(), cids(1)
    machine.add_source("mars", 2640.0, 0.0)
    machine.need(cid, 0.0)
    assert machine.next_deadline() == pytest.approx(60 + 4 * 2640)
    machine.poll(0.0, ROOM)
    assert machine.next_deadline() == pytest.approx(1.5 + 4 * 2640)


def test_wants_are_bounded_and_denying_sources_are_only_probed():
    machine = session()
    machine.want(cids(MAX_SESSION_WANTS + 10), 0.0)
    assert machine.wanted == MAX_SESSION_WANTS
    machine.add_source("a", 0.01, 0.0)
    machine.on_have("a", cids(1)[0], 0.0)
    now = 0.0
    open_questions: list[CID] = []
    for _ in range(MAX_DENIALS):
        commands = machine.poll(now, ROOM)
        open_questions += asks(commands, "a") + probes(commands, "a")
        now += 0.01
        machine.on_dont_have("a", open_questions.pop(0), now)
    assert not machine.sources["a"].has_any


def test_a_lying_want_have_answer_costs_one_stall_at_most():
    wanted = cids(20)
    machine = session()
    race = Race(machine, [ScriptedSource("liar", 0.001, silent_after=0), ScriptedSource("b", 0.05)])
    for cid in wanted:
        race.at(0.0, lambda cid=cid: machine.on_have("liar", cid, race.now))
    race.run(wanted)
    assert len(race.got) == 20 and race.count("b") == 20 and race.now < 5


@pytest.mark.parametrize("partial", [False, True])
def test_the_work_per_block_does_not_grow_with_the_number_of_wants(partial):
    def seconds(count: int) -> float:
        wanted = cids(count)
        has = (set(wanted[::2]), set(wanted[1::2])) if partial else (None, None)
        sources = [ScriptedSource("a", 0.01, 1e9, has[0]), ScriptedSource("b", 0.02, 1e8, has[1])]
        sources += [ScriptedSource(f"none{at}", 0.03, has=()) for at in range(2)]
        race = Race(session(), sources, size=1000)
        began = time.process_time()
        race.run(wanted)
        assert len(race.got) == count
        return (time.process_time() - began) / count

    few = min(seconds(1500) for _ in range(2))  # all that may be in flight is
    assert seconds(6000) < 2.5 * few  # a scan of all wants per block would be four times slower, or more


def test_fifty_thousand_wants_are_polled_within_bounded_work():
    machine, wanted = session(), cids(50_000)
    machine.add_source("a", 0.01, 0.0)
    machine.add_source("b", 0.01, 0.0)
    machine.want(wanted, 0.0)
    looked_at = 0
    for at in range(100):
        looked_at += sum(len(c.blocks) + len(c.haves) for c in machine.poll(at * 0.01, ROOM) if isinstance(c, Ask))
    assert looked_at <= 2 * MAX_WANTS
    for source in machine.sources.values():
        assert len(source.outstanding) <= MAX_WANTS


def test_a_source_learns_delay_rate_and_window():
    source = Source("a", 0.1)
    wanted = cids(64)
    for cid in wanted:
        source.asked(cid, 0.0)
    assert source.outstanding_bytes == 64 * BLOCK and not source.has_room()
    for at, cid in enumerate(wanted):
        source.received(cid, BLOCK, 0.1 + at * 0.001)
    assert source.window == FIRST_WINDOW + 64 * BLOCK and source.rate > 1e6 and source.outstanding_bytes == 0


def test_the_window_shrinks_while_blocks_queue_up_and_stays_within_its_bounds():
    source = Source("a", 0.01)
    for at, cid in enumerate(cids(2000)):
        source.asked(cid, float(at))
        source.received(cid, BLOCK, at + 0.5)  # fifty times the least delay
    assert source.window == LEAST_WINDOW
    for at, cid in enumerate(cids(2000, 5000)):
        source.asked(cid, 3000.0 + at)
        source.received(cid, BLOCK, 3000.01 + at)
    assert source.window == MAX_WINDOW


def test_bytes_of_a_block_that_is_not_whole_yet_count_as_progress():
    machine, wanted = session(), cids(1)
    machine.add_source("slow", 0.0, 0.0)
    machine.add_source("other", 0.1, 0.0)
    machine.want(wanted, 0.0)
    assert asks(machine.poll(0.0, ROOM), "slow") == wanted
    machine.on_bytes("slow", Heard(1.4), 1.4)
    machine.poll(1.6, ROOM)
    assert not machine.sources["slow"].stalled
    machine.poll(3.0, ROOM)
    assert machine.sources["slow"].stalled


def test_the_size_of_a_block_is_expected_from_the_last_ones_rising_at_once():
    source, sizes = Source("a", 0.1), []
    for size, cid in zip([200, 200, 1 << 20, 1 << 10], cids(4), strict=True):
        source.asked(cid, 0.0)
        source.received(cid, size, 0.1)
        sizes.append(source.expected_block)
    assert 100_000 < sizes[1] < sizes[0] < BLOCK and sizes[2] == 1 << 20 and 500_000 < sizes[3] < 1 << 20


# --- looking for further sources


def searching() -> FetchSession:
    return FetchSession(SessionWaits(search_base=1.0), 0.0)


def searches(machine: FetchSession, now: float) -> list[Search]:
    return [command for command in machine.poll(now, 1 << 30) if isinstance(command, Search)]


def test_without_any_source_others_are_looked_for_at_once():
    machine, (cid,) = searching(), cids(1)
    machine.need(cid, 0.0)
    assert searches(machine, 0.0) == [Search(cid)]
    assert searches(machine, 9.0) == []


def test_with_sources_others_are_looked_for_when_nothing_came_for_a_second():
    machine, (cid,) = searching(), cids(1)
    machine.add_source("a", 0.01, 0.0)
    machine.need(cid, 0.0)
    assert searches(machine, 0.9) == [] and machine.next_deadline() == 1.0
    assert searches(machine, 1.0) == [Search(cid)]


def test_when_all_sources_have_said_no_others_are_looked_for_at_once():
    machine, (cid,) = searching(), cids(1)
    for name in ("a", "b"):
        machine.add_source(name, 0.01, 0.0)
    machine.need(cid, 0.0)
    machine.poll(0.0, 1 << 30)
    machine.on_dont_have("a", cid, 0.1)
    assert searches(machine, 0.1) == []
    machine.on_dont_have("b", cid, 0.2)
    assert searches(machine, 0.2) == [Search(cid)]


def test_a_search_without_success_is_repeated_ever_more_rarely():
    machine, (cid,) = searching(), cids(1)
    machine.need(cid, 0.0)
    found_at = [second for second in range(60) if searches(machine, float(second))]
    assert found_at == [0, 10, 30]


def test_blocks_that_come_end_the_search():
    machine, wanted = searching(), cids(3)
    machine.add_source("a", 0.01, 0.0)
    machine.want(wanted, 0.0)
    assert searches(machine, 1.0)
    machine.on_block("a", wanted[0], 100, 1.5)
    assert searches(machine, 2.4) == []
    assert searches(machine, 2.5) == [Search(wanted[1])]


def test_nobody_is_looked_for_where_that_is_switched_off_or_nothing_is_wanted():
    machine, (cid,) = FetchSession(SessionWaits(), 0.0), cids(1)
    machine.need(cid, 0.0)
    assert searches(machine, 50.0) == []
    assert searches(searching(), 50.0) == []
