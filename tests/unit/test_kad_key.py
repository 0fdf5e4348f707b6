"""The key space of the DHT, keys made for a place in it, and its size guessed from how near peers lie."""

import random

import pytest

from cidery.kad.key import BITS, MAX_PREIMAGE_BITS, K, common_prefix, position, prefix_of, prefix_range, preimage
from cidery.kad.network_size import LEAST_SAMPLES, SPACE, NetworkSize, among_nearest


def test_nearness_is_the_length_of_the_common_prefix():
    at = position(b"a key")
    assert common_prefix(at, at) == BITS
    for bit in (0, 1, 100, 255):
        assert common_prefix(at, at ^ 1 << (BITS - 1 - bit)) == bit


@pytest.mark.parametrize("length", [0, 1, 8, 256])
def test_a_prefix_has_a_range_in_which_its_positions_lie(length: int):
    at = position(b"a key")
    first, after = prefix_range(prefix_of(at, length), length)
    assert first <= at < after and after - first == 1 << (BITS - length)


@pytest.mark.parametrize("length", [0, 1, 8, MAX_PREIMAGE_BITS])
def test_a_key_is_found_for_any_prefix(length: int):
    prefix = (1 << length) - 1
    key = preimage(prefix, length, random.Random(1).randbytes)
    assert len(key) == 32 and prefix_of(position(key), length) == prefix


def test_a_prefix_that_would_cost_too_much_is_cut():
    length = MAX_PREIMAGE_BITS + 20
    prefix = (1 << length) - 5
    key = preimage(prefix, length, random.Random(1).randbytes)
    assert prefix_of(position(key), MAX_PREIMAGE_BITS) == prefix >> 20


def nearest(peers: int, seed: int) -> list[int]:
    """The distances of the K nearest of ``peers`` evenly spread ones to some key."""
    chance = random.Random(seed)
    return sorted(chance.getrandbits(BITS) for _ in range(peers))[:K]


def test_the_size_is_believed_after_a_few_look_ups_and_is_about_right():
    size = NetworkSize()
    for seed in range(LEAST_SAMPLES - 1):
        size.sample(nearest(1000, seed))
    assert size.estimate() is None and size.radius() == 0
    for seed in range(100, 140):
        size.sample(nearest(1000, seed))
    estimate = size.estimate()
    assert estimate is not None and 800 < estimate < 1250
    assert size.radius() == int(K / estimate * SPACE)


def test_a_crowd_round_one_key_does_not_move_the_estimate_far():
    size = NetworkSize()
    for seed in range(21):
        size.sample(nearest(1000, seed))
    size.sample([distance >> 40 for distance in nearest(1000, 5)])
    estimate = size.estimate()
    assert estimate is not None and estimate < 1250


def test_look_ups_that_found_fewer_than_k_say_that_the_network_is_small():
    size = NetworkSize()
    for _ in range(LEAST_SAMPLES):
        size.sample([1, 2, 3])
    assert size.estimate() == 3 and size.radius() == 0


def test_look_ups_that_found_nobody_or_only_the_key_itself_say_nothing():
    size = NetworkSize()
    for _ in range(LEAST_SAMPLES):
        size.sample([])
        size.sample([0] * K)
    assert size.estimate() is None


def test_of_few_that_are_expected_nearer_one_is_surely_among_the_nearest():
    assert among_nearest(0.0) == 1.0 and among_nearest(1.0) > 0.999
    assert among_nearest(10 * K) < 0.001 < among_nearest(K) < 0.6
