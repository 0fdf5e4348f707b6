"""Bytes that changed on disk: never given out, named, counted as absent, replaced by the next copy that comes."""

import logging
import random
from pathlib import Path

import pytest

import cidery
from cidery.blockstore.interface import Durability
from cidery.blockstore.places import segment_name
from cidery.blockstore.segment_file import SEGMENT_HEADER
from cidery.blockstore.segments import SegmentStore
from cidery.core.session import StoredDamaged
from cidery.ipld.block import Block
from cidery.multiformats.cid import CID
from cidery.multiformats.multiaddr import Multiaddr
from cidery.repo.config_file import read_raw, write_raw
from cidery.repo.gc.collection import GcStopped
from cidery.repo.pins import Pin
from gc_repo import Repo, leaf, node
from shell import Shell

SIZES = (10, 5000, 70_000, 300_000)
"""Below and above what is hashed on the loop."""


def blocks() -> list[Block]:
    source = random.Random(1)
    return [Block(CID.of(data), data) for data in (source.randbytes(size) for size in SIZES)]


def flip(path: Path, at: int) -> None:
    raw = bytearray(path.read_bytes())
    raw[at] ^= 0x10
    path.write_bytes(raw)


def flip_in(path: Path, data: bytes) -> None:
    """Change a byte in the middle of ``data``."""
    flip(path, path.read_bytes().index(data) + len(data) // 2)


async def stored(path: Path) -> Path:
    """A store with blocks(); returns its segment."""
    store = SegmentStore.open(path)
    await store.put_many(blocks(), kept=True, durability=Durability.DURABLE)
    await store.close()
    return path / "blocks" / segment_name(0)


@pytest.mark.parametrize("read_only", [False, True])
async def test_no_flipped_byte_is_ever_given_out(tmp_path: Path, read_only: bool) -> None:
    segment = await stored(tmp_path)
    sound = segment.read_bytes()
    for at in random.Random(2).sample(range(len(SEGMENT_HEADER), len(sound)), 25):
        flip(segment, at)
        store = SegmentStore.open(tmp_path, read_only=read_only)
        ready = [store.get_if_ready(one.cid) for one in blocks()]
        found = await store.get_many([one.cid for one in blocks()])
        assert all(data in (None, one.data) for data, one in zip(ready, blocks(), strict=True))
        assert [data == one.data for data, one in zip(found, blocks(), strict=True)].count(False) == 1
        (bad,) = [one for one, data in zip(blocks(), found, strict=True) if data is None]
        assert "000000.car at byte" in store.damage(bad.cid) and not store.damage(CID.of(b"absent"))
        assert (await store.size_many([bad.cid]), store.is_kept(bad.cid)) == ([None], None)
        await store.close()
        segment.write_bytes(sound)


async def test_a_damaged_block_is_stored_anew_and_then_whole(tmp_path: Path) -> None:
    segment = await stored(tmp_path)
    bad = blocks()[2]
    flip_in(segment, bad.data)
    store = SegmentStore.open(tmp_path)
    assert await store.get_many([bad.cid]) == [None] and store.touch([bad.cid]) == [None]
    await store.put_many([bad], kept=True, durability=Durability.DURABLE)
    assert await store.get_many([bad.cid]) == [bad.data] and not store.damage(bad.cid)
    await store.close()
    again = SegmentStore.open(tmp_path)
    assert await again.get_many([one.cid for one in blocks()]) == [one.data for one in blocks()]
    await again.close()


@pytest.mark.parametrize("lost", [False, True])
async def test_a_put_of_a_block_whose_stored_copy_is_damaged_stores_it_anew_before_anybody_read_it(
    tmp_path: Path, lost: bool
) -> None:
    segment = await stored(tmp_path)
    for one in blocks():
        flip_in(segment, one.data)
    if lost:
        segment.unlink()
    store = SegmentStore.open(tmp_path)
    await store.put_many(blocks(), kept=True, durability=Durability.DURABLE)
    await store.close()
    again = SegmentStore.open(tmp_path)
    assert await again.get_many([one.cid for one in blocks()]) == [one.data for one in blocks()]
    size = (await again.stat()).disk_bytes
    await again.put_many(blocks(), kept=True, durability=Durability.DURABLE)
    assert (await again.stat()).disk_bytes == size  # what is whole is not written again
    await again.close()


@pytest.mark.parametrize(("always", "notices"), [(True, True), (False, False)])
async def test_with_hash_on_read_every_read_is_hashed_else_the_first_one(
    tmp_path: Path, always: bool, notices: bool
) -> None:
    segment = await stored(tmp_path)
    store = SegmentStore.open(tmp_path, hash_on_read=always)
    cids = [one.cid for one in blocks()]
    assert await store.get_many(cids) == [one.data for one in blocks()]
    for one in blocks():
        flip_in(segment, one.data)
    assert [data is None for data in await store.get_many(cids)] == [notices] * len(SIZES)
    await store.close()


async def test_offline_the_damage_is_named_with_what_to_do(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "repo"
    async with cidery.Node(path, profile="test", offline=True) as one:
        assert one.api.config.hash_on_read is False
        cid = await one.add(b"some content that rots")
    flip_in(path / "blocks" / segment_name(0), b"some content that rots")
    write_raw(
        path / "config", {**(raw := read_raw(path / "config")), "Datastore": {**raw["Datastore"], "HashOnRead": True}}
    )
    async with cidery.Node(path, offline=True) as one:
        with (
            caplog.at_level(logging.WARNING),
            pytest.raises(StoredDamaged, match="do not match its hash.*add the data"),
        ):
            async for _ in one.cat(cid):
                continue
        assert str(cid) in caplog.text
        assert await one.add(b"some content that rots") == cid
        assert b"".join([bytes(part) async for part in one.cat(cid)]) == b"some content that rots"


async def test_online_a_damaged_block_is_fetched_again(tmp_path: Path) -> None:
    data = random.Random(3).randbytes(3 << 20)
    async with cidery.Node(tmp_path / "a", profile="test") as one, cidery.Node(tmp_path / "b", profile="test") as other:
        cid = await one.add(data)
        await other.add(data)
    flip_in(tmp_path / "a" / "blocks" / segment_name(0), data[: 1 << 20])
    async with cidery.Node(tmp_path / "a") as one, cidery.Node(tmp_path / "b") as other:
        await one.api.online.connect(Multiaddr.parse(other.api.online.identity().addresses[0]))
        assert b"".join([bytes(part) async for part in one.cat(cid)]) == data
        assert await Shell(one.api).run("pin verify") == ""
    async with cidery.Node(tmp_path / "a", offline=True) as one:
        assert b"".join([bytes(part) async for part in one.cat(cid)]) == data


async def test_a_damaged_node_below_a_pin_stops_a_collection(tmp_path: Path) -> None:
    repo = Repo(tmp_path)
    child, other = leaf(1), leaf(2)
    root = node(child, other)
    await repo.put(child, other, root)
    await repo.pins.add(Pin(root.cid, True))
    await repo.store.sync()
    segment = tmp_path / "blocks" / segment_name(0)
    flip(segment, segment.read_bytes().index(root.data) + root.data.index(child.cid.multihash) + 10)
    with pytest.raises(GcStopped, match="do not match its hash"):
        await repo.collect()
    assert repo.has(child) and repo.has(other)
    await repo.close()
