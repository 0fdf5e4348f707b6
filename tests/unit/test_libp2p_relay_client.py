"""Reservations at relays: whom to ask and when, in virtual time; and relayed addresses taken apart."""

import random

import pytest

from cidery.identity.keys import PrivateKey
from cidery.identity.peer_id import PeerId
from cidery.libp2p.protocols import identify
from cidery.libp2p.protocols.relay_client import (
    CANDIDATE_FOR,
    FIXED_REST,
    MAX_CANDIDATES,
    MOST_LIFE,
    REST,
    Refused,
    Relays,
    connected,
    granted,
)
from cidery.libp2p.protocols.relay_messages import (
    Granted,
    HopMessage,
    HopType,
    RelayError,
    RelayLimit,
    Status,
    Voucher,
    open_voucher,
    seal_voucher,
)
from cidery.libp2p.protocols.relayed import Allowed, circuit_of, is_relayed, through
from cidery.multiformats.multiaddr import Multiaddr

ADDR = Multiaddr.parse("/ip4/9.9.9.9/tcp/4001")
WALL = 1_800_000_000.0


def _peer(number: int) -> PeerId:
    return PrivateKey.generate_ed25519(random.Random(number).randbytes).peer_id


A, B, C = map(_peer, (1, 2, 3))


def _grant(seconds: float = 3600.0) -> Granted:
    return Granted(int(WALL + seconds), (ADDR.with_peer(A.multihash).encode(),))


def test_two_relays_are_wanted_and_no_third_is_asked() -> None:
    relays = Relays()
    for peer in (A, B, C):
        relays.named(peer, [ADDR], 0.0)
    for expected in (A, B):
        asked = relays.next(1.0)
        assert asked == (expected, (ADDR,))
        relays.took(expected, _grant(), RelayLimit(120, 131072), 1.0, WALL)
    assert relays.next(1.0) is None and not relays.wants_candidates
    assert relays.lost(A, 2.0) and not relays.lost(A, 2.0)
    asked = relays.next(2.0)
    assert asked is not None and asked[0] == C


def test_a_reservation_is_renewed_before_it_ends_and_gone_at_its_end() -> None:
    relays = Relays([(A, (ADDR,))])
    made = relays.took(A, _grant(3600), RelayLimit(), 100.0, WALL)
    assert (made.renew_at, made.ends_at) == (100.0 + 3480, 100.0 + 3600)
    assert relays.next(3579.0) is None
    assert relays.next(3581.0) == (A, (ADDR,))
    relays.failed(A, 3581.0)
    assert relays.next(3582.0) is None, "it rests before it is asked again"
    assert relays.next(3581.0 + FIXED_REST) == (A, (ADDR,)) and A in relays.reservations
    assert relays.expire(3701.0) == [A] and not relays.reservations


def test_a_relay_that_refuses_rests_an_hour_and_one_of_the_config_less() -> None:
    relays = Relays()
    relays.named(A, [ADDR], 0.0)
    relays.failed(A, 0.0)
    relays.named(A, [ADDR], REST - 1.0)
    assert relays.next(REST - 1.0) is None and relays.next(REST) is not None
    fixed = Relays([(A, (ADDR,))])
    fixed.named(B, [ADDR], 0.0)
    fixed.failed(A, 0.0)
    assert fixed.next(FIXED_REST) == (A, (ADDR,)), "and no other one is used"
    fixed.failed(A, FIXED_REST)
    assert fixed.next(2 * FIXED_REST) is None and fixed.next(3 * FIXED_REST) is not None


def test_candidates_are_bounded_and_grow_old() -> None:
    relays = Relays()
    for number in range(3 * MAX_CANDIDATES):
        relays.named(_peer(number), [ADDR], 0.0)
    asked = relays.next(0.0)
    assert asked is not None and asked[0] == _peer(2 * MAX_CANDIDATES)
    assert relays.next(CANDIDATE_FOR) is None and relays.wants_candidates


@pytest.mark.parametrize("seconds", [-10_000.0, 0.0, 20.0])
def test_a_reservation_that_ends_at_once_is_none(seconds: float) -> None:
    relays = Relays()
    with pytest.raises(RelayError, match="a clock is wrong, or the relay lies"):
        relays.took(A, _grant(seconds), RelayLimit(), 0.0, WALL)
    assert not relays.reservations


def test_a_reservation_for_ever_is_renewed_daily() -> None:
    made = Relays().took(A, Granted(2**63), RelayLimit(), 0.0, WALL)
    assert made.ends_at == MOST_LIFE


def test_answers_are_read_or_refused_in_words() -> None:
    grant, limit = _grant(), RelayLimit(120, 1 << 17)
    answer = HopMessage(HopType.STATUS, granted=grant, limit=limit, status=Status.OK)
    assert granted(HopMessage.decode(answer.encode())) == (grant, limit)
    assert connected(answer) == limit and connected(HopMessage(HopType.STATUS, status=100)) == RelayLimit()
    with pytest.raises(Refused, match="no reservation there"):
        connected(HopMessage(HopType.STATUS, status=Status.NO_RESERVATION))
    with pytest.raises(Refused, match="answers 999"):
        granted(HopMessage(HopType.STATUS, status=999))
    with pytest.raises(RelayError, match="no status"):
        granted(HopMessage(HopType.CONNECT, status=Status.OK))
    with pytest.raises(RelayError, match="without its end"):
        granted(HopMessage(HopType.STATUS, status=Status.OK))


def test_a_voucher_is_read_and_one_of_another_signer_is_not() -> None:
    key = PrivateKey.generate_ed25519(random.Random(1).randbytes)
    voucher = Voucher(key.peer_id, B, 7)
    assert open_voucher(seal_voucher(key, voucher)) == voucher
    with pytest.raises(RelayError, match="did not sign"):
        open_voucher(seal_voucher(key, Voucher(B, B, 7)))


def test_a_relayed_address_is_taken_apart() -> None:
    addr = through(A, ADDR)
    assert str(addr) == f"{ADDR}/p2p/{A}/p2p-circuit" and is_relayed(addr) and not is_relayed(ADDR)
    for one in (addr, addr.with_peer(B.multihash)):
        found = circuit_of(one)
        assert found is not None and (found.relay, found.addr) == (A, ADDR)
    bare = circuit_of(Multiaddr.parse(f"/p2p/{A}/p2p-circuit/p2p/{B}"))
    assert bare is not None and bare.relay == A and not bare.addr.components


@pytest.mark.parametrize(
    "text",
    [
        "/p2p-circuit",
        "/ip4/9.9.9.9/tcp/1/p2p-circuit",
        f"/ip4/9.9.9.9/tcp/1/p2p/{A}",
        f"/ip4/9.9.9.9/tcp/1/p2p/{A}/p2p-circuit/p2p/{B}/p2p-circuit",
        f"/ip4/9.9.9.9/tcp/1/p2p/{A}/p2p/{B}/p2p-circuit",
        f"/ip4/9.9.9.9/tcp/1/p2p/{A}/p2p-circuit/ip4/10.0.0.1/tcp/1",
    ],
)
def test_what_is_not_relayed_once_is_none(text: str) -> None:
    assert circuit_of(Multiaddr.parse(text)) is None


def test_limited_connections_see_few_handlers() -> None:
    seen = Allowed({identify.PROTOCOL: 1, "/ipfs/bitswap/1.2.0": 2})
    assert list(seen) == [identify.PROTOCOL] and len(seen) == 1
    assert "/ipfs/bitswap/1.2.0" not in seen and seen[identify.PROTOCOL] == 1
