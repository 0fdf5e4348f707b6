"""Blocks as parts of the file that they are in: who gets them, and that they stay while they are lent."""

import asyncio
from pathlib import Path

from cidery.blockstore.segments import SegmentStore
from cidery.multiformats.cid import CID
from cidery.multiformats.multicodec import RAW
from cidery.multiformats.multihash import IDENTITY, multihash
from gc_repo import Repo, leaf

BIG = 400_000


async def test_a_block_that_was_written_here_is_lent_and_none_that_is_absent_or_of_another_size(tmp_path: Path) -> None:
    repo = Repo(tmp_path)
    block = leaf(1, BIG)
    await repo.put(block)
    with repo.store.lent(block.cid, BIG) as part:
        assert part is not None and part.read() == block.data
    for cid, size in ((block.cid, BIG - 1), (leaf(2, BIG).cid, BIG), (CID(1, RAW, multihash(IDENTITY, b"x" * 20)), 20)):
        with repo.store.lent(cid, size) as part:
            assert part is None
    await repo.close()


async def test_a_block_is_lent_after_it_was_hashed_and_only_to_the_process_that_writes(tmp_path: Path) -> None:
    repo = Repo(tmp_path)
    block = leaf(1, BIG)
    await repo.put(block)
    await repo.close()
    store, reader = SegmentStore.open(tmp_path), SegmentStore.open(tmp_path, read_only=True)
    for one, lends in ((store, True), (reader, False)):
        with one.lent(block.cid, BIG) as part:
            assert part is None  # what is on the disk may be damaged
        assert await one.get_many([block.cid]) == [block.data]
        with one.lent(block.cid, BIG) as part:
            assert (part is not None) is lends
        await one.close()


async def test_no_hole_is_made_in_what_is_lent(tmp_path: Path) -> None:
    repo = Repo(tmp_path, segment_bytes=1 << 24)
    block = leaf(1, BIG)
    await repo.put(block)
    with repo.store.lent(block.cid, BIG) as part:
        await repo.store.delete_many([block.cid])
        collector = repo.store.collector()
        (use,) = collector.segments()
        assert await asyncio.to_thread(collector.punch, use) == 0
        assert part is not None and part.read() == block.data
        with repo.store.lent(block.cid, BIG) as again:
            assert again is None  # it is removed
    assert await asyncio.to_thread(collector.punch, use) > BIG // 2
    await repo.close()
