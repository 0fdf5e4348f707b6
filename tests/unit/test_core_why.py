"""What a node says of a CID in its own store: whole, in part, held by which pin."""

import asyncio
import random
from pathlib import Path

import pytest

import cidery
from cidery.blockstore.memory import MemoryStore
from cidery.core.diagnosis.facts import Stored
from cidery.core.diagnosis.text import Report
from cidery.core.diagnosis.wholeness import SHOWN, wholeness
from cidery.errors import CideryError
from cidery.ipld import dag_cbor
from cidery.ipld.block import Block
from cidery.multiformats.cid import CID
from cidery.multiformats.multicodec import DAG_CBOR, DAG_PB
from shell import Shell


def node_of(*children: CID) -> Block:
    data = dag_cbor.encode(list(children))
    return Block(CID.of(data, codec=DAG_CBOR), data)


def leaf(number: int) -> Block:
    data = number.to_bytes(4, "big")
    return Block(CID.of(data), data)


async def found(root: CID, *stored: Block) -> list[Stored]:
    store = MemoryStore()
    store.put_many_blocking(stored, kept=True)
    return [one async for one in wholeness(root, store, clock=asyncio.get_running_loop().time)]


async def test_a_whole_dag_is_counted_once_each_block() -> None:
    leaves = [leaf(n) for n in range(2000)]
    left = node_of(*(one.cid for one in leaves))
    root = node_of(left.cid, left.cid, leaves[0].cid, CID.parse("bafkqaaa"))
    (*_, last) = await found(root.cid, root, left, *leaves)
    assert last.whole and last.blocks == 2002
    assert last.bytes == len(root.data) + len(left.data) + 4 * 2000


async def test_a_walk_goes_on_past_what_is_missing_and_tells_of_the_first_at_once() -> None:
    leaves = [leaf(n) for n in range(10)]
    parts = [node_of(*(one.cid for one in leaves)), node_of(leaf(99).cid), node_of(leaf(98).cid)]
    root = node_of(*(part.cid for part in parts))
    first, *_, last = await found(root.cid, root, parts[0], parts[2], *leaves[5:])
    assert first.missing and not first.complete
    gone = {parts[1].cid, leaf(98).cid, *(one.cid for one in leaves[:5])}
    assert last.root and not last.whole and last.complete and last.missing_count == len(gone) == 7
    assert len(last.missing) == SHOWN and set(last.missing) < gone


async def test_an_absent_root_and_a_root_that_is_no_node() -> None:
    (*_, last) = await found(leaf(1).cid)
    assert not last.root and last.missing == (leaf(1).cid,)
    bad = Block(CID.of(b"\xff\xff", codec=DAG_PB), b"\xff\xff")
    (*_, last) = await found(bad.cid, bad)
    assert last.root and not last.whole and last.damage


async def why(node: cidery.Node, path: object) -> Report:
    report = await node.why(str(path), seconds=20.0)
    assert str(report)
    return report


async def test_an_offline_node_says_what_it_has_and_what_holds_it(tmp_path: Path) -> None:
    async with cidery.Node(tmp_path / "repo", profile="test", offline=True) as node:
        shell = Shell(node.api)
        (tmp_path / "folder").mkdir()
        (tmp_path / "folder" / "a").write_bytes(random.Random(1).randbytes(3_000_000))
        root = await node.add(tmp_path / "folder")
        file = (await node.ls(root))[0].cid
        assert "pinned: recursive\n" in str(await why(node, root))
        assert f"pinned: indirect through {root}\n" in str(await why(node, f"{root}/a"))
        await shell.run(f"pin add --recursive=false --name=mine --expire-in=3d {file}")
        assert "pinned: direct (mine), ends in 3 days; indirect" in str(await why(node, file))
        await shell.run(f"pin rm {file}")
        await shell.run(f"pin rm {root}")
        report = await why(node, file)
        assert "pinned: no" in str(report) and f"cidery pin add {file}" in " ".join(report.advice)
        await shell.run(f"files cp /ipfs/{file} /kept")
        assert "pinned: by mutable files" in str(await why(node, file))
        leaves = (await shell.run(f"refs {file}")).split()
        assert await node.api.store.delete_many([CID.parse(leaves[1])]) == [True]
        report = await why(node, root)
        assert report.stage == "incomplete" and f"1 missing: {leaves[1]}" in str(report)
        assert "start the daemon" in report.advice[0]
        assert (await why(node, f"{root}/a")).stage == "incomplete"
        big = tmp_path / "big"
        big.write_bytes(random.Random(2).randbytes(3_000_000))
        noted = (await shell.run(f"add -q --nocopy {big}")).strip()
        assert "pinned: recursive" in str(report := await why(node, noted)) and report.stage != "incomplete"
        big.write_bytes(random.Random(3).randbytes(3_000_000))
        assert (await why(node, noted)).stage == "incomplete"
        for nonsense in ("nonsense", f"{root}/a/b", ""):
            with pytest.raises(CideryError):
                await why(node, nonsense)
