"""Trimming the delete log: what covers a record stays, the rest goes, and nothing ever comes back."""

import asyncio
import errno
import os

import pytest

from cidery.blockstore import collector as collector_module
from cidery.blockstore.delete_log import LOG_NAME, PART_NAME, DeleteLog, Horizon
from cidery.blockstore.interface import Durability
from cidery.blockstore.segments import SegmentStore, rebuild_index
from cidery.disk.platform_io import OS_FILES, OsFiles
from cidery.testing.blockstore_contract import block

SEGMENT = 3000
BLOCKS = [block(b"%d-" % number * 50) for number in range(60)]


class FullDisk(OsFiles):
    """A disk that takes no more, once told so."""

    full = False

    def write(self, fd, parts, offset):
        if self.full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        super().write(fd, parts, offset)


@pytest.fixture
async def store(tmp_path):
    opened = SegmentStore.open(tmp_path, segment_bytes=SEGMENT)
    yield opened
    await opened.close()


async def put(store: SegmentStore, blocks) -> None:
    await store.put_many(blocks, kept=True, durability=Durability.DURABLE)


def entries(tmp_path) -> list[bytes]:
    log = DeleteLog(tmp_path / "blocks", OS_FILES)
    found = [stone.multihash for stone in log.entries() if stone.multihash]
    log.close()
    return found


async def trim(store: SegmentStore, **options) -> int:
    collector = store.collector()
    return await asyncio.to_thread(lambda: collector.trim_log(at_once=True, **options))


async def compact(store: SegmentStore) -> None:
    collector = store.collector()
    for use in collector.segments():
        if use.dead_bytes:
            await asyncio.to_thread(collector.compact, use)


@pytest.mark.parametrize("pass_entries", [1, 7, 1000])
async def test_entries_go_when_their_records_are_gone_and_stay_while_they_are_there(store, tmp_path, pass_entries):
    await put(store, BLOCKS)
    gone = [b.cid for b in BLOCKS[::2]]
    await store.delete_many(gone)
    assert await trim(store, pass_entries=pass_entries) == 0
    assert entries(tmp_path) == [cid.multihash for cid in gone]
    await compact(store)
    assert await trim(store, pass_entries=pass_entries) > 0
    assert entries(tmp_path) == []
    await store.close()
    rebuild_index(tmp_path)
    again = SegmentStore.open(tmp_path, segment_bytes=SEGMENT)
    sizes = await again.size_many([b.cid for b in BLOCKS])
    assert [size is None for size in sizes] == [True, False] * 30
    await again.close()


async def test_only_the_entries_of_what_is_left_stay(store, tmp_path):
    await put(store, BLOCKS)
    await store.delete_many([b.cid for b in BLOCKS[:30]])
    collector = store.collector()
    first = collector.segments()[0]
    await asyncio.to_thread(collector.compact, first)
    before = set(entries(tmp_path))
    await trim(store)
    left = set(entries(tmp_path))
    assert left and left < before
    await store.close()
    rebuild_index(tmp_path)
    again = SegmentStore.open(tmp_path, segment_bytes=SEGMENT)
    assert await again.size_many([b.cid for b in BLOCKS[:30]]) == [None] * 30
    assert None not in await again.size_many([b.cid for b in BLOCKS[30:]])
    await again.close()


async def test_what_was_deleted_and_put_again_stays_when_the_log_is_trimmed(store, tmp_path):
    await put(store, BLOCKS)
    await store.delete_many([b.cid for b in BLOCKS])
    await put(store, BLOCKS[:10])
    await trim(store)
    await compact(store)
    await trim(store)
    await store.close()
    rebuild_index(tmp_path)
    again = SegmentStore.open(tmp_path, segment_bytes=SEGMENT)
    sizes = await again.size_many([b.cid for b in BLOCKS])
    assert None not in sizes[:10] and sizes[10:] == [None] * 50
    await again.close()


async def test_deletes_during_a_trim_are_kept(store, tmp_path):
    await put(store, BLOCKS)
    await store.delete_many([b.cid for b in BLOCKS[:5]])
    await compact(store)
    log, writer = store._writer.log, store._writer
    since = log.end
    trimmed = log.begin_trimmed(writer.next_segment, iter(()))
    await store.delete_many([b.cid for b in BLOCKS[5:8]])
    await asyncio.to_thread(writer.replace_log, trimmed, since)
    assert entries(tmp_path) == [b.cid.multihash for b in BLOCKS[5:8]]
    await store.delete_many([BLOCKS[8].cid])
    assert entries(tmp_path) == [b.cid.multihash for b in BLOCKS[5:9]]


async def test_a_full_disk_leaves_the_log_as_it_is(tmp_path):
    files = FullDisk()
    store = SegmentStore.open(tmp_path, segment_bytes=SEGMENT, files=files)
    await put(store, BLOCKS)
    await store.delete_many([b.cid for b in BLOCKS[:9]])
    before = (tmp_path / "blocks" / LOG_NAME).read_bytes()
    files.full = True
    assert await trim(store) == 0
    assert (tmp_path / "blocks" / LOG_NAME).read_bytes() == before
    assert not (tmp_path / "blocks" / PART_NAME).exists()
    files.full = False
    await store.delete_many([BLOCKS[9].cid])
    assert len(entries(tmp_path)) == 10
    await store.close()


async def test_a_part_that_a_killed_process_left_is_no_obstacle(store, tmp_path):
    await put(store, BLOCKS[:5])
    await store.delete_many([b.cid for b in BLOCKS[:5]])
    (tmp_path / "blocks" / PART_NAME).write_bytes(b"half a log")
    await compact(store)
    assert await trim(store) > 0
    assert entries(tmp_path) == []
    assert not (tmp_path / "blocks" / PART_NAME).exists()


async def test_a_small_log_is_left_alone_and_a_large_one_is_trimmed_when_it_has_doubled(store, tmp_path, monkeypatch):
    await put(store, BLOCKS)
    await store.delete_many([b.cid for b in BLOCKS[:20]])
    await compact(store)
    collector = store.collector()
    assert await asyncio.to_thread(collector.trim_log) == 0
    monkeypatch.setattr(collector_module, "TRIM_BYTES", 500)
    assert await asyncio.to_thread(collector.trim_log) > 0
    await store.delete_many([b.cid for b in BLOCKS[20:40]])  # their records stay
    assert await asyncio.to_thread(collector.trim_log) == 0
    assert store._writer.log.trimmed_to > 1000
    await store.delete_many([b.cid for b in BLOCKS[40:50]])
    await compact(store)
    assert await asyncio.to_thread(collector.trim_log) == 0, "it has not doubled"


async def test_an_index_that_knows_another_log_applies_all_of_it(store, tmp_path):
    await put(store, BLOCKS)
    await store.delete_many([b.cid for b in BLOCKS[:5]])
    index = (tmp_path / "meta" / "index" / "data.mdb").read_bytes()
    await store.delete_many([b.cid for b in BLOCKS[5:10]])
    await trim(store)
    await store.close()
    (tmp_path / "meta" / "index" / "data.mdb").write_bytes(index)
    again = SegmentStore.open(tmp_path, segment_bytes=SEGMENT)
    assert await again.size_many([b.cid for b in BLOCKS[:10]]) == [None] * 10
    assert len(entries(tmp_path)) == 10
    await again.close()


def test_the_generation_is_read_from_the_first_entry(tmp_path):
    log = DeleteLog(tmp_path, OS_FILES)
    assert log.generation == 0
    log.append([b"\x12\x01a"], Horizon(3, 0, 0, 0, 0))
    log.replace_by(log.begin_trimmed(7, iter(())), log.end)
    log.close()
    again = DeleteLog(tmp_path, OS_FILES)
    (first,) = again.entries()
    assert again.generation == 1 and first.horizon.next_segment == 7 and not first.multihash
    again.close()
