"""Long lists by pages: the same rows as the whole list, each once, in a stable order, at the same cost anywhere."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cidery
from cidery.core.reading.refs_page import BadPlace, PlacedEdge, parse_place
from cidery.core.reading.refs_page import walk_page as refs_walk
from cidery.errors import CideryError, InvalidInput
from cidery.ipld import dag_cbor
from cidery.ipld.block import Block
from cidery.ipld.dag_pb import Link
from cidery.ipld.walk import Edge, Need, walk_edges
from cidery.multiformats.cid import CID
from cidery.multiformats.multicodec import DAG_CBOR
from cidery.repo.pins import Pin
from cidery.rpc.listen import listen
from cidery.unixfs.directory import DirectoryEntry, directory
from cidery.unixfs.directory_page import walk_page
from cidery.unixfs.node import decode_node
from cidery.unixfs.profile import UNIXFS_V1_2025
from rpc_calls import Server

ROWS = 25_000


def tree(names: list[str]) -> tuple[CID, dict[CID, bytes]]:
    """A directory of tiny files, and its blocks."""
    blocks: dict[CID, bytes] = {}
    leaf = CID.of(b"x")
    entries = [DirectoryEntry(name, leaf, 1) for name in names]
    root = directory(UNIXFS_V1_2025, entries, lambda block: blocks.update({block.cid: bytes(block.data)}))
    return root.cid, blocks


def part(root: CID, blocks: dict[CID, bytes], after: str, limit: int) -> tuple[list[str], int]:
    """(names, blocks read below the root)."""
    walk = walk_page(decode_node(root, blocks[root]), after, limit)
    names: list[str] = []
    reads, answer = 0, None
    while True:
        try:
            step = walk.send(answer)
        except StopIteration:
            return names, reads
        answer = None
        if isinstance(step, Link):
            names.append(step.name or "")
        elif isinstance(step, Need):
            answer, reads = blocks[step.cid], reads + 1


def every_part(root: CID, blocks: dict[CID, bytes], limit: int) -> list[str]:
    names: list[str] = []
    while page := part(root, blocks, names[-1] if names else "", limit)[0]:
        names += page
    return names


@pytest.fixture(scope="module")
def large() -> tuple[list[str], CID, dict[CID, bytes]]:
    names = [f"a file {number}" for number in range(ROWS)]
    return names, *tree(names)


def test_pages_of_a_large_directory_have_every_entry_once(large: tuple[list[str], CID, dict[CID, bytes]]) -> None:
    names, root, blocks = large
    found = every_part(root, blocks, 999)
    assert len(found) == ROWS and set(found) == set(names)


def test_a_page_costs_the_same_anywhere(large: tuple[list[str], CID, dict[CID, bytes]]) -> None:
    _, root, blocks = large
    order = every_part(root, blocks, 10_000)
    reads = [part(root, blocks, order[at], 100)[1] for at in range(0, ROWS - 200, 1000)]
    assert max(reads) < 40 and len(blocks) > 3000, "a few shards of thousands"


@settings(max_examples=30, deadline=None)
@given(st.sets(st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=9), max_size=60))
def test_a_directory_of_one_node_has_the_order_that_it_will_have_as_shards(names: set[str]) -> None:
    names -= {".", ".."}
    small, others = tree(sorted(names)), [f"another {number} {'x' * 60}" for number in range(4000)]
    grown = tree([*names, *others])
    assert len(small[1]) == 1 < len(grown[1])
    assert every_part(*small, 7) == [name for name in every_part(*grown, 500) if name in names]


def test_a_page_goes_on_behind_an_entry_that_is_gone(large: tuple[list[str], CID, dict[CID, bytes]]) -> None:
    names, root, blocks = large
    order = every_part(root, blocks, 10_000)
    gone = order[12_345]
    less = tree([name for name in names if name != gone])
    assert part(*less, gone, 50)[0] == order[12_346:12_396]


def graph(seed: int) -> tuple[CID, dict[CID, bytes]]:
    """A DAG whose parts are shared."""
    rng = random.Random(seed)
    blocks: dict[CID, bytes] = {}
    made: list[CID] = [CID.of(b"leaf %d" % number) for number in range(3)]
    for _ in range(12):
        data = dag_cbor.encode([made[rng.randrange(len(made))] for _ in range(rng.randrange(4))] + [made[-1]])
        block = Block(CID.of(data, DAG_CBOR), data)
        blocks[block.cid] = bytes(data)
        made.append(block.cid)
    return made[-1], blocks


def links(walk: Any, blocks: dict[CID, bytes]) -> list[Any]:
    found, answer = [], None
    while True:
        try:
            step = walk.send(answer)
        except StopIteration:
            return found
        answer = blocks[step.cid] if isinstance(step, Need) else None
        if isinstance(step, Edge | PlacedEdge):
            found.append(step)


@pytest.mark.parametrize("unique", [False, True])
@pytest.mark.parametrize("depth", [-1, 1, 2, 4])
def test_pages_of_links_are_the_walk_cut_in_parts(unique: bool, depth: int) -> None:
    for seed in range(20):
        root, blocks = graph(seed)
        whole = links(walk_edges(root, unique=unique, max_depth=depth, read_raw=False), blocks)[:3000]
        found: list[PlacedEdge] = []
        while len(found) < len(whole):
            page = links(refs_walk(root, found[-1].place if found else (), 17, unique, depth), blocks)
            assert page
            found += page
        assert [one.edge for one in found[: len(whole)]] == whole
        assert all(parse_place(one.at) == one.place for one in found)


@pytest.mark.parametrize("text", ["x", "1.", "-1", "1.x", "²", "0.99", "9", "0." * 40 + "0", "1" * 30])
def test_a_place_that_is_not_there_is_refused(text: str) -> None:
    root, blocks = graph(1)
    with pytest.raises(BadPlace, match="no link at"):
        links(refs_walk(root, parse_place(text), 5, False, -1), blocks)


@pytest.fixture
async def client(node: cidery.Node) -> AsyncIterator[cidery.Client]:
    async with listen(node.api, node.api.config.api, {}, node.path / "api", lambda: None) as addrs:
        yield cidery.Client(str(addrs[0]))


async def every(items: Any) -> list[Any]:
    async with aclosing(items) as found:
        return [item async for item in found]


async def test_pins_by_pages_while_others_come_and_go(node: cidery.Node, client: cidery.Client) -> None:
    cids = sorted((CID.of(b"%d" % number) for number in range(40)), key=CID.encode)
    await node.api.pins.add(*(Pin(cid, True, f"pin {number}") for number, cid in enumerate(cids[:30])))
    first = await every(client.pin.ls(type="recursive", limit=10))
    assert [entry.cid for entry in first] == sorted(cids[:30], key=CID.encode)[:10]
    await node.api.pins.remove([first[-1].cid, first[0].cid])
    second = await every(client.pin.ls(type="recursive", limit=10, after=first[-1].cid))
    assert [entry.cid for entry in second] == cids[10:20]
    rest = await every(client.pin.ls(type="recursive", limit=100, after=second[-1].cid))
    assert [entry.cid for entry in rest] == cids[20:30]
    assert await every(client.pin.ls(type="recursive", limit=100, after=rest[-1].cid)) == []
    assert await every(client.pin.ls(type="direct", limit=100)) == []


async def test_pins_of_both_versions_are_told_apart(node: cidery.Node) -> None:
    data = (await node.add(b"x" * 300_000, profile="unixfs-v0-2015", pin=False)).to_v1()
    old = CID(0, data.codec, data.multihash)
    await node.pin.add(data)
    await node.pin.add(old)
    found: list[CID] = []
    while page := await every(node.pin.ls(type="recursive", limit=1, after=found[-1] if found else None)):
        found += [entry.cid for entry in page]
    assert found == [data, old]


async def test_entries_blocks_and_links_by_pages_in_every_face(
    node: cidery.Node, client: cidery.Client, tmp_path: Path
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    for number in range(25):
        (folder / f"file {number}").write_text(f"content {number}")
    root = await node.add(folder)
    await node.files.cp(root, "/folder")
    for face in (node, client):
        for ls in (partial(face.ls, root), partial(face.files.ls, "/folder")):
            pages = [await ls(limit=10)]
            while len(pages[-1]) == 10:
                pages.append(await ls(limit=10, after=pages[-1][-1].name))
            assert sorted(one.name for page in pages for one in page) == sorted(one.name for one in await ls())
        blocks = await every(face.repo.ls(limit=20))
        blocks += await every(face.repo.ls(limit=20, after=blocks[-1]))
        assert blocks == await every(face.repo.ls()) and len(blocks) > 25
        refs = await every(face.refs(root, limit=20))
        refs += await every(face.refs(root, limit=20, after=refs[-1].at))
        assert [ref.name for ref in refs] == [ref.name for ref in await every(face.refs(root))]
        with pytest.raises(CideryError, match="not a directory"):
            await face.ls(f"{root}/file 1", limit=3)


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("pin/ls?limit=5", "indirect pins have no order"),
        ("pin/ls?type=direct&limit=0", "takes 1 to 10000 rows"),
        ("pin/ls?type=direct&limit=10001", "takes 1 to 10000 rows"),
        ("pin/ls?type=direct&after=x", "needs 'limit'"),
        ("pin/ls?type=direct&limit=5&after=x", "option 'after' takes the CID of the last row seen"),
        ("pin/ls?type=direct&limit=5&cid-base=base32", "leave out 'cid-base'"),
        ("refs/local?limit=5&after=x", "option 'after' takes the CID of the last row seen"),
        ("repo/ls?limit=5&after=x", "option 'after' takes the CID of the last row seen"),
        ("files/ls?arg=/&limit=-1", "takes 1 to 10000 rows"),
        ("refs?arg=bafkqaaa&arg=bafkqaaa&limit=5", "one path at a time"),
        ("refs?arg=bafkqaaa&limit=5&after=0.x", "no link at"),
    ],
)
async def test_a_wrong_page_is_told_in_one_line(node: cidery.Node, target: str, reason: str) -> None:
    async with listen(node.api, node.api.config.api, {}, node.path / "api", lambda: None) as addrs:
        answer = await Server(addrs[0], node).post(target)
        assert answer.status == 500
        (said,) = answer.json()
        assert reason in said["Message"] and "\n" not in said["Message"]


async def test_rows_are_in_the_order_in_which_a_page_goes_on(node: cidery.Node) -> None:
    for name in ("b", "a", "d", "c"):
        await node.files.mkdir(f"/{name}")
    async with listen(node.api, node.api.config.api, {}, node.path / "api", lambda: None) as addrs:
        server = Server(addrs[0], node)
        shown = (await server.post("files/ls?limit=4&encoding=text")).body.decode().split()
        entries = [row["Name"] for row in (await server.post("files/ls?limit=4")).json()[0]["Entries"]]
        assert shown == entries
        after = (await server.post(f"files/ls?limit=4&encoding=text&after={shown[1]}")).body.decode().split()
        assert after == shown[2:]


async def test_a_blocking_node_has_pages_too(tmp_path: Path) -> None:
    def work() -> None:
        with cidery.open(tmp_path / "repo", profile="test", offline=True) as opened:
            one, two = sorted((opened.add(b"one"), opened.add(b"two")), key=CID.encode)
            assert [entry.cid for entry in opened.pin.ls(type="recursive", limit=1)] == [one]
            assert [entry.cid for entry in opened.pin.ls(type="recursive", limit=1, after=one)] == [two]
            with pytest.raises(InvalidInput, match="1 to 10000"):
                list(opened.pin.ls(type="recursive", limit=0))

    await asyncio.to_thread(work)
