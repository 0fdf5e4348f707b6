"""The sweep: regions cover the key space, keys go to their nearest peers, the round survives a restart."""

import random

import pytest

from cidery.identity.peer_id import PeerId
from cidery.kad.key import BITS, K, position
from cidery.kad.message import PeerInfo
from cidery.kad.sweep import FEW_KEYS, MAX_LOOKUPS, Exploration, Region, Schedule, _without, region_bits

RANDOM = random.Random(3)


def keys(count: int) -> list[bytes]:
    return [b"\x12\x20" + RANDOM.randbytes(32) for _ in range(count)]


def peers(count: int) -> list[PeerInfo]:
    return [PeerInfo(PeerId(b"\x00\x24\x08\x01\x12\x20" + RANDOM.randbytes(32))) for _ in range(count)]


def nearest(everybody: list[PeerInfo], key: bytes) -> list[PeerInfo]:
    target = position(key)
    return sorted(everybody, key=lambda info: position(info.peer.multihash) ^ target)[:K]


def explore(everybody: list[PeerInfo], region: Region, wanted: list[bytes]) -> Exploration:
    exploration = Exploration(region, wanted, RANDOM.randbytes)
    while (key := exploration.next_key()) is not None:
        exploration.on_closest(key, nearest(everybody, key))
    return exploration


def inside(region: Region, count: int) -> list[bytes]:
    found: list[bytes] = []
    while len(found) < count:
        found += [key for key in keys(200) if region.holds(position(key))]
    return found[:count]


@pytest.mark.parametrize("size", [0, 1, 30, 127])
def test_a_small_network_is_one_region(size):
    assert region_bits(size) == 0


def test_a_region_of_a_large_network_has_some_64_to_128_peers():
    for size in (300, 10_000, 100_000, 3_000_000):
        assert 64 <= size / 2 ** region_bits(size) < 128


def test_every_key_of_an_explored_region_goes_to_exactly_its_nearest_peers():
    everybody, region = peers(1000), Region(5, region_bits(1000))
    wanted = inside(region, 60)
    exploration = explore(everybody, region, wanted)
    assert exploration.lookups <= 16
    holders: dict[bytes, set[PeerId]] = {key: set() for key in wanted}
    for info, theirs in exploration.allot().items():
        for key in theirs:
            holders[key].add(info.peer)
    for key in wanted:
        assert holders[key] == {info.peer for info in nearest(everybody, key)}


def test_look_ups_do_not_grow_with_the_number_of_keys():
    everybody, region = peers(1000), Region(2, region_bits(1000))
    counts = [explore(everybody, region, inside(region, n)).lookups for n in (20, 200, 2000)]
    assert max(counts) <= 2 * min(counts) <= 32


def test_a_few_keys_take_one_look_up_each():
    everybody, region = peers(1000), Region(2, region_bits(1000))
    assert explore(everybody, region, inside(region, FEW_KEYS)).lookups == FEW_KEYS
    assert explore(everybody, region, []).lookups == 0


def test_a_network_smaller_than_k_takes_everything():
    everybody, wanted = peers(7), keys(30)
    exploration = explore(everybody, Region(0, 0), wanted)
    assert exploration.lookups == 1
    allotted = exploration.allot()
    assert len(allotted) == 7 and all(sorted(theirs) == sorted(wanted) for theirs in allotted.values())


def test_exploring_ends_even_if_every_look_up_fails():
    exploration = Exploration(Region(0, 0), keys(100), RANDOM.randbytes)
    while (key := exploration.next_key()) is not None:
        exploration.on_closest(key, [])
    assert exploration.lookups == MAX_LOOKUPS and exploration.allot() == {}


def test_what_is_left_of_a_region_is_complete_and_does_not_overlap():
    part = Region(0b10, 2)
    rest = _without(part, Region(0b10110, 5))
    assert sorted((r.prefix, r.length) for r in rest) == [(0b100, 3), (0b1010, 4), (0b10111, 5)]
    assert _without(part, Region(0b1, 1)) == [] == _without(part, part)
    assert _without(part, Region(0b11, 2)) == [part]


# --- the round


def run_until(schedule: Schedule, now: float, bits: int = 4) -> list[Region]:
    done = []
    while (region := schedule.next_region(now, bits)) is not None:
        done.append(region)
        schedule.done(region)
    return done


def test_a_round_visits_every_region_once_at_an_even_pace():
    schedule = Schedule.begin(1600.0, 1000.0)
    visited = []
    for minute in range(16):
        now = 1000.0 + 100.0 * minute
        visited.append(run_until(schedule, now))
        assert schedule.next_at() == now + 100.0
    assert [len(regions) for regions in visited] == [1] * 16
    assert [regions[0].prefix for regions in visited] == list(range(16))
    assert schedule.cursor == 1 << BITS and run_until(schedule, 2599.0) == []
    assert [region.prefix for region in run_until(schedule, 2600.0)] == [0]
    assert schedule.cycles == 1 and schedule.last is not None and schedule.last.regions == 16


def test_a_round_that_was_held_up_catches_up_at_once():
    schedule = Schedule.begin(1600.0, 0.0)
    assert len(run_until(schedule, 850.0)) == 9


def test_a_restart_goes_on_where_the_round_was():
    schedule = Schedule.begin(1600.0, 0.0)
    run_until(schedule, 850.0)
    schedule.cycle.lookups = 77
    again = Schedule.restore(schedule.save(), 1600.0, 1000.0)
    assert again.cycle.lookups == 77
    assert [region.prefix for region in run_until(again, 1000.0)] == [9, 10]


def test_after_days_of_absence_the_round_is_finished_and_one_new_one_begins_not_many():
    schedule = Schedule.begin(1600.0, 0.0)
    run_until(schedule, 850.0)
    later = Schedule.restore(schedule.save(), 1600.0, 1e6)
    assert [region.prefix for region in run_until(later, 1e6)] == [9, 10, 11, 12, 13, 14, 15, 0]
    assert later.cycle.began_at == 1e6


@pytest.mark.parametrize("saved", [b"", b"[]", b"{}", b'{"cursor": "zz", "cycles": 1, "counts": [[1],null,[1]]}'])
def test_a_damaged_schedule_begins_anew(saved):
    assert Schedule.restore(saved, 10.0, 5.0) == Schedule.begin(10.0, 5.0)


def test_a_schedule_from_the_future_begins_anew():
    assert Schedule.restore(Schedule.begin(10.0, 99.0).save(), 10.0, 5.0) == Schedule.begin(10.0, 5.0)


def test_the_round_goes_on_when_the_network_changes_its_size():
    schedule = Schedule.begin(1600.0, 0.0)
    run_until(schedule, 420.0, bits=4)
    assert schedule.next_region(520.0, 6) == Region(20, 6)
    assert schedule.next_region(520.0, 2) == Region(1, 2)
