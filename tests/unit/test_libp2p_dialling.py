"""Dialling: addresses raced, failures remembered, waits from round trips. In virtual time, without sockets."""

import asyncio

import pytest

from cidery.errors import Unavailable
from cidery.identity.peer_id import PeerId
from cidery.libp2p.io.dial import MAX_RACED, DialFailed, race
from cidery.libp2p.io.peer_store import BACKOFF_BASE, BACKOFF_CEILING, MAX_ADDRS_PER_PEER, MAX_PEERS, PeerStore
from cidery.libp2p.protocols.timeouts import CEILING, RoundTrip, Timeouts
from cidery.multiformats.multiaddr import Multiaddr
from cidery.multiformats.multihash import SHA2_256, multihash
from cidery.testing.virtual_clock import run_virtual

PEER = PeerId(multihash(SHA2_256, b"peer"))


def addr(number: int) -> Multiaddr:
    return Multiaddr.tcp("10.0.0.1", number)


class FakeConnection:
    """What race() sees of a connection: that it can be closed."""

    def __init__(self) -> None:
        self.closed = ""

    def close(self, reason: str) -> None:
        self.closed = reason


def dialling(plan: dict[Multiaddr, tuple[float, object]]):
    """Addresses that answer after a delay, with a connection or an error."""
    made: dict[Multiaddr, FakeConnection] = {}
    began: list[Multiaddr] = []

    def dial(target: Multiaddr) -> asyncio.Future:
        async def go():
            began.append(target)
            delay, error = plan[target]
            await asyncio.sleep(delay)
            if isinstance(error, Exception):
                raise error
            made[target] = FakeConnection()
            return made[target]

        return asyncio.ensure_future(go())

    return dial, made, began


def test_the_first_good_address_wins_at_once():
    async def main():
        slow, broken, good = addr(1), addr(2), addr(3)
        dial, made, _ = dialling(
            {slow: (100, None), broken: (0.1, OSError(111, "Connection refused")), good: (1, None)}
        )
        failed = []
        winner = await race(PEER, [slow, broken, good], dial, failed.append)
        assert winner is made[good] and failed == [broken] and asyncio.get_running_loop().time() == 1.0
        await asyncio.sleep(200)
        assert slow not in made

    run_virtual(main())


def test_two_that_arrive_together_leave_one():
    async def main():
        dial, made, _ = dialling({addr(1): (1, None), addr(2): (1, None)})
        winner = await race(PEER, [addr(1), addr(2)], dial, print)
        await asyncio.sleep(1)
        assert [c.closed for c in made.values() if c is not winner] == ["another address was faster"]
        assert not winner.closed

    run_virtual(main())


def test_a_cancelled_race_leaves_no_connection_behind():
    async def main():
        dial, made, _ = dialling({addr(1): (1.0, None), addr(2): (5, None)})
        racing = asyncio.ensure_future(race(PEER, [addr(1), addr(2)], dial, print))
        asyncio.get_running_loop().call_later(1.0, racing.cancel)
        with pytest.raises(asyncio.CancelledError):
            await racing
        await asyncio.sleep(10)
        assert all(connection.closed for connection in made.values())

    run_virtual(main())


def test_addresses_beyond_the_bound_wait_for_the_first_to_fail():
    async def main():
        count = MAX_RACED + 5
        dial, _, began = dialling({addr(at + 1): (1 + at, Unavailable("no")) for at in range(count)})
        racing = asyncio.ensure_future(race(PEER, [addr(at + 1) for at in range(count)], dial, lambda _: None))
        await asyncio.sleep(0.5)
        assert len(began) == MAX_RACED
        with pytest.raises(DialFailed) as caught:
            await racing
        assert len(caught.value.failures) == count and "and 17 more" in str(caught.value)

    run_virtual(main())


def test_failures_are_named_by_address_and_reason():
    failed = DialFailed(PEER, [(addr(1), "timed out"), (addr(2), "connection refused")])
    assert str(failed) == (
        f"cannot reach peer {PEER}: /ip4/10.0.0.1/tcp/1: timed out; /ip4/10.0.0.1/tcp/2: connection refused"
    )
    assert "no address" in str(DialFailed(PEER, []))


def test_an_address_rests_after_each_failure_longer_and_is_used_when_nothing_else_is_left():
    clock = [0.0]
    store = PeerStore(lambda: clock[0])
    store.add_addrs(PEER, [addr(1), addr(2)])
    store.dial_failed(addr(1))
    assert store.addrs(PEER) == [addr(2)]
    store.dial_failed(addr(2))
    assert store.addrs(PEER) == [addr(1), addr(2)]
    clock[0] = BACKOFF_BASE
    assert store.addrs(PEER) == [addr(1), addr(2)]
    for _ in range(20):
        store.dial_failed(addr(1))
    clock[0] += BACKOFF_CEILING - 1
    assert store.addrs(PEER) == [addr(2)]
    store.dial_succeeded(addr(1))
    assert store.addrs(PEER) == [addr(1), addr(2)]


def test_the_peer_store_is_bounded_and_keeps_trusted_addresses_first():
    store = PeerStore(lambda: 0.0)
    store.add_addrs(PEER, [addr(at) for at in range(1, 100)])
    store.add_addrs(PEER, [addr(500)], trusted=True)
    assert len(store.addrs(PEER)) == MAX_ADDRS_PER_PEER and store.addrs(PEER)[0] == addr(500)
    for at in range(MAX_PEERS):
        store.know(PeerId(at.to_bytes(4, "big")))
    assert store.get(PEER) is None


def test_peers_survive_a_restart_and_damaged_rows_do_not_matter():
    rows: dict[bytes, bytes] = {b"garbage": b"{}", PEER.multihash: b"not json"}

    class Table:
        def load(self):
            return list(rows.items())

        def save(self, items):
            rows.update(items)

    store = PeerStore(lambda: 0.0, Table())
    assert store.addrs(PEER) == []
    store.add_addrs(PEER, [addr(1)])
    store.save()
    assert PeerStore(lambda: 0.0, Table()).addrs(PEER) == [addr(1)]


def test_every_wait_is_a_base_and_measured_round_trips():
    waits = Timeouts()
    assert waits.wait(10.0, 0.5) == 12.0 and waits.wait(10.0, None) == 14.0
    assert waits.wait(10.0, 1e9) == CEILING


def test_a_round_trip_is_smoothed_and_its_least_is_kept():
    trip = RoundTrip()
    trip.sample(1.0)
    trip.sample(0.2)
    assert trip.smoothed == pytest.approx(0.9) and trip.least == 0.2
