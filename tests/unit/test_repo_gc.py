"""Collections: what goes, what stays, in which order things may happen, and that a killed one goes on."""

import asyncio
import os
import time

import pytest

from cidery.blockstore.segments import rebuild_index
from cidery.core.keeping.budget import collect_over, evict_over, keeping_budget
from cidery.core.keeping.collector import GcRunning
from cidery.multiformats.cid import CID
from cidery.multiformats.multicodec import RAW
from cidery.repo.config import DEFAULT_CID_PROFILE, new_raw, parse_config
from cidery.repo.gc.collection import Collection, Compacted, GcStopped, Marking, Swept
from cidery.repo.gc.mark import Mark
from cidery.repo.gc.saved import MarkFile
from cidery.repo.pins import Pin
from cidery.repo.provisional import Operation, encode_operation
from cidery.repo.reserve import Reserve
from cidery.repo.state import Put, StateTable
from gc_repo import SEGMENT, Repo, leaf, node


@pytest.fixture
async def repo(tmp_path):
    opened = Repo(tmp_path)
    yield opened
    await opened.close()


async def test_what_nothing_reaches_goes_and_the_disk_gets_its_space_back(repo):
    kept = [leaf(n) for n in range(20)]
    root = node(*kept)
    await repo.put(*kept, root, *(leaf(n) for n in range(100, 400)))
    await repo.pins.add(Pin(root.cid, True))
    before = sum(file.stat().st_size for file in (repo.path / "blocks").glob("*.car"))
    steps = await repo.collect()
    gone = [key for step in steps if isinstance(step, Swept) for key, _ in step.blocks]
    assert len(gone) == 300 and all(repo.has(block) for block in (*kept, root))
    assert not any(repo.has(leaf(n)) for n in range(100, 400))
    after = sum(file.stat().st_size for file in (repo.path / "blocks").glob("*.car"))
    freed = sum(step.bytes for step in steps if isinstance(step, Compacted))
    assert 300 * 400 < before - after <= freed < before - after + 200  # headers of new segments
    assert (await repo.store.stat()).blocks == 21


async def test_a_rebuilt_index_resurrects_nothing_that_was_collected(tmp_path):
    repo = Repo(tmp_path, segment_bytes=1 << 20)
    kept = leaf(1)
    await repo.put(kept, *(leaf(n) for n in range(100, 120)))
    await repo.pins.add(Pin(kept.cid, False))
    await repo.collect()
    await repo.close()
    rebuild_index(tmp_path)
    again = Repo(tmp_path)
    assert again.has(kept) and (await again.store.stat()).blocks == 1
    await again.close()


async def test_a_direct_pin_holds_its_block_only(repo):
    child = leaf(1)
    root = node(child)
    await repo.put(child, root)
    await repo.pins.add(Pin(root.cid, False))
    await repo.collect()
    assert repo.has(root) and not repo.has(child)


async def test_one_multihash_under_two_codecs_keeps_its_children(repo):
    child = leaf(1)
    root = node(child)
    await repo.put(child, root)
    await repo.pins.add(Pin(CID(1, RAW, root.cid.multihash), True))
    await repo.pins.add(Pin(root.cid, True))
    await repo.collect()
    assert repo.has(root) and repo.has(child)


async def test_an_expired_pin_holds_nothing_and_its_record_goes(repo):
    old, new = leaf(1), leaf(2)
    await repo.put(old, new)
    await repo.pins.add(Pin(old.cid, True, expires=repo.now), Pin(new.cid, True, expires=repo.now + 1))
    await repo.collect()
    assert not repo.has(old) and repo.has(new)
    assert [pin.cid for pin in repo.pins.every()] == [new.cid]


async def test_a_missing_block_below_a_pin_stops_the_collection_before_anything_goes(repo):
    missing, garbage = leaf(1), leaf(2)
    root = node(missing)
    await repo.put(root, garbage)
    await repo.pins.add(Pin(root.cid, True))
    with pytest.raises(GcStopped, match="nothing was removed") as caught:
        await repo.collect()
    assert caught.value.faults[0].cid == missing.cid
    assert repo.has(garbage)


async def test_existing_garbage_that_is_added_again_during_the_sweep_stays(repo):
    garbage = [leaf(n) for n in range(2000)]
    await repo.put(*garbage)
    steps = repo.collector.garbage()
    async for step in steps:
        if isinstance(step, Swept):
            break
    async with repo.operation("add"):
        await repo.put(*garbage)
        async for _ in steps:
            continue
        assert all(repo.has(block) for block in garbage)
        root = node(*garbage[:100])
        await repo.put(root)
        await repo.pins.add(Pin(root.cid, True))
    await repo.collect()
    assert all(repo.has(block) for block in (root, *garbage[:100])) and not repo.has(garbage[100])


async def test_a_local_dag_that_is_pinned_during_the_mark_stays(repo):
    children = [leaf(n) for n in range(600)]
    roots = [node(*children[n : n + 20]) for n in range(0, 600, 20)]
    top = node(*roots)
    held = leaf(9999)
    await repo.put(*children, *roots, top, held)
    await repo.pins.add(Pin(held.cid, True))
    steps = repo.collector.garbage()
    assert isinstance(await anext(steps), Marking)
    async with repo.operation("pin", top.cid):
        await repo.pins.add(Pin(top.cid, True))
    async for _ in steps:
        continue
    assert all(repo.has(block) for block in (top, *roots, *children))


async def test_a_tree_that_moves_into_the_mutable_files_during_the_mark_stays(repo):
    subtree = node(*(leaf(n) for n in range(50)))
    await repo.put(subtree, *(leaf(n) for n in range(50)))
    before, after = node(), node(subtree)
    await repo.put(before)
    await repo.mfs.set(before.cid)
    steps = repo.collector.garbage()
    await anext(steps)
    await repo.put(after)
    await repo.mfs.set(after.cid)
    async for _ in steps:
        continue
    assert repo.has(after) and repo.has(subtree) and all(repo.has(leaf(n)) for n in range(50))


async def test_two_adds_that_share_blocks_do_not_harm_each_other_when_one_is_cancelled(repo):
    shared = [leaf(n) for n in range(10)]
    first = repo.operation("add")
    await first.__aenter__()
    await repo.put(*shared)
    async with repo.operation("add"):
        await repo.put(*shared)  # all of them are there already
        await first.__aexit__(None, None, None)
        await repo.collect()
        assert all(repo.has(block) for block in shared)
        root = node(*shared)
        await repo.put(root)
        await repo.pins.add(Pin(root.cid, True))
    await repo.collect()
    assert all(repo.has(block) for block in shared)


async def test_what_hangs_below_a_missing_block_stays_when_that_block_comes(repo):
    child = leaf(1)
    middle = node(child)
    root = node(middle)
    others = [leaf(n) for n in range(100, 3000)]
    await repo.put(root, child, *others)
    await repo.mfs.set(root.cid)
    steps = repo.collector.garbage()
    assert isinstance(await anext(steps), Marking)
    await repo.put(middle)
    async for _ in steps:
        continue
    assert repo.has(root) and repo.has(middle) and repo.has(child)


async def test_only_one_collection_runs_at_a_time(repo):
    await repo.put(*(leaf(n) for n in range(50)))
    steps = repo.collector.garbage()
    await anext(steps)
    with pytest.raises(GcRunning):
        await repo.collect()
    await steps.aclose()
    await repo.collect()
    assert (await repo.store.stat()).blocks == 0


async def test_a_block_that_is_put_while_it_is_being_forgotten_is_stored_anew(repo):
    block = leaf(1)
    await repo.put(block)
    collector = repo.store.collector()
    with collector.holding():
        doomed = collector.doom([item for page in collector.pages() for item in page], lambda ordinal: False)
        assert repo.store.touch([block.cid]) == [None]
        await repo.put(block)
        await asyncio.to_thread(collector.bury, doomed)
    assert repo.has(block)


async def test_what_a_dead_process_left_over_is_garbage(tmp_path):
    repo = Repo(tmp_path)
    record = Operation(bytes(16), "add", 1.0, 0, ())
    await repo.state.apply(Put(StateTable.PROVISIONAL, record.id, encode_operation(record)))
    await repo.put(leaf(1))
    await repo.close()
    again = Repo(tmp_path)
    assert again.provisional.left_over()
    await again.collect()
    assert not again.has(leaf(1)) and not again.provisional.every()
    await again.close()


async def test_a_mark_goes_on_from_its_file_and_repeats_nothing(repo):
    leaves = [leaf(n) for n in range(300)]
    nodes = [node(*leaves[n : n + 10]) for n in range(0, 300, 10)]
    root = node(*nodes)
    await repo.put(*leaves, *nodes, root)
    await repo.pins.add(Pin(root.cid, True))
    collector = repo.store.collector()
    mark, file = Mark(collector), MarkFile(collector.index_path)
    mark.push([root.cid], strict=True)
    mark.step()
    collection = Collection(collector, repo.roots, Reserve(repo.path), clock=time.monotonic, wall=lambda: repo.now)
    file.save(mark, collection._start._replace(since=10**9, started=repo.now))
    resumed = Mark(collector)
    start = file.load(resumed, repo.now + 60)
    assert start.since == 10**9 and resumed.stack == mark.stack and resumed.strict
    assert bytes(resumed.live) == bytes(mark.live) and resumed.blocks == mark.blocks == 1
    while resumed.step():
        continue
    assert resumed.blocks == len(leaves) + len(nodes) + 1
    assert file.load(Mark(collector), repo.now + 10**6) is None


@pytest.mark.parametrize("cut", [0, 5, 20, 60, 100])
async def test_a_torn_mark_is_not_gone_on_with(repo, cut):
    await repo.put(leaf(1))
    collector = repo.store.collector()
    file = MarkFile(collector.index_path)
    mark = Mark(collector)
    mark.push([leaf(1).cid, leaf(2).cid])
    mark.step()
    collection = Collection(collector, repo.roots, Reserve(repo.path), clock=time.monotonic, wall=lambda: repo.now)
    file.save(mark, collection._start._replace(started=repo.now))
    path = collector.index_path / "mark"
    path.write_bytes(path.read_bytes()[:cut])
    assert file.load(Mark(collector), repo.now) is None


async def test_cached_blocks_are_evicted_coldest_first_and_kept_ones_never(repo):
    kept = [leaf(n) for n in range(50)]
    cached = [leaf(n) for n in range(1000, 1200)]
    await repo.put(*kept)
    for block in cached:
        await repo.put(block, kept=False)
    hot = cached[:10]
    for block in hot:
        assert repo.has(block)
    pinned = node(*cached[20:25])
    await repo.put(pinned)
    await repo.pins.add(Pin(pinned.cid, True))
    freed = sum([step.bytes async for step in repo.collector.evict(30_000) if isinstance(step, Compacted)])
    assert 30_000 <= freed < 70_000
    assert all(repo.has(block) for block in (*kept, *cached[20:25], pinned))
    assert all(repo.has(block) for block in hot)
    assert not any(repo.has(block) for block in cached[60:70])


async def test_a_full_disk_gives_up_the_reserve(tmp_path):
    reserve = Reserve(tmp_path)
    assert reserve.keep() and reserve.keep()
    assert reserve.release() and not reserve.release()


async def test_a_store_over_its_budget_loses_cached_blocks_only(repo):
    kept, cached = [leaf(n) for n in range(50)], [leaf(n) for n in range(100, 300)]
    await repo.put(*kept)
    await repo.put(*cached, kept=False)
    config = parse_config(new_raw(os.urandom, cid_profile=DEFAULT_CID_PROFILE, profiles=[]))._replace(gc_watermark=50)
    before = await repo.store.stat()
    await evict_over(repo.collector, config._replace(storage_max=before.disk_bytes))
    assert (await repo.store.stat()).blocks == 250
    await evict_over(repo.collector, config._replace(storage_max=before.disk_bytes - 1))
    after = await repo.store.stat()
    assert after.disk_bytes <= before.disk_bytes // 2 + SEGMENT and after.kept_blocks == 50
    await collect_over(repo.collector, config._replace(storage_max=after.disk_bytes))
    assert (await repo.store.stat()).blocks == 0


async def test_a_daemon_looks_after_its_budget_again_and_again(repo):
    await repo.put(*(leaf(n) for n in range(100)), kept=False)
    config = parse_config(new_raw(os.urandom, cid_profile=DEFAULT_CID_PROFILE, profiles=[]))
    waits: asyncio.Queue[float] = asyncio.Queue()
    turns = asyncio.Semaphore(0)

    async def sleep(seconds):
        waits.put_nowait(seconds)
        await turns.acquire()

    config = config._replace(storage_max=10_000)
    async with keeping_budget(lambda: repo.collector, config, collect=False, sleep=sleep):
        for _ in range(2):
            assert await waits.get() == 30.0
            turns.release()
        await waits.get()
    assert (await repo.store.stat()).disk_bytes < 30_000
