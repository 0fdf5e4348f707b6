"""Whom a punch dials: nobody that the peer has no business to name."""

import random

import pytest

from cidery.identity.keys import PrivateKey
from cidery.libp2p.protocols.dcutr import MAX_ADDRS, MAX_MESSAGE, MAX_PUNCHED, DcutrError, HolePunch, PunchType, punched
from cidery.libp2p.protocols.relayed import through
from cidery.multiformats.multiaddr import Multiaddr

PEER = PrivateKey.generate_ed25519(random.Random(1).randbytes).peer_id


def _at(text: str) -> bytes:
    return Multiaddr.parse(text).encode()


def _relay(text: str) -> bytes:
    return through(PEER, Multiaddr.parse(text)).encode()


OFFERED = [
    _at("/ip4/127.0.0.1/tcp/5001"),
    _at("/ip4/192.168.1.1/tcp/80"),
    _at("/ip4/10.0.0.7/udp/53/quic-v1"),
    _at("/ip4/0.0.0.0/tcp/1"),
    _at("/ip4/224.0.0.1/tcp/1"),
    _at("/dns4/victim.example/tcp/443"),
    _relay("/ip4/9.9.9.9/tcp/4001"),
    _at("/ip4/81.2.3.4/tcp/4001"),
    _at(f"/ip4/81.2.3.4/udp/4001/quic-v1/p2p/{PEER}"),
    b"\xff\xff",
]


def test_behind_a_relay_of_the_internet_only_addresses_of_it_are_dialled() -> None:
    found = punched(OFFERED, _relay("/ip4/9.9.9.9/tcp/4001"), lambda _: True)
    assert list(map(str, found)) == ["/ip4/81.2.3.4/tcp/4001", "/ip4/81.2.3.4/udp/4001/quic-v1"]


def test_behind_a_relay_of_the_own_network_this_machine_is_not_dialled() -> None:
    found = list(map(str, punched(OFFERED, _relay("/ip4/192.168.1.9/tcp/4001"), lambda _: True)))
    assert "/ip4/192.168.1.1/tcp/80" in found and not any("127.0.0.1" in one or "dns" in one for one in found)


def test_few_addresses_are_dialled_and_only_those_that_a_transport_takes() -> None:
    many = [_at(f"/ip4/81.2.3.4/tcp/{port}") for port in range(1, 100)]
    relay = _relay("/ip4/9.9.9.9/tcp/4001")
    assert len(punched(many, relay, lambda _: True)) == MAX_PUNCHED
    assert punched(many, relay, lambda _: False) == []
    assert len(HolePunch.decode(HolePunch(PunchType.CONNECT, tuple(many)).encode()).addrs) == MAX_ADDRS


def test_messages_out_of_turn_or_too_long_are_refused() -> None:
    sync = HolePunch(PunchType.SYNC).encode()
    assert HolePunch.expected(sync, PunchType.SYNC).addrs == ()
    with pytest.raises(DcutrError, match="SYNC where CONNECT was expected"):
        HolePunch.expected(sync, PunchType.CONNECT)
    with pytest.raises(DcutrError, match="type 0"):
        HolePunch.expected(None, PunchType.CONNECT)
    with pytest.raises(DcutrError, match="longer than"):
        HolePunch.decode(bytes(MAX_MESSAGE + 1))
