"""The segment store on a real disk: the contract, what survives, what a second opening sees."""

import os
import re
from contextlib import asynccontextmanager

import pytest

from cidery.blockstore.interface import Durability
from cidery.blockstore.open_segments import MAX_OPEN
from cidery.blockstore.places import segment_name
from cidery.blockstore.segment_file import SEGMENT_HEADER
from cidery.blockstore.segments import SegmentStore, rebuild_index
from cidery.blockstore.write_errors import StoreClosed
from cidery.disk.file_locks import FileLocked
from cidery.ipld.block import Block
from cidery.ipld.car_reader import CarReader
from cidery.multiformats.cid import CID
from cidery.multiformats.multicodec import DAG_PB
from cidery.testing.blockstore_contract import CHECKS, block

VISIBLE, DURABLE = Durability.VISIBLE, Durability.DURABLE


@pytest.fixture
def make(tmp_path):
    counter = iter(range(1000))

    @asynccontextmanager
    async def make_store():
        store = SegmentStore.open(tmp_path / f"{next(counter)}", segment_bytes=3 << 20)
        try:
            yield store
        finally:
            await store.close()

    return make_store


@pytest.fixture
async def store(tmp_path):
    opened = SegmentStore.open(tmp_path)
    yield opened
    await opened.close()


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_the_segment_store_keeps_the_contract(check, make):
    await check(make)


async def test_blocks_survive_closing_and_opening(tmp_path):
    blocks = [block(b"%d" % i * i) for i in range(200)]
    store = SegmentStore.open(tmp_path, segment_bytes=4096)
    await store.put_many(blocks, kept=True, durability=VISIBLE)
    await store.close()
    again = SegmentStore.open(tmp_path, segment_bytes=4096)
    assert again.recovered.adopted_blocks == again.recovered.truncated_bytes == 0
    assert await again.get_many([b.cid for b in blocks]) == [b.data for b in blocks]
    assert (await again.stat())[:2] == (200, sum(len(b.data) for b in blocks))
    await again.close()


async def test_an_opened_store_appends_to_the_segment_it_left(tmp_path):
    for i in range(3):
        store = SegmentStore.open(tmp_path)
        await store.put_many([block(b"%d" % i)], kept=True, durability=DURABLE)
        await store.close()
    assert sorted(p.name for p in (tmp_path / "blocks").glob("*.car")) == ["000000.car"]


async def test_segments_are_cars_with_the_codec_that_was_put(store, tmp_path):
    node = block(b"\x0a\x00", DAG_PB, version=0)
    await store.put_many([node, block(b"leaf")], kept=True, durability=DURABLE)
    raw = (tmp_path / "blocks" / segment_name(0)).read_bytes()
    reader = CarReader()
    found = [placed.block for placed in reader.receive_data(raw)]
    reader.receive_eof()
    assert [str(root) for root in reader.roots] == ["bafkqaaa"]
    assert [(one.cid, bytes(one.data)) for one in found] == [
        (node.cid.to_v1(), node.data),
        (CID.of(b"leaf"), b"leaf"),
    ]


async def test_kept_and_cached_blocks_lie_in_separate_segments(store, tmp_path):
    await store.put_many([block(b"kept")], kept=True, durability=VISIBLE)
    await store.put_many([block(b"cached")], kept=False, durability=VISIBLE)
    assert b"kept" in (tmp_path / "blocks" / segment_name(0)).read_bytes()
    assert b"cached" in (tmp_path / "blocks" / segment_name(1)).read_bytes()
    assert store.is_kept(CID.of(b"kept")) is True
    assert store.is_kept(CID.of(b"cached")) is False
    assert store.is_kept(CID.of(b"absent")) is None


async def test_a_cached_block_put_as_kept_becomes_kept(store):
    one = block(b"found, then wanted")
    await store.put_many([one], kept=False, durability=DURABLE)
    await store.put_many([one], kept=True, durability=VISIBLE)
    assert store.is_kept(one.cid)
    await store.put_many([one], kept=False, durability=VISIBLE)
    assert store.is_kept(one.cid)
    stat = await store.stat()
    assert stat[:4] == (1, len(one.data), 1, len(one.data))
    assert stat.disk_bytes > 2 * len(one.data), "the cached copy and the kept one, until a compaction"


async def test_a_second_writer_is_refused(store, tmp_path):
    with pytest.raises(FileLocked, match="only one may write"):
        SegmentStore.open(tmp_path)


async def test_a_closed_store_says_so(tmp_path):
    store = SegmentStore.open(tmp_path)
    await store.close()
    with pytest.raises(StoreClosed):
        await store.get_many([CID.of(b"x")])
    with pytest.raises(StoreClosed):
        store.put_many_blocking([block(b"x")], kept=True)


async def test_the_number_of_open_files_is_bounded(tmp_path):
    def open_files() -> int:
        return len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0

    before = open_files()
    store = SegmentStore.open(tmp_path, segment_bytes=len(SEGMENT_HEADER) + 1)
    blocks = [block(b"one segment each %d" % i) for i in range(MAX_OPEN + 20)]
    await store.put_many(blocks, kept=True, durability=DURABLE)
    assert open_files() - before < MAX_OPEN + 10
    assert await store.get_many([b.cid for b in blocks]) == [b.data for b in blocks]
    await store.close()
    assert open_files() <= before + 1, "a closed store holds no files (the loop's own pipe may have been made)"


async def test_a_rebuilt_index_has_every_block_and_no_deleted_one(tmp_path):
    store = SegmentStore.open(tmp_path, segment_bytes=2000)
    blocks = [block(b"%d" % i * 20) for i in range(60)]
    await store.put_many(blocks[:40], kept=False, durability=VISIBLE)
    await store.put_many(blocks[20:], kept=True, durability=VISIBLE)
    gone = [b.cid for b in blocks[::4]]
    await store.delete_many(gone)
    await store.put_many(blocks[:1], kept=False, durability=VISIBLE)
    await store.close()
    (tmp_path / "meta" / "index" / "data.mdb").write_bytes(b"garbage" * 1000)
    rebuild_index(tmp_path)
    again = SegmentStore.open(tmp_path)
    wanted = [b.data if b.cid not in gone or b is blocks[0] else None for b in blocks]
    assert await again.get_many([b.cid for b in blocks]) == wanted
    assert again.is_kept(blocks[21].cid) and not again.is_kept(blocks[1].cid)
    assert (await again.stat()).blocks == sum(data is not None for data in wanted)
    await again.close()


async def test_a_lost_index_is_rebuilt_on_opening(tmp_path):
    store = SegmentStore.open(tmp_path)
    await store.put_many([block(b"still here")], kept=True, durability=DURABLE)
    await store.close()
    (tmp_path / "meta" / "index" / "data.mdb").unlink()
    again = SegmentStore.open(tmp_path)
    assert await again.get_many([CID.of(b"still here")]) == [b"still here"]
    await again.close()


async def test_a_torn_tail_is_truncated_and_what_precedes_it_adopted(tmp_path):
    store = SegmentStore.open(tmp_path)
    await store.put_many([block(b"durable")], kept=True, durability=DURABLE)
    await store.close()
    path = tmp_path / "blocks" / segment_name(0)
    whole, late = path.read_bytes(), block(b"late but whole")
    record = bytes([len(late.cid.encode()) + len(late.data)]) + late.cid.encode() + bytes(late.data)
    path.write_bytes(whole + record + record[:-3])
    again = SegmentStore.open(tmp_path)
    assert again.recovered.adopted_blocks == 1
    assert again.recovered.truncated_bytes == len(record) - 3
    assert path.read_bytes() == whole + record
    assert await again.get_many([late.cid, CID.of(b"durable")]) == [late.data, b"durable"]
    await again.close()


async def test_a_record_overwritten_by_another_is_damaged_and_gives_no_bytes(store, tmp_path):
    one, other = block(b"a" * 100), block(b"b" * 100)
    await store.put_many([one, other], kept=True, durability=DURABLE)
    path = tmp_path / "blocks" / segment_name(0)
    raw = path.read_bytes()
    size = (len(raw) - len(SEGMENT_HEADER)) // 2
    path.write_bytes(SEGMENT_HEADER + raw[-size:] * 2)
    assert store.get_if_ready(one.cid) is None
    assert await store.get_many([one.cid]) == [None]
    assert re.search(r"000000\.car at byte .*another record", store.damage(one.cid))
    assert await store.get_many([other.cid]) == [other.data]


async def test_a_missing_segment_is_named(tmp_path):
    store = SegmentStore.open(tmp_path)
    await store.put_many([block(b"x")], kept=True, durability=DURABLE)
    await store.close()
    (tmp_path / "blocks" / segment_name(0)).unlink()
    again = SegmentStore.open(tmp_path)
    assert await again.get_many([CID.of(b"x")]) == [None]
    assert "the file is missing" in again.damage(CID.of(b"x"))
    await again.put_many([block(b"y")], kept=True, durability=DURABLE)
    assert not (tmp_path / "blocks" / segment_name(0)).exists(), "a segment number was used twice"
    await again.close()


async def test_warm_blocks_are_ready_in_the_loop(store):
    one = Block(CID.of(b"warm"), b"warm")
    await store.put_many([one], kept=True, durability=VISIBLE)
    await store.get_many([one.cid])
    assert store.get_if_ready(one.cid) == b"warm"


async def test_verify_counts_sound_blocks_and_reports_none(store):
    blocks = [block(b"%d" % i * 9) for i in range(600)]
    await store.put_many(blocks, kept=True, durability=VISIBLE)
    reports = [report async for report in store.verify()]
    assert reports[-1].blocks == 600 and reports[-1].bytes == sum(len(b.data) for b in blocks)
    assert not any(report.faults for report in reports)


async def test_verify_of_an_empty_store_reports_nothing_to_do(store):
    assert [tuple(report) async for report in store.verify()] == [(0, 0, ())]


async def test_verify_names_each_block_that_cannot_be_had(tmp_path):
    store = SegmentStore.open(tmp_path, segment_bytes=400)
    blocks = [block(b"%d" % i * 200) for i in range(4)]
    await store.put_many(blocks, kept=True, durability=DURABLE)
    paths = [tmp_path / "blocks" / segment_name(number) for number in (0, 2, 4)]
    paths[0].unlink()
    paths[1].write_bytes(paths[1].read_bytes()[:-1])
    paths[2].write_bytes(paths[2].read_bytes()[:-1] + b"?")
    await store.close()
    store = SegmentStore.open(tmp_path, segment_bytes=400)
    faults = {fault.multihash: fault.reason for report in [r async for r in store.verify()] for fault in report.faults}
    assert faults == {
        blocks[0].cid.multihash: "000000.car: the file is missing",
        blocks[1].cid.multihash: "000002.car at byte 26: the file ends inside the record",
        blocks[2].cid.multihash: "000004.car at byte 26: its bytes do not match its hash",
    }
    await store.close()
