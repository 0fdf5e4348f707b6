"""The rate of dials, with times that are given."""

import random

from cidery.budgets import DIALS, HOST_DIALS
from cidery.libp2p.protocols.dial_rate import MAX_HOSTS, DialRate
from cidery.multiformats.multiaddr import Multiaddr


def tcp(host: str, port: int = 4001) -> bytes:
    return Multiaddr.tcp(host, port).encode()


def begun(rate: DialRate, addrs: list[bytes], until: float) -> int:
    """How many of these dials, all wanted now, may begin until then."""
    return sum(rate.reserve(addr, 0.0) <= until for addr in addrs)


def test_one_host_is_dialled_so_often_whatever_ports_are_named() -> None:
    addrs = [tcp("81.1.0.1", port) for port in range(1, 400)]
    assert begun(DialRate(0.0), addrs, until=10.0) == HOST_DIALS.burst + 10 * HOST_DIALS.amount


def test_addresses_of_one_ipv6_machine_count_as_one_host() -> None:
    chance = random.Random(1)
    addrs = [tcp(f"2a01:4f8:1:2:{chance.randrange(1, 65535):x}::1") for _ in range(100)]
    assert begun(DialRate(0.0), addrs, until=1.0) == HOST_DIALS.burst + HOST_DIALS.amount


def test_many_hosts_are_dialled_so_often_in_all() -> None:
    addrs = [tcp(f"81.{n % 200}.{n // 200}.1") for n in range(3000)]
    assert begun(DialRate(0.0), addrs, until=2.0) == DIALS.burst + 2 * DIALS.amount


def test_a_host_that_waits_does_not_hold_up_others() -> None:
    rate = DialRate(0.0)
    assert begun(rate, [tcp("81.1.0.1")] * 200, until=0.0) == HOST_DIALS.burst
    assert rate.reserve(tcp("81.2.0.1"), 0.0) == 0.0


def test_a_turn_given_back_is_the_next_ones() -> None:
    rate, addr = DialRate(0.0), tcp("81.1.0.1")
    waits = [rate.reserve(addr, 0.0) for _ in range(100)]
    for _ in range(80):
        rate.give_back(addr)
    assert rate.reserve(addr, 0.0) == waits[20] > 0
    rate.give_back(tcp("81.9.0.1"))  # a host that is not counted any more


def test_tokens_come_back_with_time_up_to_the_burst() -> None:
    rate, addr = DialRate(0.0), tcp("81.1.0.1")
    assert begun(rate, [addr] * 12, until=0.0) == HOST_DIALS.burst
    assert rate.reserve(addr, 1000.0) == 0.0
    assert sum(rate.reserve(addr, 1000.0) == 0.0 for _ in range(100)) == HOST_DIALS.burst - 1


def test_this_machine_and_names_count_only_in_all() -> None:
    addrs = [tcp("127.0.0.1"), Multiaddr.parse("/dns4/example.org/tcp/1").encode()] * 1000
    assert begun(DialRate(0.0), addrs, until=0.0) == DIALS.burst


def test_hosts_are_forgotten_when_there_are_too_many() -> None:
    rate = DialRate(0.0)
    for n in range(2 * MAX_HOSTS):
        rate.reserve(tcp(f"81.{n // 250}.{n % 250}.1"), float(n))
    assert len(rate._hosts) == MAX_HOSTS
