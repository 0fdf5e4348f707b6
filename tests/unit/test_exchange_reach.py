"""Whether far sources are asked for what near ones have: by trial."""

from cidery.exchange.reach import (
    FAR,
    FAR_SECONDS,
    FIRST_PAUSE,
    LONGEST_TRIAL,
    MEASURED_BLOCKS,
    MEASURED_SECONDS,
    MORE,
    SLOW_SECONDS,
    Mode,
    Reach,
)
from cidery.exchange.source import FIRST_ANSWER, IN_VAIN, Source
from cidery.multiformats.cid import CID

BLOCK = 256 * 1024


def source(name: str, round_trip: float | None, *, usable: bool = True) -> Source:
    made = Source(name, round_trip)
    made.has_any = usable
    return made


NEAR = source("near", 0.01)


def far(*names: str) -> dict[str, Source]:
    return {name: source(name, 0.5) for name in names}


def arrives(reach: Reach, name: str, begin: float, seconds: float, blocks: int) -> float:
    """Blocks that come at an even pace; returns the time of the last."""
    for at in range(1, blocks + 1):
        reach.received(name, BLOCK, begin + seconds * at / blocks)
    return begin + seconds


def measured() -> tuple[Reach, float]:
    """What near ones bring alone is known: 4 blocks a second."""
    reach = Reach()
    reach.received("near", BLOCK, 0.0)
    return reach, arrives(reach, "near", 0.0, 1.0, 4)


def test_far_is_several_times_the_nearest_round_trip_and_a_bit():
    limit = FAR * 0.01 + FAR_SECONDS
    sources = [NEAR, source("at the limit", limit), source("beyond", limit + 0.001)]
    assert Reach().far(sources, 0.0).keys() == {"beyond"}


def test_only_usable_sources_of_known_distance_are_near_or_far():
    sources = [source("near", 0.01, usable=False), source("far", 0.5), source("unknown", None)]
    assert Reach().far(sources, 0.0) == {} and Reach().far([], 0.0) == {}


def test_a_near_source_that_was_waited_for_in_vain_keeps_out_no_far_one():
    sources = [source("near", 0.01), source("far", 0.5), source("farther", 5.0)]
    sources[0].waited = IN_VAIN
    assert Reach().far(sources, 0.0).keys() == {"farther"}
    for one in sources:
        one.waited = IN_VAIN
    assert Reach().far(sources, 0.0) == {}


def test_a_near_source_that_is_to_answer_first_keeps_out_far_ones_while_it_may():
    reach, near = Reach(), source("near", 0.01, usable=False)
    sources = [near, source("far", 0.5)]
    near.asked(CID.of(b"block"), 1.0)
    until = 1.0 + FIRST_ANSWER + 2 * 0.01
    assert reach.far(sources, 1.0).keys() == {"far"} and reach.next_at == until
    assert reach.far(sources, until) == {} and reach.next_at is None
    near.hears(1.5, 1.5, None, 1.5)
    assert reach.far(sources, 1.6).keys() == {"far"}, "it is on its way"
    near.hears(9.0, 9.0, None, 9.0)
    assert reach.far(sources, 9.0) == {}, "a trickle is no answer"


def test_far_sources_are_held_until_it_is_measured_what_near_ones_bring():
    reach, one = Reach(), far("far")
    assert reach.held(one, 5.0) == {"far"} and reach.mode is Mode.NEAR
    reach.received("near", BLOCK, 5.0)  # it began to come before
    for at in range(MEASURED_BLOCKS - 1):
        reach.received("near", BLOCK, 5.1 + at)
    assert reach.held(one, 9.0) == {"far"} and reach.mode is Mode.NEAR
    reach.received("near", BLOCK, 9.0)
    assert reach.held(one, 9.0) == set() and reach.mode is Mode.TRIAL


def test_a_measurement_takes_a_moment():
    reach = Reach()
    for at in range(10):
        reach.received("near", BLOCK, at * 0.001)
    reach.received("near", BLOCK, MEASURED_SECONDS - 0.01)
    assert reach.held(far("far"), 2 * MEASURED_SECONDS) == {"far"}, "until the last block"
    reach.received("near", BLOCK, MEASURED_SECONDS)
    assert reach.held(far("far"), MEASURED_SECONDS) == set()


def test_what_comes_is_measured_until_the_last_block():
    reach, now = measured()
    one = far("far")
    reach.held(one, now + 0.5)  # long after the last block: it brought 4 in a second all the same
    now = arrives(reach, "near", now + 0.5, 0.75, 3)
    reach.received("far", BLOCK, now + 0.25)
    assert reach.held(one, now + 0.25) == {"far"} and reach.mode is Mode.NEAR, "the line is full"


def test_a_near_source_that_has_sent_something_and_says_nothing_more_keeps_out_no_far_one():
    reach, near = Reach(), source("near", 0.01)
    sources = [near, source("far", 0.5)]
    near.asked(CID.of(b"block"), 1.0)
    until = 1.0 + IN_VAIN + 2 * 0.01
    assert reach.far(sources, 1.0).keys() == {"far"} and reach.next_at == until
    assert near in reach.counted and reach.far(sources, until) == {} and near not in reach.counted
    assert reach.far(sources, until, crowd=True).keys() == {"far"}, "it may serve others first"
    near.hears(until, until, None, until)
    assert reach.far(sources, until).keys() == {"far"}


def test_in_a_trial_each_far_source_is_asked_for_one_block():
    reach, now = measured()
    several = far("far", "farther")
    assert reach.held(several, now) == set() and reach.trying == {"far", "farther"}
    several["far"].asked(CID.of(b"block"), now)
    assert reach.held(several, now + 0.1) == {"far"}
    reach.received("far", BLOCK, now + 0.5)
    several["far"].outstanding.clear()
    assert reach.held(several, now + 0.5) == {"far"}, "until the trial is judged"


def test_far_sources_stay_if_more_comes_with_them():
    reach, now = measured()
    one = far("far")
    reach.held(one, now)
    arrives(reach, "near", now, 0.9, 4)
    now = arrives(reach, "far", now, 1.0, 4)
    assert reach.held(one, now) == set() and reach.mode is Mode.ALL
    assert reach.held(one, now + 1000) == set()


def on_trial(seconds: float) -> tuple[Reach, dict[str, Source]]:
    """Two far sources began to send at 1.5 what each takes so long for."""
    (reach, now), known = measured(), far("a", "b")
    reach.held(known, now)
    for one in known.values():
        one.hears(1.5, 1.5, frozenset((CID.of(b"block"),)), 1.5, 1.5 + seconds)
    return reach, known


def test_far_sources_stay_before_they_have_sent_a_block_if_it_is_plain_that_more_comes_with_them():
    reach, known = on_trial(1.0)
    reach.received("near", BLOCK, 1.4)
    reach.received("near", BLOCK, 1.7)
    assert reach.held(known, 1.7) == set() and reach.mode is Mode.TRIAL, "a block since they send is no measure"
    reach.received("near", BLOCK, 2.0)
    assert reach.held(known, 2.0) == set() and reach.mode is Mode.ALL


def test_it_is_not_plain_while_one_has_not_begun_or_what_near_ones_send_is_less_by_as_much():
    reach, known = on_trial(1.0)
    for at in (1.6, 2.6):
        reach.received("near", BLOCK, at)
    reach.held(known, 2.6)
    assert reach.mode is Mode.TRIAL, "three blocks a second instead of four"
    reach, known = on_trial(1.0)
    known["b"].hears(1.5, 1.5, frozenset(), 1.5)
    for at in (1.6, 1.8):
        reach.received("near", BLOCK, at)
    reach.held(known, 1.8)
    assert reach.mode is Mode.TRIAL


def test_near_ones_are_waited_for_that_would_bring_all_the_rest_before_a_far_one_brings_a_block():
    reach, now = measured()
    busy, slow = source("near", 0.01), source("far", 0.5)
    slow.rate = BLOCK  # a block in a second and a half, with the round trip
    busy.asked(CID.of(b"block"), now)
    assert not reach.sooner_alone([busy], 1, slow), "nothing was measured before a trial"
    reach.held(far("far"), now)
    assert reach.sooner_alone([busy], 4, slow), "five blocks in 1.25 s"
    assert not reach.sooner_alone([busy], 5, slow) and not reach.sooner_alone([], 0, slow)


def test_far_sources_are_let_go_if_near_ones_fill_the_line():
    reach, now = measured()
    one = far("far")
    reach.held(one, now)
    arrives(reach, "near", now, 0.9, 3)
    now = arrives(reach, "far", now, 1.0, 1)  # as much as before, in all
    assert reach.held(one, now) == {"far"} and reach.mode is Mode.NEAR


def test_more_is_a_good_deal_more():
    for factor, mode in ((MORE - 0.05, Mode.NEAR), (MORE + 0.05, Mode.ALL)):
        reach, now = measured()
        reach.held(far("far"), now)
        reach.received("far", int(4 * BLOCK * factor), now + 1.0)
        reach.held(far("far"), now + 1.0)
        assert reach.mode is mode


def test_after_a_trial_in_vain_the_next_one_comes_later_each_time_and_with_a_single_far_source():
    reach, now = measured()
    several, pauses = far("far", "farther"), []
    for _ in range(3):
        assert reach.held(several, now) != several.keys() and reach.mode is Mode.TRIAL
        ended = now
        for name in list(reach.trying):
            ended = arrives(reach, name, now, 1.0, 1)
        assert reach.held(several, ended) == several.keys()
        now = ended
        while reach.held(several, now) == several.keys():
            now = arrives(reach, "near", now, 1.0, 4)
        pauses.append(now - ended)
        assert len(reach.trying) == 1
    assert pauses == [FIRST_PAUSE, 2 * FIRST_PAUSE, 4 * FIRST_PAUSE]


def test_a_trial_ends_though_a_far_source_sends_nothing():
    reach, now = measured()
    one = far("far")
    reach.held(one, now)
    ends = now + LONGEST_TRIAL + 2 * 0.5
    arrives(reach, "near", now, 4.0, 16)
    reach.held(one, ends - 0.01)
    assert reach.mode is Mode.TRIAL
    assert reach.held(one, ends) == {"far"} and reach.mode is Mode.NEAR


def test_a_trial_ends_when_the_far_source_has_gone():
    reach, now = measured()
    reach.held(far("far"), now)
    arrives(reach, "near", now, 1.0, 4)
    assert reach.held(far("another"), now + 1.0) == {"another"} and reach.mode is Mode.NEAR


def slow_near(*, size: int = 4 * BLOCK) -> tuple[Reach, Source]:
    """A near source that was asked for a block at 1.0 s brings half of one of ``size`` in two seconds."""
    reach, near = Reach(), source("near", 0.01)
    near.asked(CID.of(b"block"), 1.0)
    near.hears(1.0, 1.0, frozenset((CID.of(b"block"),)), 1.0, 5.0, size)
    return reach, near


def test_near_ones_that_bring_no_block_for_long_are_measured_by_what_is_arriving():
    reach, near = slow_near()
    away = far("far")
    for now, mode in ((1.0, Mode.NEAR), (1.0 + SLOW_SECONDS - 0.01, Mode.NEAR), (1.0 + SLOW_SECONDS, Mode.TRIAL)):
        reach.far([near, *away.values()], now)
        assert reach.held(away, now) == ({"far"} if mode is Mode.NEAR else set()) and reach.mode is mode
        assert (reach.next_at == 1.0 + SLOW_SECONDS) is (mode is Mode.NEAR), "then there is something to decide"


def test_of_near_ones_of_which_nothing_arrives_nothing_is_known():
    reach, near = Reach(), source("near", 0.01)
    near.asked(CID.of(b"block"), 1.0)
    away = far("far")
    reach.far([near, *away.values()], 1.0 + SLOW_SECONDS)
    assert reach.held(away, 1.0 + SLOW_SECONDS) == {"far"} and reach.mode is Mode.NEAR


def test_in_a_crowd_slow_ones_serve_others_and_are_not_measured_so():
    reach, near = slow_near()
    away = far("far")
    reach.far([near, *away.values()], 1.0 + SLOW_SECONDS, crowd=True)
    assert reach.held(away, 1.0 + SLOW_SECONDS) == {"far"} and reach.mode is Mode.NEAR


def test_what_had_come_of_a_block_when_a_trial_began_does_not_count_in_it():
    for size, mode in ((4 * BLOCK, Mode.NEAR), (8 * BLOCK, Mode.ALL)):
        reach, near = slow_near()
        away = far("far")
        near.hears(3.0, 3.0, near.coming, 3.0, 5.0, near.coming_bytes)
        reach.far([near, *away.values()], 3.0)
        assert reach.held(away, 3.0) == set()
        reach.received("near", 4 * BLOCK, 5.0)  # half of it: as much as before
        reach.received("far", size - 4 * BLOCK, 5.0)
        reach.held(away, 5.0)
        assert reach.mode is mode
