"""Small DAGs that name enormous trees: answers end at a limit, and take no memory."""

import asyncio
import tracemalloc
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import cidery
from cidery.blockstore.interface import Durability
from cidery.gateway.bounded import Bounded
from cidery.gateway.options import GatewayOptions
from cidery.gateway.site import Site
from cidery.http.server import HttpServer
from cidery.ipld import walk
from cidery.ipld.block import Block
from cidery.ipld.dag_pb import Link, encode
from cidery.multiformats.cid import CID
from cidery.multiformats.multicodec import DAG_PB
from cidery.unixfs import tree

DEEP = 40
"""Levels, each of which holds the next one twice."""
DIRECTORY = b"\x08\x01"
LIMIT = 3_000
MEMORY = 16 * 1024 * 1024


@pytest.fixture
async def bomb(tmp_path: Path) -> AsyncIterator[tuple[int, CID]]:
    """The port of a gateway, and the root of a directory that contains itself 2**40 times."""
    async with cidery.Node(tmp_path / "repo", profile="test", offline=True) as node:
        blocks: list[Block] = []
        links: list[Link] = []
        for _ in range(DEEP + 1):
            data = encode(links, DIRECTORY)
            blocks.append(Block(CID.of(data, DAG_PB), data))
            links = [Link(blocks[-1].cid, name, 1) for name in ("a", "b")]
        await node.api.store.put_many(blocks, kept=True, durability=Durability.VISIBLE)
        site = Site(node.api, GatewayOptions(fetches=False, no_dnslink=True))
        server = HttpServer(Bounded(site.handle), most=64, name="test", clock=lambda: 0.0, at_hand=site.at_hand)
        try:
            yield await server.listen("127.0.0.1", 0), blocks[-1].cid
        finally:
            await server.close(0.1)


async def swallow(port: int, target: str, accept: str = "*/*") -> tuple[bytes, int, bool]:
    """The status, how many bytes followed the head, and whether the answer was complete."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(f"GET {target} HTTP/1.1\r\nHost: x\r\nAccept: {accept}\r\nConnection: close\r\n\r\n".encode())
        status = (await reader.readline()).split()[1]
        while (await reader.readline()).strip():
            pass
        size, last = 0, b""
        while True:
            try:
                piece = await reader.read(1 << 16)
            except ConnectionResetError:
                return status, size, False
            if not piece:
                return status, size, last.endswith(b"0\r\n\r\n")
            size, last = size + len(piece), (last + piece)[-5:]
    finally:
        writer.close()


@pytest.mark.parametrize(
    ("query", "accept"), [("?format=tar", "*/*"), ("", "application/vnd.ipld.car; order=dfs; dups=y")]
)
async def test_a_directory_that_contains_itself_without_end_is_cut_off_at_a_limit_and_takes_no_memory(
    bomb: tuple[int, CID], monkeypatch: pytest.MonkeyPatch, query: str, accept: str
) -> None:
    monkeypatch.setattr(tree, "MAX_TREE_ENTRIES", LIMIT)
    monkeypatch.setattr(walk, "MAX_EDGES", LIMIT)
    port, root = bomb
    tracemalloc.start()
    try:
        status, size, complete = await swallow(port, f"/ipfs/{root}{query}", accept)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # a limit that is met before the first piece has a status, one after it cuts the answer off
    assert status == b"500" or (status == b"200" and not complete)
    assert size < LIMIT * 2048, "a header of two blocks each at most"
    assert peak < MEMORY


async def test_an_archive_without_duplicates_of_it_is_as_small_as_its_blocks(bomb: tuple[int, CID]) -> None:
    port, root = bomb
    status, size, complete = await swallow(port, f"/ipfs/{root}?format=car")
    assert status == b"200" and complete and size < (DEEP + 2) * 300


def test_the_limits_of_the_walks_are_those_that_answers_end_at() -> None:
    assert tree.MAX_TREE_ENTRIES <= 10_000_000 and walk.MAX_EDGES <= 100_000_000
