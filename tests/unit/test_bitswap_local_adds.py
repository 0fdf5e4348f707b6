"""Whatever way content comes into a node, whoever waits for it is told: real nodes on the loopback."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

import cidery
from cidery.core.reading.blocks import block_get
from cidery.core.reading.resolve import ContentPath
from cidery.ipld.car import encode_header, encode_section_head
from cidery.multiformats.cid import CID
from cidery.multiformats.multiaddr import Multiaddr
from cidery.multiformats.multicodec import DAG_CBOR
from cidery.node.network import NodeNetwork
from shell import Shell

DATA = b"\x83\x01\x02\x03"
"""Bytes of a list in dag-cbor, which are as good as any other content of a file."""
CONTENT = CID.of(DATA)
WAYS = {
    "add": ("add --pin=false", DATA),
    "add --nocopy": ("add --nocopy FILE", None),
    "block put": ("block put", DATA),
    "dag put": ("dag put", b"[1,2,3]"),
    "dag import": ("dag import", encode_header([CONTENT]) + encode_section_head(CONTENT, len(DATA)) + DATA),
    "files write": ("files write --create --raw-leaves --cid-version=1 /file", DATA),
}


@pytest.fixture
async def nodes(tmp_path: Path) -> AsyncIterator[list[cidery.Node]]:
    async with (
        cidery.Node(tmp_path / "a", profile="test") as owner,
        cidery.Node(tmp_path / "b", profile="test") as reader,
    ):
        await reader.api.online.connect(Multiaddr.parse(owner.api.online.identity().addresses[0]))
        yield [owner, reader]


@pytest.mark.parametrize("way", WAYS)
async def test_a_peer_that_waits_is_served_what_comes_into_a_node_by(
    nodes: list[cidery.Node], tmp_path: Path, way: str
) -> None:
    owner, reader = nodes
    line, upload = WAYS[way]
    (tmp_path / "file").write_bytes(DATA)
    wanted = CID.of(DATA, DAG_CBOR)
    network = owner.api.online
    assert isinstance(network, NodeNetwork)
    engine = network.bitswap.engine
    asked = asyncio.Event()
    take = engine.on_wantlist

    def watched(*arguments: object) -> list[CID]:
        asked.set()
        return take(*arguments)  # type: ignore[arg-type]

    engine.on_wantlist = watched  # type: ignore[method-assign]

    async def read() -> bytes:
        async with reader.api.session() as session:
            return bytes(await block_get(ContentPath(wanted), session))

    waiting = asyncio.create_task(read())
    async with asyncio.timeout(20.0):
        await asked.wait()
        await Shell(owner.api).run(line.replace("FILE", str(tmp_path / "file")), upload)
        assert await waiting == DATA


async def test_only_what_somebody_waits_for_makes_work(nodes: list[cidery.Node]) -> None:
    owner, _ = nodes
    told: list[Sequence[tuple[bytes, int]]] = []
    owner.api.blocks.on_stored.append(told.append)
    await Shell(owner.api).run("block put", DATA)
    await Shell(owner.api).run("block put", DATA)
    assert told == [[(CONTENT.multihash, len(DATA))]]
