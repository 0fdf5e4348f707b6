"""The look-up machine: whom it asks, when it is over, and what lying or silent peers can do to it."""

import random

from cidery.identity.peer_id import PeerId
from cidery.kad.key import K, position
from cidery.kad.message import DhtMessage, MessageType, PeerInfo, Record
from cidery.kad.network_size import NetworkSize, among_nearest
from cidery.kad.query import ALPHA, LONGEST, MAX_LEARNT, MAX_REQUESTS, Lookup, LookupWaits

RANDOM = random.Random(1)
WAITS = LookupWaits(slow=lambda peer: 2.0, dead=lambda peer: 6.0)
KEY = b"\x12\x20" + bytes(32)
TARGET = position(KEY)


def peers(count: int) -> list[PeerInfo]:
    made = [PeerInfo(PeerId(b"\x00\x24\x08\x01\x12\x20" + RANDOM.randbytes(32)), (b"x",)) for _ in range(count)]
    return sorted(made, key=distance)


def distance(info: PeerInfo) -> int:
    return position(info.peer.multihash) ^ TARGET


LOCAL = peers(1)[0].peer


def lookup(seeds: list[PeerInfo], kind: MessageType = MessageType.FIND_NODE, **goal: int) -> Lookup:
    return Lookup(DhtMessage(kind, KEY), LOCAL, seeds, WAITS, 0.0, **goal)


def answer(closer: list[PeerInfo] = [], **more) -> DhtMessage:  # noqa: B006 - never changed
    return DhtMessage(MessageType.FIND_NODE, KEY, closer=closer, **more)


def test_the_nearest_are_asked_first_and_no_more_than_alpha_at_once():
    seeds = peers(40)
    asks = lookup(seeds).poll(0.0)
    assert [ask.info for ask in asks] == seeds[:ALPHA]


def test_it_ends_with_the_k_nearest_when_all_of_them_answered():
    everybody = peers(300)
    run, now = lookup(everybody[200:210]), 0.0
    while not run.done:
        for ask in run.poll(now):
            known = sorted(RANDOM.sample(everybody, 150), key=distance)[:K]
            run.on_answer(ask.info.peer, answer(known), now)
        now += 0.1
    assert [info.peer for info in run.closest()][:10] == [info.peer for info in everybody[:10]]
    assert run.stats().failures == 0 and run.stats().hops >= 2


def test_a_look_up_without_anybody_to_ask_is_over_at_once():
    run = lookup([])
    assert run.poll(0.0) == [] and run.done and run.closest() == []
    assert run.next_deadline() is None


def test_a_slow_peer_makes_room_and_a_silent_one_fails():
    seeds = peers(30)
    run = lookup(seeds)
    run.poll(0.0)
    assert run.next_deadline() == 2.0
    assert len(run.poll(2.0)) == ALPHA
    run.poll(6.0)
    assert run.stats().failures == ALPHA


def test_a_late_answer_of_a_slow_peer_still_counts():
    seeds = peers(3)
    run = lookup(seeds)
    run.poll(0.0)
    for info in seeds[1:]:
        run.on_answer(info.peer, answer(), 0.1)
    run.poll(2.0)
    assert not run.done
    run.on_answer(seeds[0].peer, answer(), 3.0)
    run.poll(3.0)
    assert run.done and run.closest() == seeds


def test_it_does_not_wait_for_slow_peers_beyond_the_nearest():
    seeds = peers(8)
    run = lookup(seeds)
    run.poll(0.0)
    for info in seeds[:5]:
        run.on_answer(info.peer, answer(), 0.1)
    run.poll(0.1)
    assert not run.done
    run.poll(2.0)
    assert run.done and run.closest() == seeds[:5]


def test_enough_providers_end_it():
    seeds, found = peers(10), peers(2)
    run = lookup(seeds, MessageType.GET_PROVIDERS, wanted=2)
    run.poll(0.0)
    run.on_answer(seeds[0].peer, answer(providers=[found[0]]), 0.1)
    run.poll(0.1)
    assert not run.done
    run.on_answer(seeds[1].peer, answer(providers=[PeerInfo(found[0].peer), found[1]]), 0.2)
    assert run.poll(0.2) == [] and run.done
    assert run.providers[found[0].peer].addrs == (b"x",)


def test_enough_values_end_it_and_who_has_none_is_known():
    seeds = peers(10)
    run = lookup(seeds, MessageType.GET_VALUE, quorum=2)
    run.poll(0.0)
    run.on_answer(seeds[0].peer, answer(), 0.1)
    for info in seeds[1:3]:
        run.on_answer(info.peer, answer(record=Record(KEY, b"v")), 0.1)
    run.poll(0.1)
    assert run.done and len(run.records) == 2 and run.without_record == [seeds[0]]


def test_an_answer_nobody_asked_for_changes_nothing():
    seeds = peers(3)
    run = lookup(seeds)
    run.on_answer(seeds[0].peer, answer(peers(5)), 0.0)
    run.poll(0.0)
    run.on_answer(seeds[0].peer, answer(), 0.1)
    run.on_answer(seeds[0].peer, answer(peers(5)), 0.2)
    assert run.stats().answers == 1


def test_one_answer_brings_a_bounded_number_of_peers():
    seeds = peers(1)
    run = lookup(seeds)
    run.poll(0.0)
    run.on_answer(seeds[0].peer, answer(peers(1000)), 0.1)
    while asks := run.poll(0.2):
        for ask in asks:
            run.on_answer(ask.info.peer, answer(), 0.2)
    assert run.stats().requests <= 1 + MAX_LEARNT


def test_liars_that_invent_nearer_peers_for_ever_are_given_up():
    run, now = lookup(peers(20)), 0.0
    while not run.done:
        for ask in run.poll(now):
            run.on_answer(ask.info.peer, answer(peers(20)), now)
        now += 0.1
    assert run.stats().requests <= MAX_REQUESTS


def test_invented_peers_that_never_answer_end_with_the_longest_wait():
    run, now = lookup(peers(5)), 0.0
    first = run.poll(now)
    for ask in first:
        run.on_answer(ask.info.peer, answer(peers(100)), now)
    while not run.done:
        run.poll(now)
        now = max(now, run.next_deadline() or now)
    assert now <= LONGEST and run.stats().failures <= 5 * MAX_LEARNT


def test_a_crowded_region_widens_the_look_up():
    size = NetworkSize()
    for _ in range(10):
        size.sample([(rank << 256) // 1500 for rank in range(1, K + 1)])
    crowd = [PeerInfo(info.peer, (b"x",)) for info in peers(4000)[:70]]
    inside = [info for info in crowd if distance(info) < size.radius()]
    assert K < len(inside) < 70  # 4,000 peers where 1,500 are expected
    run, now = lookup(crowd, radius=size.radius()), 0.0
    while not run.done:
        for ask in run.poll(now):
            run.on_answer(ask.info.peer, answer(), now)
        now += 0.1
    assert run.holders() == inside


def test_the_size_of_the_network_is_estimated_within_a_fifth():
    size = NetworkSize()
    for _ in range(64):
        key = RANDOM.randbytes(8)
        target = position(key)
        everybody = sorted(RANDOM.getrandbits(256) ^ target for _ in range(5000))
        size.sample(everybody[:K])
    found = size.estimate()
    assert found is not None and 4000 < found < 6000
    assert NetworkSize().estimate() is None and NetworkSize().radius() == 0


def test_the_chance_to_be_among_the_nearest_falls_with_those_in_between():
    assert among_nearest(0.0) == 1.0
    assert among_nearest(14.0) > 0.9 > among_nearest(16.0)
    assert among_nearest(60.0) < 0.001
