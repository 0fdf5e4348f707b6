"""Peers that send nonsense or too much over QUIC: their stream or connection ends, others are served.

The same attacks as in sim/test_sim_hostile_peers.py and sim/test_sim_siege.py, as far as QUIC has them, over real
sockets: a simulation has byte streams only. docs/design/quic.md says where the others are.
"""

import asyncio
import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from cidery.bitswap.engine import MAX_WANTS_PER_PEER
from cidery.bitswap.message import PROTOCOL_1_2, Entry, Message
from cidery.blockstore.drive import drive
from cidery.blockstore.memory import MemoryStore
from cidery.budgets import IDENTIFICATIONS, RECEIVED
from cidery.identity.keys import PrivateKey
from cidery.ipld.block import Block
from cidery.libp2p.io.connection import Connection
from cidery.libp2p.io.shares import LOOK_AFTER
from cidery.libp2p.io.stream import Stream
from cidery.libp2p.protocols import identify, multistream
from cidery.multiformats.cid import CID
from cidery.multiformats.multiaddr import Multiaddr
from cidery.multiformats.varint import encode_uvarint
from cidery.node.network import NodeNetwork
from cidery.unixfs.reader import read_file

QUIC = Multiaddr.parse("/ip4/127.0.0.1/udp/0/quic-v1")
PARKED_STREAMS, PARKED_BYTES = 90, 1_000_000
BLOCKS, BLOCK = 64, 1 << 20
TAKEN = 8 * 1024 * 1024
"""Of one stream, by a peer that does not read it, at least."""


async def started(*listen: Multiaddr) -> NodeNetwork:
    node = NodeNetwork(PrivateKey.generate_ed25519(os.urandom), MemoryStore(), quic=True)
    await node.start(listen)
    return node


async def eventually(condition) -> None:  # type: ignore[no-untyped-def]
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.01)


class Attacker:
    """Sends what a test wants over streams of an honest connection."""

    def __init__(self, node: NodeNetwork, connection: Connection, there: Connection) -> None:
        self.node = node
        self.connection = connection
        self.there = there
        """The victim's end."""

    def open(self, protocol: str, body: bytes = b"", *, fin: bool = False) -> Stream:
        """A new stream; without a protocol there is no negotiation."""
        inner = self.connection._muxer.open_stream(self.connection.config.clock(), 0)
        stream = self.connection._streams[inner.id] = Stream(self.connection, inner, self.connection.config.traffic)
        lines = b"".join(map(multistream.encode_line, (multistream.HEADER, protocol))) if protocol else b""
        self.connection.send(inner, lines + body)
        if fin:
            self.connection.close_write(inner)
        return stream


@asynccontextmanager
async def besieged() -> AsyncIterator[tuple[NodeNetwork, Attacker]]:
    """A victim, an attacker connected to it, and a friend that must still be answered at the end."""
    victim, friend, raider = await started(QUIC), await started(), await started()
    try:
        addr = victim.swarm.listen_addrs()[0].with_peer(victim.swarm.local_peer.multihash)
        for node in (friend, raider):
            await node.connect(addr)
        peer = victim.swarm.local_peer
        await eventually(lambda: len(victim.peers()) == 2)
        here, there = raider.swarm.best(peer), victim.swarm.best(raider.swarm.local_peer)
        assert here is not None and there is not None
        yield victim, Attacker(raider, here, there)
        async with asyncio.timeout(10):
            assert [wait async for wait in friend.ping(str(peer), 1)]
    finally:
        for node in (raider, friend, victim):
            await node.close()


def message(body: bytes) -> bytes:
    return encode_uvarint(len(body)) + body


@pytest.mark.parametrize(
    "protocol, body",
    [
        ("", b"\xff\xff\xff\xff"),
        ("", b"\x05nope\n"),
        (PROTOCOL_1_2, message(b"\xff" * 50)),
        (PROTOCOL_1_2, b"\xff" * 9),
        (PROTOCOL_1_2, b"\x81\x80\x80\x02" + bytes(100)),  # MAX_MESSAGE + 1
        (identify.PUSH_PROTOCOL, message(b"\x0a\xff")),
    ],
    ids=range(6),
)
async def test_garbage_in_a_stream_ends_that_stream_only(
    protocol: str, body: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with besieged() as (victim, attacker):
        stream = attacker.open(protocol, body)
        await eventually(lambda: stream.inner.reset_reason)
        assert [wait async for wait in attacker.node.ping(str(victim.swarm.local_peer), 1)]
        assert not attacker.connection.closed.done() and not attacker.there.closed.done()
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


async def test_what_a_peer_parks_in_messages_that_never_end_is_bounded_and_ends_its_connection() -> None:
    async with besieged() as (_, attacker):
        start = b"\xff\xff\xff\x01"  # a message of 4 MiB - 1
        most, streams = 0, 0
        while attacker.connection._muxer.opens_streams and streams < PARKED_STREAMS:
            attacker.open(PROTOCOL_1_2, start + bytes(PARKED_BYTES))
            streams += 1
        assert streams * PARKED_BYTES > 1.2 * RECEIVED.amount
        async with asyncio.timeout(30):
            while not attacker.there.closed.done():
                most = max(most, attacker.there.held())
                await asyncio.sleep(0.005)
        assert RECEIVED.amount / 2 < most <= RECEIVED.amount + LOOK_AFTER


@pytest.mark.parametrize("protocol", [identify.PUSH_PROTOCOL, identify.PROTOCOL])
async def test_identify_without_end_ends_the_connection(protocol: str) -> None:
    async with besieged() as (_, attacker):
        said = message(next(iter(identify.Identify(b"", (), (), b"", "", "raider/1").messages())))
        sent = 0
        while not attacker.there.closed.done() and sent < IDENTIFICATIONS.burst + 40:
            attacker.open(protocol, said if protocol == identify.PUSH_PROTOCOL else b"", fin=True)
            sent += 1
            await asyncio.sleep(0.005)
        await eventually(attacker.connection.closed.done)
        assert sent >= IDENTIFICATIONS.burst - 3


async def test_a_flood_of_wants_keeps_a_bounded_number() -> None:
    async with besieged() as (victim, attacker):
        peer = str(attacker.node.swarm.local_peer)
        for start in range(30):
            entries = [Entry(CID.of(f"{start} {at}".encode()), send_dont_have=True) for at in range(1000)]
            body = b"".join(bytes(part) for part in Message(entries=entries).encode())
            attacker.open(PROTOCOL_1_2, message(body), fin=True)
        await eventually(lambda: victim.bitswap.messages_received >= 20)
        assert len(victim.bitswap.engine._peers[peer].wants) <= MAX_WANTS_PER_PEER


async def test_peers_that_ask_for_blocks_and_do_not_read_hold_up_nobody() -> None:
    async with besieged() as (victim, attacker):
        data = [bytes([number]) * BLOCK for number in range(BLOCKS)]
        blocks = [Block(CID.of(one), one) for one in data]
        victim.store.put_many_blocking(blocks, kept=True)

        async def deaf(stream: Stream) -> None:
            await asyncio.Event().wait()

        attacker.node.swarm.handlers[PROTOCOL_1_2] = deaf
        body = b"".join(bytes(part) for part in Message(entries=[Entry(one.cid) for one in blocks]).encode())
        attacker.open(PROTOCOL_1_2, message(body), fin=True)
        ledger = victim.bitswap.engine.ledgers[str(attacker.node.swarm.local_peer)]
        await eventually(lambda: ledger.bytes_sent > TAKEN)
        sent = 0
        while sent != ledger.bytes_sent:  # until nothing moves any more
            sent = ledger.bytes_sent
            await asyncio.sleep(0.3)
        assert sent < BLOCKS * BLOCK / 2, "the rest waits in the store, not in memory"
        assert sent - attacker.connection.held() < 2 * BLOCK, "what was sent waits at the peer that does not read"
        reader = await started()
        try:
            await reader.connect(victim.swarm.listen_addrs()[0].with_peer(victim.swarm.local_peer.multihash))
            async with asyncio.timeout(10), reader.session(kept=False) as session:
                got = [bytes(part.chunk) async for part in drive(read_file(blocks[-1].cid), session)]
            assert b"".join(got) == data[-1]
        finally:
            await reader.close()
