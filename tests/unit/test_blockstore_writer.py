"""Group commit, ordinals, visible and durable, damaged indexes: what the store's parts promise each other."""

import asyncio
import threading

import pytest

from cidery.blockstore.index import Index
from cidery.blockstore.index_records import IndexChange
from cidery.blockstore.interface import Durability
from cidery.blockstore.segment_file import Location
from cidery.blockstore.segments import SegmentStore
from cidery.disk.lmdb_environment import DatabaseDamaged
from cidery.disk.platform_io import OS_FILES, OsFiles, SyncPoint
from cidery.testing.blockstore_contract import block

VISIBLE, DURABLE = Durability.VISIBLE, Durability.DURABLE


class GatedFiles(OsFiles):
    """Syncs wait for a gate and are counted."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.waiting = threading.Event()
        """A sync has come to the gate."""
        self.synced = 0

    def sync(self, fd, point):
        self.waiting.set()
        self.gate.wait(60)
        self.synced += point is SyncPoint.SEGMENT_DATA
        super().sync(fd, point)


async def test_many_durable_puts_share_one_sync(tmp_path):
    files = GatedFiles()
    store = SegmentStore.open(tmp_path, files=files)
    puts = [asyncio.ensure_future(store.put_many([block(b"0")], kept=True, durability=DURABLE))]
    assert await asyncio.to_thread(files.waiting.wait, 60), "the first round is on its way to the disk"
    puts += [
        asyncio.ensure_future(store.put_many([block(b"%d" % i)], kept=True, durability=DURABLE)) for i in range(1, 50)
    ]
    while len(store._writer._waiters) < 49:
        await asyncio.sleep(0)
    assert files.synced == 0 and not any(put.done() for put in puts)
    files.gate.set()
    await asyncio.gather(*puts)
    assert files.synced == 2, "one for the first put, one for all that came while it ran"
    await store.close()


async def test_a_visible_put_does_not_wait_for_the_disk(tmp_path):
    files = GatedFiles()
    store = SegmentStore.open(tmp_path, files=files)
    await store.put_many([block(b"x")], kept=False, durability=VISIBLE)
    assert files.synced == 0
    files.gate.set()
    await store.sync()
    assert files.synced == 1
    await store.sync()
    assert files.synced == 1, "nothing new, nothing to sync"
    await store.close()


async def test_ordinals_are_dense_and_go_on_after_opening_again(tmp_path):
    for turn in range(3):
        store = SegmentStore.open(tmp_path)
        await store.put_many([block(b"%d %d" % (turn, i)) for i in range(20)], kept=True, durability=VISIBLE)
        await store.close()
    index = Index(tmp_path / "meta" / "index", OS_FILES, read_only=True)
    assert sorted(at.ordinal for _, at in index.page(b"", 1000)) == list(range(60))
    assert index.count() == 60
    index.close()


async def test_a_block_in_a_batch_that_moves_is_never_visible_at_its_old_place_only(tmp_path):
    store = SegmentStore.open(tmp_path)
    one = block(b"both in one round")
    store.put_many_blocking([one], kept=False)
    store.put_many_blocking([one], kept=True)
    await store.sync()
    assert store.is_kept(one.cid)
    assert (await store.stat())[:2] == (1, len(one.data))
    await store.close()


async def test_a_damaged_index_is_made_anew_by_itself_and_says_so(tmp_path, caplog):
    store = SegmentStore.open(tmp_path)
    await store.put_many([block(b"safe in its segment")], kept=True, durability=DURABLE)
    await store.close()
    (tmp_path / "meta" / "index" / "data.mdb").write_bytes(b"garbage" * 4000)
    with pytest.raises(DatabaseDamaged, match="delete the directory meta/index"):
        SegmentStore.open(tmp_path, read_only=True)
    again = SegmentStore.open(tmp_path)
    assert "made anew from the segments" in caplog.text
    assert await again.get_many([block(b"safe in its segment").cid]) == [b"safe in its segment"]
    await again.close()


async def test_a_rebuild_that_was_cut_off_begins_again(tmp_path):
    store = SegmentStore.open(tmp_path)
    blocks = [block(b"%d" % i) for i in range(10)]
    await store.put_many(blocks, kept=True, durability=DURABLE)
    await store.close()
    index = Index(tmp_path / "meta" / "index", OS_FILES)
    index.commit(IndexChange(counters={b"rebuilding": 1}))
    index.clear()
    index.close()
    again = SegmentStore.open(tmp_path)
    assert again.recovered.adopted_blocks == 10
    assert await again.get_many([b.cid for b in blocks]) == [b.data for b in blocks]
    await again.close()


def test_an_index_counts_what_lives_in_each_segment(tmp_path):
    index = Index(tmp_path, OS_FILES)
    index.commit(IndexChange(puts=[(b"a", Location(1, 26, 100, 38, 0)), (b"b", Location(1, 164, 50, 38, 1))]))
    assert [keys for _, keys in index.tails(1)] == [[b"a", b"b"]]
    index.commit(IndexChange(puts=[(b"a", Location(0, 26, 100, 38, 2))], watermarks={0: 164, 1: 252}))
    assert list(index.tails(0)) == list(index.tails(1)) == []
    assert index.segments() == {0: (164, 100, 1), 1: (252, 50, 1)}
    index.commit(IndexChange(deletes=[b"a", b"b", b"never there"]))
    assert index.segments() == {0: (164, 0, 0), 1: (252, 0, 0)}
    assert index.get(b"a") is None and index.count() == 0
    index.close()


def test_an_index_grows_past_its_first_map(tmp_path):
    index = Index(tmp_path, OS_FILES, map_size=64 * 1024)
    puts = [(b"%034d" % i, Location(0, i, 1, 38, i)) for i in range(5000)]
    for start in range(0, 5000, 500):
        index.commit(IndexChange(puts=puts[start : start + 500]))
    assert index.map_size() > 64 * 1024
    assert index.get_many([key for key, _ in puts]) == [at for _, at in puts]
    page = index.page(puts[9][0], 5)
    assert page == puts[10:15]
    index.close()
