"""Peers that know only Bitswap 1.1.0 or 1.0.0 are answered in the version they speak."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from cidery.bitswap.message import MAX_MESSAGE, PROTOCOL_1_0, PROTOCOL_1_1, PROTOCOLS, Entry, Message
from cidery.blockstore.interface import Durability
from cidery.blockstore.memory import MemoryStore
from cidery.identity.keys import PrivateKey
from cidery.identity.peer_id import PeerId
from cidery.ipld.block import Block
from cidery.libp2p.io.stream import Stream
from cidery.multiformats.cid import CID
from cidery.multiformats.multiaddr import Multiaddr
from cidery.multiformats.multicodec import DAG_PB
from cidery.multiformats.multihash import SHA2_256, multihash
from cidery.node.network import NodeNetwork

DATA = b"\x0a\x02\x08\x01"
"""An empty UnixFS directory: version 1.0.0 knows CIDs of version 0 only, so the block is dag-pb."""
CID_0 = CID(0, DAG_PB, multihash(SHA2_256, DATA))
ANSWER_SECONDS = 20.0


@asynccontextmanager
async def node(store: MemoryStore) -> AsyncIterator[NodeNetwork]:
    network = NodeNetwork(PrivateKey.generate_ed25519(os.urandom), store)
    await network.start((Multiaddr.parse("/ip4/127.0.0.1/tcp/0"),))
    try:
        yield network
    finally:
        await network.close()


@pytest.mark.parametrize("version", [PROTOCOL_1_1, PROTOCOL_1_0])
async def test_a_want_of_an_older_version_is_answered_in_it(version: str) -> None:
    store = MemoryStore()
    await store.put_many([Block(CID_0, DATA)], kept=True, durability=Durability.VISIBLE)
    async with node(store) as server, node(MemoryStore()) as old:
        answers: asyncio.Queue[tuple[str, Message]] = asyncio.Queue()

        async def collect(stream: Stream) -> None:
            while (data := await stream.read_message(MAX_MESSAGE)) is not None:
                answers.put_nowait((stream.protocol, Message.decode(data)))

        for protocol in PROTOCOLS:
            del old.swarm.handlers[protocol]
        old.swarm.handlers[version] = collect
        peer = PeerId.parse(server.identity().id)
        await old.connect(Multiaddr.parse(server.identity().addresses[0]))
        stream = await old.swarm.open_stream(peer, [version])
        await stream.write_message(*Message(entries=[Entry(CID_0)]).encode(version))
        async with asyncio.timeout(ANSWER_SECONDS):
            spoken, message = await answers.get()
    assert spoken == version
    assert [(payload.cid(), bytes(payload.data)) for payload in message.payloads] == [(CID_0, DATA)]
