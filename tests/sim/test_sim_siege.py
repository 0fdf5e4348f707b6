"""Peers that want to cost more than their share: what each budget of a connection or a peer does to them."""

import asyncio

import pytest
from attacker import Attacker, message
from test_sim_hostile_peers import besieged, carried, connection_of, held
from test_sim_transfers import now

from cidery.bitswap.message import ITEM_COST, MESSAGE_COST, PROTOCOL_1_2, Entry, Message
from cidery.budgets import (
    BITSWAP_READING,
    BITSWAP_WORK,
    DHT_REQUESTS,
    IDENTIFICATIONS,
    RECEIVED,
    RECEIVED_IN_ALL,
    SMALL_FRAMES,
    STREAMS_OPENED,
)
from cidery.libp2p.io.shares import LOOK_AFTER, ConnectionRates
from cidery.libp2p.protocols import identify
from cidery.libp2p.protocols.muxed_stream import EAGER
from cidery.libp2p.protocols.yamux import DATA, FIN, HEADER, PING, SYN, WINDOW_UPDATE
from cidery.libp2p.protocols.yamux_stream import INITIAL_WINDOW
from cidery.multiformats.cid import CID
from cidery.multiformats.protobuf import bytes_field
from cidery.testing.virtual_clock import run_virtual

__all__ = ["carried"]  # a fixture that every test uses
ROOM = INITIAL_WINDOW - 1024
"""Bytes that fit into a new stream's window beside the negotiation."""


def wire(sent: Message) -> bytes:
    return b"".join(bytes(part) for part in sent.encode())


@pytest.mark.parametrize("flood", [bytes(ROOM), b"\x02\x28\x00" * (ROOM // 3)], ids=["empty", "small"])
def test_floods_of_empty_and_small_messages_hold_a_bounded_amount_of_memory(flood):
    async def main():
        async with besieged() as (network, victim):
            attacker = await Attacker.upgraded(network, victim)
            await asyncio.sleep(0.1)
            for at in range(BITSWAP_READING.amount):
                attacker.open(2 * at + 1, PROTOCOL_1_2, flood)
            connection = connection_of(victim, attacker)
            for _ in range(100):
                await asyncio.sleep(0.005)
                uncut = sum(sum(map(len, s.uncut)) for s in connection._mux.streams.values())
                messages = sum(len(s.messages) for s in connection._mux.streams.values())
                assert held(connection) + uncut < 32 * INITIAL_WINDOW + messages * 16_500
            await asyncio.sleep(2)
            assert not connection.closed.done() and (held(connection) == 0) is (flood == bytes(ROOM))

    run_virtual(main())


def test_small_messages_are_read_at_the_rate_of_a_peer():
    async def main():
        async with besieged() as (network, victim):
            attacker = await Attacker.upgraded(network, victim)
            began = now()
            attacker.open(1, PROTOCOL_1_2, b"\x02\x28\x00" * (ROOM // 3), fin=True)
            while victim.network.bitswap.messages_received < ROOM // 3:
                await asyncio.sleep(0.1)
            cost = (ROOM // 3) * (MESSAGE_COST + 1)
            assert now() - began >= (cost - BITSWAP_WORK.burst) / BITSWAP_WORK.amount

    run_virtual(main())


def test_wants_cancelled_and_sent_again_are_read_at_the_rate_of_a_peer_and_others_are_served():
    async def main():
        async with besieged() as (network, victim):
            attacker = await Attacker.upgraded(network, victim)
            cids = [CID.of(b"%d" % at) for at in range(1000)]
            entries = [Entry(cid) for cid in cids] + [Entry(cid, cancel=True) for cid in cids]
            for at in range(200):
                attacker.open(2 * at + 1, PROTOCOL_1_2, message(wire(Message(entries=entries))), fin=True)
            await asyncio.sleep(1)
            # at a want's least cost the burst and a second are far less than what came
            most = (BITSWAP_WORK.burst + 2 * BITSWAP_WORK.amount) / (len(entries) * ITEM_COST)
            assert victim.network.bitswap.messages_received < most <= 50

    run_virtual(main())


def test_unknown_fields_within_a_want_end_the_stream():
    async def main():
        async with besieged() as (network, victim):
            attacker = await Attacker.upgraded(network, victim)
            want = bytes_field(1, b"\x78\x00" * 100)
            attacker.open(1, PROTOCOL_1_2, message(bytes_field(1, want)))
            await asyncio.sleep(1)
            assert attacker.was_reset(1) and not attacker.lost.done()

    run_virtual(main())


def parked(network, victim, count: int):
    """Peers that open many streams and park on each what its window takes."""

    async def park(number: int) -> Attacker:
        attacker = await Attacker.upgraded(network, victim, number)
        await asyncio.sleep(0.1)
        for at in range(150):
            attacker.open(2 * at + 1, PROTOCOL_1_2, b"\xff\xff\xff\x01" + bytes(range(256)) * (ROOM // 256))
        await asyncio.sleep(0.1)
        return attacker

    return [park(100 + at) for at in range(count)]


def test_what_one_peer_parks_is_bounded_and_what_all_park_ends_the_one_that_parks_most():
    async def main():
        async with besieged() as (network, victim):
            attackers = [await one for one in parked(network, victim, 5)]
            all_held = [connection.held() for connection in victim.connections]
            assert max(all_held) <= RECEIVED.amount
            # what was announced since the last look comes on top
            late = len(all_held) * (LOOK_AFTER + BITSWAP_READING.amount * EAGER)
            assert sum(all_held) <= RECEIVED_IN_ALL.amount + late
            assert any(attacker.lost.done() for attacker in attackers)
            ended = connection_of(victim, next(one for one in attackers if not one.lost.done()))
            streams = list(ended._mux.streams.values())
            ended.close()
            await asyncio.sleep(0)  # until the handlers have ended
            assert sum(stream.unread for stream in streams) == 0  # now, not when the cycle collector comes by

    run_virtual(main())


def test_requests_of_the_dht_are_answered_at_the_rate_of_a_connection():
    clock = [0.0]
    rates, one, other = ConnectionRates(DHT_REQUESTS, lambda: clock[0]), Key(), Key()
    assert [rates.reserve(one) for _ in range(int(DHT_REQUESTS.burst))] == [0.0] * int(DHT_REQUESTS.burst)
    assert rates.reserve(one) > 0 and rates.reserve(other) == 0
    clock[0] = 1.0
    assert rates.reserve(one) == 0


class Key:
    """A connection."""


@pytest.mark.parametrize("protocol", [identify.PUSH_PROTOCOL, identify.PROTOCOL])
def test_identify_without_end_ends_the_connection(protocol):
    async def main():
        async with besieged() as (network, victim):
            attacker = await Attacker.upgraded(network, victim)
            said = message(next(iter(identify.Identify(b"", (), (), b"", "", "raider/1").messages())))
            await asyncio.sleep(1)
            for at in range(1, int(IDENTIFICATIONS.burst) + 20):
                attacker.open(2 * at + 1, protocol, said if protocol == identify.PUSH_PROTOCOL else b"", fin=True)
                await asyncio.sleep(0.01)
                if attacker.lost.done():
                    break
            assert IDENTIFICATIONS.burst - 1 <= at <= IDENTIFICATIONS.burst + 10

    run_virtual(main())


def test_identify_now_and_then_does_not():
    async def main():
        async with besieged() as (network, victim):
            attacker = await Attacker.upgraded(network, victim)
            for at in range(100):
                attacker.open(2 * at + 1, identify.PROTOCOL, fin=True)
                await asyncio.sleep(1.1)
            assert not attacker.lost.done()

    run_virtual(main())


@pytest.mark.parametrize(
    "small",
    [(WINDOW_UPDATE, 0, 1, 0), (DATA, 0, 1, 0), (PING, SYN, 0, 7)],
    ids=["window updates", "empty data", "pings"],
)
def test_small_frames_at_line_speed_end_the_connection(small):
    async def main():
        async with besieged() as (network, victim):
            attacker = await Attacker.upgraded(network, victim)
            attacker.open(1, PROTOCOL_1_2)
            for _ in range(int(SMALL_FRAMES.burst) // 500 - 2):
                attacker.seal(HEADER.pack(0, *small) * 500)
            await asyncio.sleep(0.1)
            assert not attacker.lost.done()
            for _ in range(10):
                attacker.seal(HEADER.pack(0, *small) * 500)
            await asyncio.sleep(0.1)
            assert attacker.lost.done()

    run_virtual(main())


def test_streams_opened_at_line_speed_end_the_connection():
    async def main():
        async with besieged() as (network, victim):
            attacker = await Attacker.upgraded(network, victim)
            for at in range(int(STREAMS_OPENED.burst) + 1500):
                attacker.frame(WINDOW_UPDATE, SYN | FIN, 2 * at + 1, 0)
                if at % 100 == 0:
                    await asyncio.sleep(0.01)
            await asyncio.sleep(0.1)
            assert attacker.lost.done()

    run_virtual(main())
