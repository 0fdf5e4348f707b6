"""Limits of speed, and their schedule: exact over time, whatever the pieces."""

import random

import pytest

from cidery.libp2p.protocols.bandwidth import (
    BURST,
    LEAST_QUANTUM,
    MAX_METERS,
    MEASURED,
    NO_LIMIT,
    WORTH_KEEPING,
    BandwidthLimits,
    Meter,
    Meters,
    Period,
    Schedule,
    Throttle,
)

MOST_PIECES = 400_000


@pytest.mark.parametrize("rate", [10_000.0, 500_000.0, 20e6])
@pytest.mark.parametrize("piece", [100, 16_384, 200_000])
def test_what_goes_through_is_the_rate_times_the_time(rate: float, piece: int) -> None:
    throttle, now, went = Throttle(rate, 0.0), 0.0, 0
    seconds = min(100.0, MOST_PIECES * piece / rate)
    while now < seconds:
        if throttle.room(now):
            throttle.take(piece, now)
            went += piece
        else:
            now += throttle.ready_in(now)
    assert went <= rate * (now + BURST) + piece
    assert went >= 0.99 * rate * seconds - piece


def test_after_a_pause_little_goes_at_once() -> None:
    throttle = Throttle(100_000.0, 0.0)
    went = 0
    while throttle.room(1000.0):
        throttle.take(100, 1000.0)
        went += 100
    assert went <= 100_000 * BURST + 100


def test_short_messages_go_into_debt_and_the_rest_pays_for_it() -> None:
    throttle = Throttle(100_000.0, 0.0)
    assert throttle.room(0.0) == 0 and throttle.room(0.0, urgent=True) == LEAST_QUANTUM
    went = 0
    while throttle.room(0.0, urgent=True):
        throttle.take(1000, 0.0)
        went += 1000
    assert 25_000 <= went <= 26_000 and throttle.ready_in(0.0) == pytest.approx(went / 100_000, abs=1e-3)


def test_without_a_limit_there_is_always_room_and_a_limit_may_come_and_go() -> None:
    throttle = Throttle(None, 0.0)
    throttle.take(10**9, 0.0)
    assert throttle.room(0.0) == NO_LIMIT and throttle.ready_in(0.0) == 0.0
    throttle.change(1000.0, 0.0)
    throttle.take(5000, 0.0)
    assert throttle.ready_in(0.0) == pytest.approx(5.0, abs=1e-3)
    throttle.change(10_000.0, 0.0)
    assert throttle.ready_in(0.0) == pytest.approx(0.5, abs=1e-3)
    throttle.change(None, 0.0)
    assert throttle.room(0.0)


def test_a_schedule_knows_nights_and_weekends() -> None:
    usual, night, weekend = (BandwidthLimits(up=float(rate)) for rate in (1, 2, 3))
    schedule = Schedule(
        usual,
        [
            Period(22 * 60, 6 * 60, frozenset(range(5)), night),
            Period(0, 0, frozenset((5, 6)), weekend),
        ],
    )
    for day, hour, expected in [
        (0, 12, usual),
        (0, 22, night),
        (1, 5, night),
        (1, 6, usual),
        (0, 5, weekend),  # Sunday's whole day ends at Monday's midnight... which is before five
        (4, 23, night),
        (5, 3, night),  # what began on Friday comes first
        (5, 7, weekend),
        (6, 23, weekend),
    ]:
        if (day, hour) == (0, 5):
            expected = usual
        assert schedule.at(day, hour * 60) == expected, (day, hour)
    assert Schedule().limits_nothing and not schedule.limits_nothing


def test_a_rate_is_that_of_the_last_seconds() -> None:
    meter, source = Meter(0.0), random.Random(1)
    now = 0.0
    for _ in range(2000):
        now += source.uniform(0.0, 0.1)
        meter.count(1000, now)
    assert meter.total == 2_000_000 and meter.rate(now) == pytest.approx(20_000, rel=0.25)
    assert meter.rate(now + 3 * MEASURED) < 0.1 * meter.rate(now)


def test_meters_are_bounded() -> None:
    meters: Meters[int] = Meters()
    for number in range(MAX_METERS + 10):
        meters.of(number, 0.0)[0].count(1, 0.0)
    assert meters.get(5) is None and meters.get(MAX_METERS) is not None


def test_a_peer_that_left_is_counted_on_if_it_moved_much():
    meters: Meters[str] = Meters()
    for name, size in (("little", WORTH_KEEPING // 2 - 1), ("much", WORTH_KEEPING // 2)):
        for meter in meters.of(name, 0.0):
            meter.count(size, 0.0)
        meters.parted(name)
    meters.parted("never met")
    assert meters.get("little") is None and meters.get("much") is not None
