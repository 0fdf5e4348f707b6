"""What a relay permits, with its limits, in virtual time."""

import random

import pytest

from cidery.identity.keys import PrivateKey
from cidery.identity.peer_id import PeerId
from cidery.libp2p.protocols.relay_messages import RelayLimit, Status
from cidery.libp2p.protocols.relay_server import MAX_CONNECTS_A_MINUTE, RelayDesk, RelayLimits
from cidery.multiformats.multiaddr import Multiaddr

PEERS = [PrivateKey.generate_ed25519(random.Random(number).randbytes).peer_id for number in range(60)]
US, FRIEND, A, B, C, *MORE = PEERS


def _at(text: str) -> bytes:
    return Multiaddr.parse(text).encode()


def _desk(**limits: int) -> RelayDesk:
    return RelayDesk(RelayLimits()._replace(**limits), lambda peer: peer == FRIEND)


def _fill(desk: RelayDesk, peers: list[PeerId], form: str) -> list[Status]:
    return [desk.reserve(peer, _at(form.format(number)), 0.0) for number, peer in enumerate(peers, 1)]


def test_kubos_limits_are_the_defaults() -> None:
    assert RelayLimits() == (120, 131072, 3600, 128, 16, 2048, 8, 32)
    assert _desk().limit_for(A) == RelayLimit(120, 131072) and _desk().limit_for(FRIEND) is None


def test_a_reservation_holds_its_time_and_ends_with_the_connection() -> None:
    desk = _desk()
    assert desk.reserve(A, _at("/ip4/9.9.9.9/tcp/1"), 0.0) is Status.OK
    assert desk.connect(B, A, US, 3599.0) is Status.OK
    assert desk.connect(C, A, US, 3600.0) is Status.NO_RESERVATION
    assert desk.reserve(A, _at("/ip4/9.9.9.9/tcp/1"), 3600.0) is Status.OK
    desk.gone(A)
    assert desk.connect(C, A, US, 3601.0) is Status.NO_RESERVATION and desk.reserved(3601.0) == []


@pytest.mark.parametrize(
    ("form", "limits", "fit"),
    [
        ("/ip4/9.9.9.9/tcp/{}", {}, 8),
        ("/ip4/9.9.9.{}/tcp/1", {"reservations": 5}, 5),
        ("/ip6/2a00:1450:{}::1/tcp/1", {}, 32),
        ("/ip6/2a00:1450:1:1::{}/tcp/1", {}, 8),
        ("/ip4/9.9.9.{}/tcp/1", {}, 40),
    ],
)
def test_reservations_are_limited_in_all_by_address_and_by_net(form: str, limits: dict[str, int], fit: int) -> None:
    desk = _desk(**limits)
    answers = _fill(desk, MORE[:40], form)
    assert answers == [Status.OK] * fit + [Status.RESERVATION_REFUSED] * (40 - fit)
    assert desk.reserve(FRIEND, _at(form.format(1)), 0.0) is Status.OK, "a friend always fits"
    assert desk.reserve(MORE[0], _at(form.format(1)), 1.0) is Status.OK, "and who has one may renew it"


def test_circuits_of_one_peer_are_limited_on_either_end() -> None:
    desk = _desk(circuits=2)
    for number, peer in enumerate((A, B, C), 1):
        desk.reserve(peer, _at(f"/ip4/9.9.9.{number}/tcp/1"), 0.0)
    assert [desk.connect(MORE[n], A, US, 1.0) for n in range(3)] == [Status.OK, Status.OK, Status.RESOURCE_LIMIT]
    assert desk.connect(MORE[5], B, US, 1.0) is Status.OK and desk.connect(MORE[5], C, US, 1.0) is Status.OK
    assert desk.connect(MORE[5], B, US, 1.0) is Status.RESOURCE_LIMIT and desk.circuits == 4
    desk.end(MORE[0], A)
    assert desk.connect(MORE[2], A, US, 1.0) is Status.OK and desk.circuits == 4


def test_loops_are_refused() -> None:
    desk = _desk()
    desk.reserve(A, _at("/ip4/9.9.9.9/tcp/1"), 0.0)
    assert desk.reserve(B, _at("/ip4/9.9.9.8/tcp/1"), 0.0, relayed=True) is Status.PERMISSION_DENIED
    assert desk.reserve(B, None, 0.0) is Status.PERMISSION_DENIED
    assert desk.connect(B, A, US, 0.0, relayed=True) is Status.PERMISSION_DENIED
    assert desk.connect(A, A, US, 0.0) is Status.PERMISSION_DENIED
    assert desk.connect(B, US, US, 0.0) is Status.PERMISSION_DENIED


def test_a_peer_that_asks_without_end_is_refused_for_a_while() -> None:
    desk = _desk()
    for _ in range(MAX_CONNECTS_A_MINUTE):
        assert desk.connect(B, A, US, 0.0) is Status.NO_RESERVATION
    assert desk.connect(B, A, US, 1.0) is Status.RESOURCE_LIMIT
    assert desk.connect(C, A, US, 1.0) is Status.NO_RESERVATION
    assert desk.connect(B, A, US, 61.0) is Status.NO_RESERVATION
