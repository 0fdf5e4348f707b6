"""Peers that send nonsense, too much, or nothing: their stream or connection ends, others go on, memory is bounded."""

import asyncio
import logging
import random
from contextlib import asynccontextmanager

import pytest
from attacker import CARRIED, Attacker, message
from test_sim_transfers import blocks, blocks_from, fetch, now

from cidery.bitswap.engine import MAX_QUEUED_PER_PEER, MAX_WANTS_PER_PEER
from cidery.bitswap.message import PROTOCOL_1_2, Entry, Message
from cidery.bitswap.peer import MAX_READING, MAX_VERIFYING, MAX_WRONG
from cidery.core.reading.cat import cat
from cidery.errors import CideryError
from cidery.exchange.failures import NoSourceHasIt
from cidery.identity.keys import PrivateKey
from cidery.ipld import dag_pb
from cidery.ipld.block import Block
from cidery.libp2p.io.connection import Connection
from cidery.libp2p.io.dial_errors import DialFailed
from cidery.libp2p.io.upgraded import WRITE_HIGH_WATER
from cidery.libp2p.protocols import identify, multistream, ping
from cidery.libp2p.protocols.muxed_stream import EAGER, StreamReset
from cidery.libp2p.protocols.timeouts import CEILING
from cidery.libp2p.protocols.yamux import (
    ACK,
    DATA,
    FIN,
    GO_AWAY,
    HEADER,
    MAX_CONTROL,
    MAX_STREAMS,
    PING,
    RST,
    SYN,
    WINDOW_UPDATE,
)
from cidery.libp2p.protocols.yamux_stream import INITIAL_WINDOW
from cidery.multiformats.cid import CID
from cidery.multiformats.multiaddr import Multiaddr
from cidery.multiformats.multicodec import DAG_PB
from cidery.multiformats.protobuf import varint_field
from cidery.testing.host_line import HostLine
from cidery.testing.lab.hostile import EmptyStore
from cidery.testing.memory_network import Link, MemoryNetwork, seeded_entropy
from cidery.testing.memory_node import PORT, MemoryNode, memory_nodes, running
from cidery.testing.virtual_clock import run_virtual
from cidery.unixfs.data import NodeType, UnixFSData

WANTED = blocks(20)


@pytest.fixture(autouse=True, params=[False, True], ids=["tcp", "ws"])
def carried(request):
    """How peers are connected."""
    CARRIED.websocket = request.param
    yield
    CARRIED.websocket = False


@asynccontextmanager
async def besieged():
    """A victim with an honest friend; at the end the friend must still be served by the victim, at once."""
    network = MemoryNetwork(1, Link(0.01))
    async with memory_nodes(network, 2, websocket=CARRIED.websocket) as (victim, friend):
        await victim.put(WANTED)
        await friend.connect(victim)
        yield network, victim
        began = now()
        session = await fetch(friend, WANTED)
        assert blocks_from(session, victim) == len(WANTED) and now() - began < 5
        assert len(friend.connections) == 1


def connection_of(victim: MemoryNode, attacker: Attacker) -> Connection:
    return next(c for c in victim.connections if c.peer == attacker.key.peer_id)


def held(connection: Connection) -> int:
    """Bytes that one peer makes us hold, as far as it decides."""
    mux = connection._mux
    assert mux is not None
    streams = list(mux.streams.values())
    waiting = sum(len(s.inbox) + s.messages_bytes + len(s.target or b"") for s in streams)
    return waiting + sum(s.out_bytes for s in streams) + connection._transport.get_write_buffer_size()


# --- before a connection is upgraded


@pytest.mark.parametrize("steps", [0, 1, 2])
def test_silence_at_any_step_of_the_handshake_ends_in_the_end(steps):
    async def main():
        async with besieged() as (network, victim):
            attacker = await Attacker.dial(network, victim, steps=steps)
            await asyncio.sleep(3600)
            assert not attacker.lost.done()  # it may be far away
            await asyncio.wait_for(attacker.lost, CEILING)
            assert len(victim.network.swarm._handshakes) == 0 and len(victim.connections) == 1

    run_virtual(main())


@pytest.mark.parametrize(
    "garbage",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x00" * 100,
        bytes(random.Random(1).randbytes(5000)),
        multistream.encode_line(multistream.HEADER) + b"\xff\xff\xff\xff",
        multistream.optimistic_opening("/noise") + b"\x00\x05hello",
        multistream.optimistic_opening("/noise") + b"\xff\xff" + bytes(65535),
        multistream.optimistic_opening("/noise") + b"\x00\x20" + bytes(32),
        multistream.optimistic_opening("/tls/1.0.0") + bytes(200),
        multistream.encode_line(multistream.HEADER) + multistream.encode_line("/no") * 100,
    ],
    ids=range(9),
)
def test_garbage_before_authentication_ends_the_connection_at_once(garbage):
    async def main():
        async with besieged() as (network, victim):
            attacker = await Attacker.dial(network, victim, steps=0)
            attacker.transport.write(garbage)
            await asyncio.wait_for(attacker.lost, 20)
            assert len(victim.connections) == 1
            (friend,) = victim.connections
            assert len(friend.config.received) == 1, "a connection is held after its end"

    run_virtual(main())


def test_a_flood_of_connections_in_handshake_is_bounded(caplog):
    async def main():
        async with besieged() as (network, victim):
            limit = victim.network.swarm.config.max_pending_inbound
            slow = await Attacker.dial(network, victim, 1, steps=0)  # a host of its own: the far honest peer
            attackers = [await Attacker.dial(network, victim, 2, steps=0) for _ in range(limit + 30)]
            await asyncio.sleep(1)
            assert [a.lost.done() for a in attackers] == [True] * 31 + [False] * (limit - 1)
            assert len(victim.network.swarm._handshakes) == limit and not slow.lost.done()
            (friend,) = victim.connections
            await asyncio.sleep(20)
            assert victim.connections == [friend] and not slow.lost.done()
            await asyncio.sleep(60)
            lines = [one.message for one in caplog.records if "beyond the budgets" in one.message]
            assert lines == ["beyond the budgets in the last minute: 31 inbound handshakes ended for others"]

    run_virtual(main())


def test_a_listener_that_says_nothing_is_given_up_by_the_dialler():
    async def main():
        async with besieged() as (network, victim):
            await network.host("10.0.9.9").listen(asyncio.Protocol, "10.0.9.9", PORT)
            silent, bare = Attacker(), Multiaddr.tcp("10.0.9.9", PORT)
            began = now()
            with pytest.raises(DialFailed, match="did not finish the handshake"):
                await victim.network.connect(bare.with_peer(silent.key.peer_id.multihash))
            assert now() - began < 130
            began = now()
            with pytest.raises(DialFailed, match="still being dialled"):  # who can do without it goes on
                await victim.network.swarm.dial(PrivateKey.generate_ed25519(seeded_entropy(77)).peer_id, [bare])
            assert now() - began < 10

    run_virtual(main())


# --- inside the channel


@pytest.mark.parametrize("sealed", [False, True])
def test_garbage_in_the_channel_or_in_yamux_ends_the_connection(sealed):
    async def main():
        async with besieged() as (network, victim):
            attacker = await Attacker.upgraded(network, victim)
            await asyncio.sleep(1)
            garbage = random.Random(3).randbytes(70_000)
            (attacker.seal if sealed else attacker.transport.write)(garbage)
            await asyncio.wait_for(attacker.lost, 1)
            assert len(victim.connections) == 1
            if sealed:
                assert attacker.frames()[-1][:4] == (GO_AWAY, 0, 0, 1)

    run_virtual(main())


def test_a_peer_that_overruns_a_window_is_told_and_loses_the_connection():
    async def main():
        async with besieged() as (network, victim):
            attacker = await Attacker.upgraded(network, victim)
            attacker.open(1)
            for _ in range(20):
                attacker.data(1, bytes(60_000))
            await asyncio.wait_for(attacker.lost, 1)
            assert (GO_AWAY, 0, 0, 1) in [f[:4] for f in attacker.frames()]

    run_virtual(main())


def test_a_flood_of_streams_is_reset_beyond_the_bound_and_their_negotiation_times_out():
    async def main():
        async with besieged() as (network, victim):
            attacker = await Attacker.upgraded(network, victim)
            for at in range(MAX_STREAMS + 100):
                attacker.open(2 * at + 1)
            await asyncio.sleep(1)
            connection = connection_of(victim, attacker)
            assert connection._mux._inbound == MAX_STREAMS and len(connection._handlers) <= MAX_STREAMS
            assert sum(attacker.was_reset(2 * at + 1) for at in range(MAX_STREAMS, MAX_STREAMS + 100)) == 100
            await asyncio.sleep(30)
            assert connection._mux._inbound == 0 and not connection._handlers

    run_virtual(main())


@pytest.mark.parametrize("reads", [False, True])
def test_a_flood_of_pings_is_answered_or_ends_the_connection(reads):
    async def main():
        async with besieged() as (network, victim):
            attacker = await Attacker.upgraded(network, victim)
            await asyncio.sleep(1)
            connection = connection_of(victim, attacker)
            attacker.socket.reading = reads
            for at in range(3 * MAX_CONTROL):
                attacker.frame(PING, SYN, 0, at)
                if at % 100 == 0:
                    await asyncio.sleep(0.01)
                    assert len(connection._mux._control) <= MAX_CONTROL
                    assert held(connection) < 4 * WRITE_HIGH_WATER
            await asyncio.sleep(5 if reads else 60)
            assert connection.closed.done() is not reads
            if not reads:
                assert connection._transport.is_closing()
                assert isinstance(attacker.lost.result(), ConnectionResetError)  # its socket is not kept for it

    run_virtual(main())


# --- in streams


@pytest.mark.parametrize(
    "protocol, body",
    [
        ("", b"\xff\xff\xff\xff"),
        ("", b"\x05nope\n"),
        ("", multistream.encode_line(multistream.HEADER) + multistream.encode_line("/unknown") * 70),
        (PROTOCOL_1_2, message(b"\xff" * 50)),
        (PROTOCOL_1_2, message(bytes(10))),
        (PROTOCOL_1_2, b"\xff" * 9),
        (PROTOCOL_1_2, b"\x81\x80\x80\x02" + bytes(100)),  # MAX_MESSAGE + 1
        (identify.PUSH_PROTOCOL, message(b"\x0a\xff")),
        (identify.PUSH_PROTOCOL, b"\xff\xff\x7f"),
    ],
    ids=range(9),
)
def test_garbage_in_a_stream_ends_that_stream_only(protocol, body, caplog):
    async def main():
        async with besieged() as (network, victim):
            attacker = await Attacker.upgraded(network, victim)
            attacker.open(1, ping.PROTOCOL)
            attacker.open(3, protocol, body)
            await asyncio.sleep(1)
            assert attacker.was_reset(3) and not attacker.was_reset(1)
            attacker.data(1, bytes(range(32)))
            await asyncio.sleep(1)
            assert (DATA, 0, 1, 32, bytes(range(32))) in attacker.frames()

    run_virtual(main())
    # a peer's fault is no fault of ours: nothing of it reaches the log at ERROR
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


def test_a_handler_that_fails_ends_its_stream_only(caplog):
    async def main():
        async with besieged() as (network, victim):

            async def boom(_stream):
                raise ValueError("a bug")

            victim.network.swarm.handlers["/boom"] = boom
            attacker = await Attacker.upgraded(network, victim)
            attacker.open(1, "/boom")
            await asyncio.sleep(1)
            assert attacker.was_reset(1) and not attacker.lost.done()

    run_virtual(main())
    assert [r.message.split(": ")[1] for r in caplog.records if r.levelno >= logging.ERROR] == [
        "the handler of /boom failed"
    ]


def test_a_stream_that_the_peer_never_ends_is_reset_after_our_part_is_done():
    async def main():
        async with besieged() as (network, victim):
            attacker = await Attacker.upgraded(network, victim)
            for stream in (1, 3, 5):
                attacker.open(stream, identify.PROTOCOL)
            for _ in range(10):
                await asyncio.sleep(0.1)
                attacker.data(3, bytes(20_000))
            connection = connection_of(victim, attacker)
            assert held(connection) < INITIAL_WINDOW
            await asyncio.sleep(20)
            assert all(attacker.was_reset(stream) for stream in (1, 3, 5))
            assert not [s for s in connection._mux.streams if s % 2]

    run_virtual(main())


def test_messages_that_never_end_hold_a_bounded_amount_of_memory():
    async def main():
        async with besieged() as (network, victim):
            attacker = await Attacker.upgraded(network, victim)
            start = b"\xff\xff\xff\x01"  # a message of 4 MiB - 1
            for at in range(200):
                attacker.open(2 * at + 1, PROTOCOL_1_2, start + bytes(5000))
            await asyncio.sleep(2)
            connection = connection_of(victim, attacker)
            bound = MAX_READING * EAGER + 200 * INITIAL_WINDOW
            assert MAX_READING * EAGER // 2 < held(connection) < bound

    run_virtual(main())


def test_a_flood_of_wants_keeps_a_bounded_number():
    async def main():
        async with besieged() as (network, victim):
            attacker = await Attacker.upgraded(network, victim)
            attacker.socket.reading = False
            entries = [Entry(CID.of(str(at).encode()), send_dont_have=True) for at in range(1000)]
            for start in range(30):
                some = [Entry(CID.of(f"{start} {at}".encode()), send_dont_have=True) for at in range(1000)]
                body = b"".join(bytes(part) for part in Message(entries=some + entries).encode())
                attacker.open(2 * start + 1, PROTOCOL_1_2, message(body), fin=True)
                await asyncio.sleep(0.1)
            queue = victim.network.bitswap.engine._peers[str(attacker.key.peer_id)]
            assert len(queue.wants) <= MAX_WANTS_PER_PEER
            assert len(queue.presences) + len(queue.blocks) <= MAX_QUEUED_PER_PEER

    run_virtual(main())


@pytest.mark.parametrize("count", [1, len(WANTED)])
def test_peers_that_ask_for_blocks_and_do_not_read_hold_up_nobody(count):
    async def main():
        async with besieged() as (network, victim):
            body = b"".join(bytes(p) for p in Message(entries=[Entry(b.cid) for b in WANTED[:count]]).encode())
            attackers = [await Attacker.upgraded(network, victim, number) for number in range(70, 78)]
            await asyncio.sleep(1)
            for attacker in attackers:
                attacker.socket.reading = False
            answered = set()
            for again in range(50):
                for attacker in attackers:
                    attacker.open(2 * again + 1, PROTOCOL_1_2, message(body), fin=True)
                await asyncio.sleep(0.1)
                for attacker in attackers:
                    for stream in list(connection_of(victim, attacker)._mux.streams):
                        if (
                            stream % 2 == 0 and (attacker, stream) not in answered
                        ):  # it agrees, although it reads nothing
                            answered.add((attacker, stream))
                            attacker.data(stream, multistream.optimistic_opening(PROTOCOL_1_2), ACK)
                await asyncio.sleep(0.1)
            kept = [held(connection_of(victim, attacker)) for attacker in attackers]
            assert min(kept) > 128 * 1024 and max(kept) < 4 * 1024 * 1024  # none waits for another

    run_virtual(main())


# --- lies


def test_a_wrong_block_is_not_stored_and_another_peer_finishes_the_job():
    async def main():
        network = MemoryNetwork(2, Link(0.01))
        async with memory_nodes(network, 3, websocket=CARRIED.websocket) as (reader, liar, honest):
            for node in (liar, honest):
                await node.put(WANTED)
            network.set_link(reader.address, honest.address, Link(0.05))

            async def garbage(cids):
                return [bytes(1000) for _ in cids]

            liar.store.get_many = garbage
            await reader.connect(liar)
            await reader.connect(honest)
            began = now()
            session = await fetch(reader, WANTED)
            assert blocks_from(session, honest) == len(WANTED) and now() - began < 5
            assert reader.store.get_if_ready(CID.of(bytes(1000))) is None
            assert reader.network.bitswap_stat().dup_blocks_received > 0

    run_virtual(main())


def test_wrong_blocks_alone_end_the_request_with_a_typed_error():
    async def main():
        network = MemoryNetwork(2, Link(0.01))
        async with memory_nodes(network, 2, websocket=CARRIED.websocket) as (reader, liar):
            await liar.put(WANTED)

            async def garbage(cids):
                return [bytes(1000) for _ in cids]

            liar.store.get_many = garbage
            await reader.connect(liar)
            with pytest.raises(NoSourceHasIt):
                await fetch(reader, WANTED)

    run_virtual(main())


def test_an_only_holder_whose_disk_spoils_a_large_block_now_and_then_is_not_given_up():
    async def main():
        network, wanted = MemoryNetwork(2, Link(0.01)), blocks(24, 1024 * 1024, seed=5)
        async with memory_nodes(network, 2, websocket=CARRIED.websocket) as (reader, holder):
            await holder.put(wanted)
            read, sent = holder.store.get_many, 0

            async def spoilt(cids):
                nonlocal sent
                found = await read(cids)
                sent += len(found)
                return [bytes([data[0] ^ 1]) + data[1:] for data in found] if sent % 12 == 0 else found

            holder.store.get_many = spoilt
            await reader.connect(holder)
            session = await fetch(reader, wanted)
            assert blocks_from(session, holder) == len(wanted) < sent, "some came wrong, and were asked for again"

    run_virtual(main())


def test_blocks_that_nobody_asked_for_are_not_stored_and_end_the_connection_beyond_a_bound():
    async def main():
        async with besieged() as (network, victim):
            attacker = await Attacker.upgraded(network, victim)
            pushed = blocks(22, 100_000, seed=9)
            for at, block in enumerate(pushed):
                body = b"".join(bytes(part) for part in Message(blocks=[block]).encode())
                attacker.open(2 * at + 1, PROTOCOL_1_2, message(body), fin=True)
                await asyncio.sleep(0.1)
                assert attacker.lost.done() is (at >= MAX_WRONG // 100_000)
            assert all(victim.store.get_if_ready(block.cid) is None for block in pushed)

    run_virtual(main())


def test_a_bomb_of_nested_links_ends_the_request_with_a_typed_error():
    def nest(depth: int) -> tuple[CID, list[Block]]:
        leaf = b"x"
        cid, made = CID.of(leaf), [Block(CID.of(leaf), leaf)]
        for _ in range(depth):
            data = dag_pb.encode((dag_pb.Link(cid, "", 1),), UnixFSData(NodeType.FILE, None, 1, (1,)).encode())
            cid = CID.of(data, DAG_PB)
            made.append(Block(cid, data))
        return cid, made

    async def main():
        network = MemoryNetwork(2, Link(0.001))
        async with memory_nodes(network, 2, websocket=CARRIED.websocket) as (reader, bomber):
            root, bomb = nest(2000)
            await bomber.put(bomb)
            await reader.connect(bomber)
            with pytest.raises(CideryError, match="deep|level|nest"):
                async with reader.session() as session:
                    async for _ in cat(root, session):
                        pass

    run_virtual(main())


def test_a_peer_that_resets_every_stream_costs_the_others_nothing():
    async def main():
        network = MemoryNetwork(2, Link(0.01))
        async with memory_nodes(network, 3, websocket=CARRIED.websocket) as (reader, cold, honest):
            for node in (cold, honest):
                await node.put(WANTED)

            async def reset(stream):
                raise StreamReset("on purpose")

            cold.network.swarm.handlers[PROTOCOL_1_2] = reset
            await reader.connect(cold)
            await reader.connect(honest)
            began = now()
            session = await fetch(reader, WANTED)
            assert blocks_from(session, honest) == len(WANTED) and now() - began < 10

    run_virtual(main())


def test_a_peer_without_bitswap_is_no_source():
    async def main():
        network = MemoryNetwork(2, Link(0.01))
        async with memory_nodes(network, 3, websocket=CARRIED.websocket) as (reader, plain, honest):
            for protocol in [p for p in plain.network.swarm.handlers if "bitswap" in p]:
                del plain.network.swarm.handlers[protocol]
            await honest.put(WANTED)
            await reader.connect(plain)
            await reader.connect(honest)
            began = now()
            await fetch(reader, WANTED)
            assert now() - began < 3

    run_virtual(main())


def test_half_closed_frames_and_updates_for_streams_long_gone_are_ignored():
    async def main():
        async with besieged() as (network, victim):
            attacker = await Attacker.upgraded(network, victim)
            attacker.open(1, ping.PROTOCOL, bytes(32), fin=True)
            await asyncio.sleep(1)
            attacker.frame(WINDOW_UPDATE, 0, 1, 1000)
            attacker.frame(WINDOW_UPDATE, FIN, 1, 0)
            attacker.frame(WINDOW_UPDATE, 0, 99, 1000)
            await asyncio.sleep(1)
            assert not attacker.lost.done()

    run_virtual(main())


@pytest.mark.parametrize("protocol", ["/libp2p/circuit/relay/0.2.0/hop", "/libp2p/dcutr", "/meshsub/1.3.0"])
def test_a_protocol_of_later_years_is_refused_and_the_connection_stays(protocol):
    async def main():
        async with besieged() as (network, victim):
            attacker = await Attacker.upgraded(network, victim)
            attacker.open(1, protocol)
            await asyncio.sleep(1)
            answer = b"".join(body for kind, _, stream, _, body in attacker.frames() if kind == DATA and stream == 1)
            assert answer == multistream.encode_line(multistream.HEADER) + multistream.encode_line("na")
            assert not attacker.lost.done() and not attacker.was_reset(1)

    run_virtual(main())


def test_a_want_that_comes_without_a_broadcast_before_it_is_served():
    async def main():
        async with besieged() as (network, victim):
            attacker = await Attacker.upgraded(network, victim)
            wanted = [Entry(WANTED[0].cid), Entry(CID.of(b"missing"), send_dont_have=True)]
            body = b"".join(bytes(part) for part in Message(entries=wanted).encode())
            attacker.open(1, PROTOCOL_1_2, message(body), fin=True)
            await asyncio.sleep(1)
            ours = [
                stream for _, flags, stream, _, _ in attacker.frames() if flags & SYN and stream and stream % 2 == 0
            ]
            assert ours  # the answer waits on a stream of the victim's own, for an agreement that never comes
            assert victim.network.bitswap.engine.wantlist(str(attacker.key.peer_id)) == [CID.of(b"missing")]

    run_virtual(main())


def test_an_owner_learns_who_has_to_give_what_it_was_sent_and_who_keeps_it_to_itself():
    async def main():
        network = MemoryNetwork(4, Link(0.01))
        wanted = blocks(12)
        async with memory_nodes(network, 1, websocket=CARRIED.websocket) as (owner,):
            await owner.put(wanted)
            network.set_line(owner.address, HostLine(1_000_000, 1_000_000))
            fair, selfish = MemoryNode(network, 2), MemoryNode(network, 3, serving=EmptyStore())
            async with running([fair, selfish]):
                for node in (fair, selfish):
                    await node.connect(owner)  # they do not know each other
                await asyncio.gather(fetch(fair, wanted), fetch(selfish, wanted))
                turns = owner.network.bitswap.engine.turns
                assert not turns.doubts(fair.name) and turns.doubts(selfish.name)

    run_virtual(main())


@pytest.mark.parametrize("how", ["whole", "cut"])
def test_rests_that_nobody_asked_for_end_the_connection_beyond_a_bound(how):
    async def main():
        async with besieged() as (network, victim):
            attacker = await Attacker.upgraded(network, victim)
            (wanted,) = blocks(1, seed=8)
            async with victim.session() as session:
                session.prefetch([wanted.cid])
                await asyncio.sleep(1)
                for at, block in enumerate(blocks(22, 100_000, seed=9)):
                    sent = Message(blocks=[Block(block.cid, block.data + b"!" * 100_000)], starts={block.cid: 100_000})
                    body = message(b"".join(bytes(part) for part in sent.encode()) + varint_field(5, 0))
                    attacker.open(2 * at + 1, PROTOCOL_1_2, body if how == "whole" else body[:-1], fin=True)
                    await asyncio.sleep(0.1)
                    assert attacker.lost.done() is (at >= MAX_WRONG // 100_000)

    run_virtual(main())


@pytest.mark.parametrize("body", ["a block", "garbage"])
def test_of_messages_on_streams_that_are_reset_nothing_is_held_and_whole_blocks_count(body):
    async def main():
        async with besieged() as (network, victim):
            attacker = await Attacker.upgraded(network, victim)
            wanted = blocks(MAX_VERIFYING + 1, 100_000, seed=8)
            async with victim.session() as session:
                attacker.open(1, PROTOCOL_1_2, fin=True)  # it is a peer
                session.prefetch([block.cid for block in wanted])
                await asyncio.sleep(1)
                peer = victim.network.bitswap._peers[str(attacker.key.peer_id)]
                for at, block in enumerate(wanted):
                    sent = b"".join(bytes(part) for part in Message(blocks=[block]).encode())
                    sent = message(sent if body == "a block" else b"\xff" * len(sent))
                    attacker.open(2 * at + 3, PROTOCOL_1_2)
                    await asyncio.sleep(0.5)
                    data = HEADER.pack(0, DATA, 0, 2 * at + 3, len(sent)) + sent
                    attacker.seal(data + HEADER.pack(0, WINDOW_UPDATE, RST, 2 * at + 3, 0))
                    await asyncio.sleep(0.5)
                assert not peer.arrived and not peer.inbound and not peer.verifying.locked()
                came = session.stats().by_source.get(peer.name, (0, 0))[0]
                assert came == (len(wanted) if body == "a block" else 0)

    run_virtual(main())


def test_a_whole_message_counts_that_comes_with_the_end_of_its_connection():
    async def main():
        async with besieged() as (network, victim):
            attacker = await Attacker.upgraded(network, victim)
            wanted = blocks(2, 100_000, seed=8)
            async with victim.session() as session:
                attacker.open(1, PROTOCOL_1_2)
                session.prefetch([block.cid for block in wanted])
                await asyncio.sleep(1)
                sent = [b"".join(bytes(part) for part in Message(blocks=[block]).encode()) for block in wanted]
                body = b"".join(map(message, sent))
                connection = connection_of(victim, attacker)
                (stream,) = [one for one in connection._mux.streams.values() if one.uses_beginning]
                connection._mux.receive_data(memoryview(HEADER.pack(0, DATA, 0, 1, len(body)) + body), now())
                connection.close()
                await asyncio.sleep(0.5)
                assert session.stats().by_source == {str(attacker.key.peer_id): (2, 200_000)}
                assert not stream.unread

    run_virtual(main())
