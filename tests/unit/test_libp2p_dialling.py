"""Dialling: addresses raced, failures remembered, waits from round trips. In virtual time, without sockets."""

import asyncio

import pytest

from cidery.errors import Unavailable
from cidery.identity.peer_id import PeerId
from cidery.libp2p.io.dial_errors import DialFailed
from cidery.libp2p.io.peer_dial import MAX_ADDRS, MAX_RACED, OLD, PeerDial, StillDialling
from cidery.libp2p.io.peer_store import (
    BACKOFF_BASE,
    BACKOFF_CEILING,
    MAX_ADDRS_PER_PEER,
    MAX_NETS,
    MAX_PEERS,
    PeerStore,
)
from cidery.libp2p.protocols.pending import Pending
from cidery.libp2p.protocols.timeouts import CEILING, RoundTrip, Timeouts
from cidery.multiformats.multiaddr import Multiaddr
from cidery.multiformats.multihash import SHA2_256, multihash
from cidery.testing.virtual_clock import run_virtual

PEER = PeerId(multihash(SHA2_256, b"peer"))


def addr(number: int) -> Multiaddr:
    return Multiaddr.tcp("10.0.0.1", number)


class FakeConnection:
    """What a dial sees of a connection: that it can be closed."""

    def __init__(self) -> None:
        self.closed = ""

    def close(self, reason: str) -> None:
        self.closed = reason


def dialling(plan: dict[Multiaddr, tuple[float, object]]):
    """Addresses that answer after a delay, with a connection or an error."""
    made: dict[Multiaddr, FakeConnection] = {}
    began: list[Multiaddr] = []

    async def dial(target: Multiaddr, begun):
        began.append(target)
        begun()
        delay, error = plan[target]
        await asyncio.sleep(delay)
        if isinstance(error, Exception):
            raise error
        made[target] = FakeConnection()
        return made[target]

    return dial, made, began


def dialled(addrs, start, on_failure=lambda _: None, places: int = 100, pending=None) -> PeerDial:
    dial = PeerDial(
        PEER,
        start,
        early=lambda _: 9.0,
        on_failure=on_failure,
        pending=Pending(places) if pending is None else pending,
        clock=asyncio.get_running_loop().time,
    )
    dial.add(addrs)
    return dial


def test_the_first_good_address_wins_at_once():
    async def main():
        slow, broken, good = addr(1), addr(2), addr(3)
        dial, made, _ = dialling(
            {slow: (100, None), broken: (0.1, OSError(111, "Connection refused")), good: (1, None)}
        )
        failed = []
        winner = await dialled([slow, broken, good], dial, failed.append).run()
        assert winner is made[good] and failed == [broken] and asyncio.get_running_loop().time() == 1.0
        await asyncio.sleep(200)
        assert slow not in made

    run_virtual(main())


def test_two_that_arrive_together_leave_one():
    async def main():
        dial, made, _ = dialling({addr(1): (1, None), addr(2): (1, None)})
        winner = await dialled([addr(1), addr(2)], dial).run()
        await asyncio.sleep(1)
        assert [c.closed for c in made.values() if c is not winner] == ["another address was faster"]
        assert not winner.closed

    run_virtual(main())


def test_a_cancelled_race_leaves_no_connection_behind():
    async def main():
        dial, made, _ = dialling({addr(1): (1.0, None), addr(2): (5, None)})
        racing = asyncio.ensure_future(dialled([addr(1), addr(2)], dial).run())
        asyncio.get_running_loop().call_later(1.0, racing.cancel)
        with pytest.raises(asyncio.CancelledError):
            await racing
        await asyncio.sleep(10)
        assert all(connection.closed for connection in made.values())

    run_virtual(main())


def test_addresses_beyond_the_bound_wait_for_the_first_to_fail_or_to_be_old():
    async def main():
        count = 2 * MAX_RACED + 5
        plan = {addr(at + 1): (0.1 * OLD, Unavailable("no")) if at < 5 else (1000, None) for at in range(count)}
        dial, _, began = dialling(plan)
        racing = asyncio.ensure_future(dialled(list(plan), dial).run())
        for after, expected in ((0.05, MAX_RACED), (0.2, MAX_RACED + 5), (1.05, 2 * MAX_RACED), (1.15, count)):
            await asyncio.sleep(after * OLD - asyncio.get_running_loop().time())
            assert len(began) == expected
        racing.cancel()
        await asyncio.gather(racing, return_exceptions=True)

    run_virtual(main())


def test_all_failures_are_reported():
    async def main():
        count = MAX_RACED + 5
        dial, _, _ = dialling({addr(at + 1): (1 + at, Unavailable("no")) for at in range(count)})
        with pytest.raises(DialFailed) as caught:
            await dialled([addr(at + 1) for at in range(count)], dial).run()
        assert len(caught.value.failures) == count and "and 17 more" in str(caught.value)

    run_virtual(main())


def test_one_live_address_among_a_hundred_dead_ones_is_found_within_seconds():
    async def main():
        plan = {addr(at): (1e6, None) for at in range(1, 101)} | {addr(101): (0.2, None)}
        dial, made, began = dialling(plan)
        failed = []
        winner = await dialled(list(plan), dial, failed.append).run()
        assert winner is made[addr(101)] and len(began) == 101 and failed == []
        assert asyncio.get_running_loop().time() < 8.0

    run_virtual(main())


def test_who_can_do_without_goes_on_and_who_waits_gets_the_connection():
    async def main():
        now = asyncio.get_running_loop().time
        dial, made, _ = dialling({addr(1): (3600.0, None), addr(2): (0.5, OSError(111, "Connection refused"))})
        dialling_it = dialled([addr(1), addr(2)], dial)
        task = asyncio.ensure_future(dialling_it.run())
        patient = asyncio.ensure_future(dialling_it.wait(task, patient=True))
        for expected in (9.0, 9.0):  # the second time it is known to be late already
            with pytest.raises(StillDialling, match="tcp/1: no answer yet; it is still being dialled"):
                await dialling_it.wait(task, patient=False)
            assert now() == expected
        assert await patient is made[addr(1)] and now() == 3600.0

    run_virtual(main())


def test_an_address_learned_during_the_dial_joins_it():
    async def main():
        dial, made, _ = dialling({addr(1): (1e6, None), addr(2): (1.0, None)})
        dialling_it = dialled([addr(1)], dial)
        task = asyncio.ensure_future(dialling_it.run())
        await asyncio.sleep(100)
        dialling_it.add([addr(2), addr(1)])
        assert await dialling_it.wait(task, patient=False) is made[addr(2)] and dialling_it.over
        assert asyncio.get_running_loop().time() == 101.0

    run_virtual(main())


def test_lies_about_a_peer_do_not_hide_its_true_address():
    async def main():
        plan = {addr(at): (1e6, None) for at in range(1, 2 * MAX_ADDRS)} | {addr(5000): (1.0, None)}
        dial, made, _ = dialling(plan)
        dialling_it = dialled([addr(at) for at in range(1, MAX_ADDRS + 1)], dial, places=64)
        task = asyncio.ensure_future(dialling_it.run())
        await asyncio.sleep(30)
        dialling_it.add([addr(5000)])
        assert await dialling_it.wait(task, patient=False) is made[addr(5000)]

    run_virtual(main())


def test_what_is_pending_has_places_and_those_that_somebody_waits_for_keep_theirs():
    async def main():
        pending, failed = Pending(4), []
        dial, _, _ = dialling({addr(at): (1e6, None) for at in range(1, 9)})
        wanted, others = (
            dialled([addr(at) for at in some], dial, failed.append, pending=pending)
            for some in ((1, 2), (3, 4, 5, 6, 7))
        )
        tasks = [asyncio.ensure_future(one.run()) for one in (wanted, others)]
        waiting = asyncio.ensure_future(wanted.wait(tasks[0], patient=True))
        await asyncio.sleep(2 * OLD)
        assert failed == [addr(3), addr(4), addr(5)] and len(pending) == 4
        waiting.cancel()
        tasks[1].cancel()
        await asyncio.gather(waiting, tasks[1], return_exceptions=True)
        assert len(pending) == 2 and not tasks[0].done()
        tasks[0].cancel()

    run_virtual(main())


def test_the_one_who_holds_most_places_loses_his_oldest():
    pending: Pending[int] = Pending(4)
    for thing, group in enumerate("abbab"):
        assert pending.surplus() is None
        pending.add(thing, group)
    assert pending.surplus() == 1 and 1 not in pending and pending.surplus() is None
    pending.add(5, "a")
    assert pending.surplus(lambda thing: thing in (0, 3, 5)) == 2
    pending.discard(2)
    assert len(pending) == 4


def test_of_the_one_who_holds_most_those_that_are_rather_to_end_go_first():
    pending: Pending[int] = Pending(4)
    for thing, group in enumerate("aabab"):
        pending.add(thing, group)
    assert pending.surplus(rather=lambda thing: thing in (2, 3, 4)) == 3, "2 is another's"
    pending.add(5, "a")
    assert pending.surplus(rather=lambda thing: False) == 0 and list(pending) == [1, 2, 4, 5]


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


def test_strangers_that_told_no_address_are_forgotten_when_they_leave_and_drive_out_nobody():
    store = PeerStore(lambda: 0.0)
    store.add_addrs(PEER, [addr(1)])
    for at in range(2 * MAX_PEERS):
        stranger = PeerId(at.to_bytes(4, "big"))
        store.know(stranger).agent = "stranger/1"
        store.parted(stranger)
    store.parted(PEER)
    store.parted(PeerId(b"never met"))
    assert store.addrs(PEER) == [addr(1)] and store.get(PeerId(bytes(4))) is None


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


def test_distances_are_remembered_by_peer_and_by_net_across_restarts_within_bounds():
    rows: dict[bytes, bytes] = {}

    class Table:
        def load(self):
            return list(rows.items())

        def save(self, items):
            rows.update(items)

    store, other = PeerStore(lambda: 0.0, Table()), PeerId(multihash(SHA2_256, b"other"))
    assert store.round_trip(PEER, addr(1)) is None
    store.add_addrs(PEER, [addr(1)])
    store.note_round_trip(PEER, addr(1), 2640.0)
    store.save()
    again = PeerStore(lambda: 0.0, Table())
    assert again.round_trip(PEER, addr(1)) == again.round_trip(other, addr(7)) == 2640.0
    assert again.round_trip(other, Multiaddr.tcp("10.9.0.1", 1)) is None
    again.note_round_trip(other, addr(7), 0.1)  # the nearest of a net counts at once, a farther one hardly
    again.note_round_trip(PEER, addr(1), 2640.0)
    assert again.round_trip(PeerId(multihash(SHA2_256, b"third")), addr(9)) == pytest.approx(330, abs=1)
    for number in range(MAX_NETS + 1):
        again.note_round_trip(other, Multiaddr.tcp(f"{20 + number // 256}.{number % 256}.0.1", 1), 1.0)
    assert len(again._nets) == MAX_NETS and again.round_trip(PeerId(b"4"), addr(9)) is None
    for nonsense in (
        b'{"addrs": [], "agent": "", "round_trip": "x"}',
        b'{"addrs": [], "agent": "", "round_trip": 1e9}',
    ):
        rows[PEER.multihash] = nonsense
        assert PeerStore(lambda: 0.0, Table()).round_trip(PEER, addr(1)) is None


def test_every_wait_is_a_base_and_measured_round_trips():
    waits = Timeouts()
    assert waits.wait(10.0, 0.5) == 12.0 and waits.wait(10.0, None) == 14.0
    assert waits.wait(10.0, 1e9) == CEILING
    assert waits.dial(None) == 9.0 and waits.dial(10.0) == 85.0


def test_a_round_trip_is_smoothed_and_its_least_is_kept():
    trip = RoundTrip()
    trip.sample(1.0)
    trip.sample(0.2)
    assert trip.smoothed == pytest.approx(0.9) and trip.least == 0.2
