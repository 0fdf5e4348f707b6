"""The routing table: who gets a place, who loses it, what is refreshed and what survives."""

import random

from cidery.identity.peer_id import PeerId
from cidery.kad.key import K, common_prefix, position, preimage
from cidery.kad.message import PeerInfo
from cidery.kad.routing_table import (
    MAX_PER_GROUP,
    MAX_PER_GROUP_IN_BUCKET,
    REFRESH_INTERVAL,
    STALE_AFTER,
    RoutingTable,
    restore,
)
from cidery.libp2p.protocols.addresses import Scope, group_of, keep, scope_of
from cidery.multiformats.multiaddr import Multiaddr

RANDOM = random.Random(1)


def peer_id() -> PeerId:
    return PeerId(b"\x00\x24\x08\x01\x12\x20" + RANDOM.randbytes(32))


LOCAL = peer_id()


def at(text: str) -> bytes:
    return Multiaddr.parse(text).encode()


def info(address: str = "") -> PeerInfo:
    a, b, c = RANDOM.randrange(60, 200), RANDOM.randrange(256), RANDOM.randrange(256)
    return PeerInfo(peer_id(), (at(address or f"/ip4/{a}.{b}.{c}.7/tcp/4001"),))


def in_bucket(shared: int, address: str = "") -> PeerInfo:
    """A peer that shares exactly ``shared`` bits with LOCAL."""
    while True:
        made = info(address)
        if common_prefix(position(made.peer.multihash), position(LOCAL.multihash)) == shared:
            return made


def table(*, diverse: bool = True) -> RoutingTable:
    return RoutingTable(LOCAL, diverse=diverse)


def test_a_peer_that_answered_is_known_and_the_own_one_is_not():
    one, here = info(), table()
    assert here.answered(one, 0.0)
    assert one.peer in here and len(here) == 1
    assert not here.answered(PeerInfo(LOCAL, one.addrs), 0.0)


def test_the_nearest_peers_come_nearest_first():
    here = table()
    for _ in range(200):
        here.answered(info(), 0.0)
    target = position(b"any")
    found = [position(one.peer.multihash) ^ target for one in here.nearest(target)]
    assert len(found) == K and found == sorted(found)
    assert max(found) <= min(entry.at ^ target for entry in here.entries() if (entry.at ^ target) not in found)


def test_a_full_bucket_keeps_its_members_and_holds_newcomers_in_reserve():
    here = table()
    old = [in_bucket(0) for _ in range(K)]
    assert all(here.answered(one, 0.0) for one in old)
    newcomer = in_bucket(0)
    assert not here.answered(newcomer, 1.0)
    assert newcomer.peer not in here
    here.failed(old[3].peer)
    assert old[3].peer not in here and newcomer.peer in here


def test_a_peer_without_a_successor_survives_one_failure_but_not_two():
    here, one = table(), info()
    here.answered(one, 0.0)
    here.failed(one.peer)
    assert one.peer in here
    here.failed(one.peer)
    assert one.peer not in here


def test_an_answer_forgives_a_failure():
    here, one = table(), info()
    here.answered(one, 0.0)
    here.failed(one.peer)
    here.answered(one, 1.0)
    here.failed(one.peer)
    assert one.peer in here


def test_one_operator_gets_two_places_in_a_bucket_and_three_in_the_table():
    here = table()
    same = [in_bucket(0, f"/ip4/81.2.{n}.1/tcp/1") for n in range(4)]
    assert [here.answered(one, 0.0) for one in same] == [True, True, False, False]
    others = [in_bucket(shared, f"/ip4/81.2.9.{shared}/tcp/1") for shared in (1, 2, 3)]
    assert [here.answered(one, 0.0) for one in others] == [True, False, False]
    assert MAX_PER_GROUP_IN_BUCKET == 2 and MAX_PER_GROUP == 3


def test_a_peer_that_moves_into_a_full_group_loses_its_place():
    here = table()
    for n in range(2):
        here.answered(in_bucket(0, f"/ip4/81.2.{n}.1/tcp/1"), 0.0)
    mover = in_bucket(0)
    here.answered(mover, 0.0)
    assert not here.answered(PeerInfo(mover.peer, (at("/ip4/81.2.77.1/tcp/1"),)), 1.0)
    assert mover.peer not in here and len(here) == 2


def test_a_table_of_a_lan_does_not_ask_for_different_networks():
    here = table(diverse=False)
    assert all(here.answered(in_bucket(0, f"/ip4/10.0.0.{n}/tcp/1"), 0.0) for n in range(10))


def test_only_buckets_that_saw_no_look_up_are_refreshed_and_their_keys_fall_into_them():
    here = table()
    for shared in (0, 1, 2, 3):
        here.answered(in_bucket(shared), 0.0)
    here.looked_up(position(in_bucket(1).peer.multihash), 100.0)
    keys = here.refresh_keys(100.0 + REFRESH_INTERVAL - 1, random.Random(2).randbytes)
    assert keys[0] == LOCAL.multihash
    assert [common_prefix(position(key), here.at) for key in keys[1:]] == [0, 2, 3]
    again = here.refresh_keys(100.0 + REFRESH_INTERVAL, random.Random(2).randbytes)
    assert [common_prefix(position(key), here.at) for key in again[1:]] == [0, 1, 2, 3]


def test_silent_peers_are_to_be_asked_for_a_sign_of_life():
    here, one, other = table(), info(), info()
    here.answered(one, 0.0)
    here.answered(other, 100.0)
    assert [peer.peer for peer in here.stale(STALE_AFTER)] == [one.peer]


def test_the_table_survives_a_restart_and_damage_gives_fewer_peers():
    here = table()
    for n in range(30):
        here.answered(info(), float(n))
    saved = here.save()
    back = restore(saved)
    assert {one.peer for one in back} == {entry.peer for entry in here.entries()}
    assert back[0].addrs
    assert restore(b"\xff") == [] and restore(b"{}") == []
    assert restore(b'[["zz", []], 5, ["' + back[0].peer.multihash.hex().encode() + b'", []]]') == [
        PeerInfo(back[0].peer, ())
    ]


def test_a_preimage_begins_with_the_wanted_bits():
    for length in (0, 1, 7, 12):
        prefix = (1 << length) - 1
        assert position(preimage(prefix, length, random.Random(3).randbytes)) >> (256 - length) == prefix


def test_addresses_know_from_where_they_can_be_reached():
    scopes = {
        "/ip4/8.8.8.8/tcp/1": Scope.PUBLIC,
        "/ip4/10.1.2.3/tcp/1": Scope.PRIVATE,
        "/ip4/100.64.0.1/tcp/1": Scope.PRIVATE,
        "/ip4/127.0.0.1/tcp/1": Scope.LOOPBACK,
        "/ip4/0.0.0.0/tcp/1": Scope.OTHER,
        "/ip6/::1/tcp/1": Scope.LOOPBACK,
        "/ip6/fe80::1/tcp/1": Scope.PRIVATE,
        "/ip6/2a00:1450::1/udp/1/quic-v1": Scope.PUBLIC,
        "/ip6/::ffff:10.0.0.1/tcp/1": Scope.PRIVATE,
        "/dns4/example.org/tcp/443": Scope.PUBLIC,
        "/unix/tmp": Scope.OTHER,
        "/ip4/8.8.8.8/tcp/1/p2p/QmNnooDu7bfjPFoTZYxMNLWUQJyrVwtbZg5gBMjTezGAJN/p2p-circuit": Scope.PUBLIC,
    }
    assert {text: scope_of(at(text)) for text in scopes} == scopes
    every = tuple(map(at, scopes))
    assert len(keep(every, frozenset({Scope.PUBLIC}))) == 4
    assert scope_of(b"") is Scope.OTHER and scope_of(b"\x04\x01") is Scope.OTHER


def test_one_operators_addresses_are_one_group():
    assert group_of(at("/ip4/81.2.3.4/tcp/1")) == group_of(at("/ip4/81.2.200.1/tcp/9"))
    assert group_of(at("/ip4/81.2.3.4/tcp/1")) != group_of(at("/ip4/81.3.3.4/tcp/1"))
    assert group_of(at("/ip4/17.2.3.4/tcp/1")) == group_of(at("/ip4/17.99.3.4/tcp/1"))
    assert group_of(at("/ip6/2a00:1450:1::1/tcp/1")) == group_of(at("/ip6/2a00:1450:2::1/tcp/1"))
    assert group_of(at("/dns4/example.org/tcp/1")) is None
