"""The laboratory's scenarios, small: each comes to its end, and what it measures is measured right."""

import math

import pytest

from cidery.testing.lab.content import MBIT, MIB
from cidery.testing.lab.crowd import flash_crowd
from cidery.testing.lab.flood import flood
from cidery.testing.lab.mars import mars
from cidery.testing.lab.regions import region_cut
from cidery.testing.lab.scale import session_scale
from cidery.testing.lab.sources import holders_die, least_seconds, near_and_far


def test_the_ideal_of_dying_sources_is_what_the_living_ones_can_send():
    assert least_seconds(100, [10], [math.inf]) == 10
    assert least_seconds(100, [10, 10], [math.inf] * 2) == 5
    assert least_seconds(100, [10, 10], [2, math.inf]) == 2 + 60 / 10
    assert least_seconds(100, [10, 10], [2, math.inf], reader_rate=10) == 10
    assert least_seconds(100, [10, 10], [2, 3]) == math.inf


@pytest.mark.parametrize("how", ["reset", "cable"])
def test_a_file_comes_whole_while_its_holders_die(how):
    got = holders_die(6 * MIB, 5 * MBIT, 0.05, holders=3, every=1.5, how=how)
    assert not got.failure and got.ideal <= got.seconds < 10 * got.ideal
    assert sum(got.shares) == pytest.approx(1.0, abs=0.05) and got.shares[-1] > 0
    assert got.longest_silence < got.seconds


def test_near_and_far_sources_share_a_file_and_the_near_one_may_die():
    got = near_and_far(6 * MIB, 20 * MBIT, 5 * MBIT, 0.1, far=2, reader_rate=30 * MBIT)
    assert got.ideal <= got.seconds and sum(got.shares) == pytest.approx(1.0, abs=0.05)
    dead = near_and_far(6 * MIB, 20 * MBIT, 5 * MBIT, 0.1, far=2, reader_rate=30 * MBIT, near_dies=0.5)
    assert dead.seconds > got.seconds and dead.shares[0] < got.shares[0]


def test_mars_is_read_over_a_standing_connection_at_the_speed_of_the_line():
    got = mars(360.0, 2 * MIB, 1 * MBIT)
    assert got.limit == pytest.approx(360 + 2 * MIB / MBIT) and got.limit <= got.seconds <= 1.1 * got.limit
    assert got.second_reader < 5 and got.second_reader_over_the_link <= 0.02


def test_in_a_crowd_everybody_gets_the_file_whoever_lies_and_whoever_gives_nothing():
    crowd = flash_crowd(6, 2 * MIB, 5 * MBIT, 10 * MBIT, 0.02, stagger=2.0, freeloaders=3, liars=3)
    assert len(crowd.times) == len(crowd.freeloaders) == 3
    assert crowd.one_copy <= crowd.last < math.inf
    assert crowd.origin_sent >= 1.0


def test_liars_waste_little_of_what_a_crowd_receives():
    crowd = flash_crowd(4, 8 * MIB, 5 * MBIT, 10 * MBIT, 0.02, stagger=2.0, liars=4)
    assert crowd.last < math.inf and crowd.overhead <= 0.1
    assert crowd.liars_sent < 0.1, "they were found out by small blocks"


def test_liars_that_send_small_blocks_rightly_waste_little_either():
    crowd = flash_crowd(10, 16 * MIB, 5 * MBIT, 10 * MBIT, 0.05, liars=4, lies=["sly"], seed=1)
    assert crowd.last < math.inf and crowd.overhead <= 0.1


def test_regions_that_are_cut_off_read_their_own_and_meet_again():
    cut = region_cut(24, regions=2, files=1, size=MIB // 4)
    assert cut.own_at_once.share == cut.own_later.share == 1.0
    assert cut.waiting.share == cut.after.share == 1.0 and cut.waiting.slowest > 0


def test_a_nodes_own_requests_are_served_in_a_flood():
    flooded = flood(40, 10.0, seconds=10.0)
    assert flooded.asked > 5 and flooded.connections > 40
    assert flooded.own_served == 1.0 and flooded.own_slowest < 10 * flooded.own_quiet


def test_the_time_of_the_fetch_session_per_block_does_not_grow_with_the_wants_it_has_seen():
    scale = session_scale(20, 40_000)
    assert len(scale.each) == 10 and scale.last < 3 * scale.first
