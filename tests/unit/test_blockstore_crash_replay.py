"""Power cuts: every state that one could leave is opened, and must hold all that was acknowledged and no wrong byte."""

import asyncio
import random
import shutil
import tempfile
from pathlib import Path

import pytest

from cidery.blockstore.interface import Durability
from cidery.blockstore.segment_file import CorruptSegment
from cidery.blockstore.segments import SegmentStore, rebuild_index
from cidery.disk.platform_io import SyncPoint
from cidery.ipld.block import Block
from cidery.testing.blockstore_contract import block
from cidery.testing.crash_files import CrashFiles, CrashState, Disk, Noted, Trace, UnsyncedFiles, crash_states

SEGMENT = 3000
STATES = 1000


class Broken(AssertionError):
    """A promise the store did not keep."""


@pytest.fixture
def fast_path():
    """A directory in memory where there is one: a thousand states are written and opened."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(prefix="cidery-", dir=memory if memory.is_dir() else None) as name:
        yield Path(name)


class Workload:
    """A seeded life of a store: puts of both classes, deletes, syncs, and processes that die without a power cut."""

    def __init__(self, root: Path, seed: int, left_out: SyncPoint | None, *, compacts: bool = True) -> None:
        self.compacts = compacts
        self.rng = random.Random(seed)
        self.trace = Trace()
        self.root = root
        self.left_out = left_out
        self.blocks = [block(b"%d-" % i * self.rng.randrange(1, 200)) for i in range(60)]
        self.visible: set[bytes] = set()
        self.deleted: list[Block] = []
        self.lives = 0

    def note(self, kind: str, keys: list[bytes]) -> None:
        self.trace.add(Noted((kind, tuple(keys))))

    def open(self) -> None:
        self.files = CrashFiles(self.trace, left_out=self.left_out)
        self.store = SegmentStore.open(self.root / str(self.lives), files=self.files, segment_bytes=SEGMENT)

    async def kill(self, began: int) -> None:
        """The process dies somewhere in its last operation; the page cache lives on, in a copy of the directory.

        Now and then the index is lost as well.
        """
        self.files.recording = False
        await self.store.close()
        del self.trace.events[self.rng.randrange(began, len(self.trace.events) + 1) :]
        disk = Disk()
        for event in self.trace.events:
            disk.apply(event)
        self.lives += 1
        files = {name: file.after(lambda event: event) for name, file in disk.files.items() if not file.removed}
        index = None if self.rng.random() < 0.3 else disk.indexes[-1]
        root = self.root / str(self.lives)
        CrashState(0, files, index).write_to(root / "blocks", root / "meta" / "index")
        self.open()

    async def put(self, durability: Durability) -> None:
        some = self.rng.sample(self.blocks, self.rng.randrange(1, 6))
        keys = [b.cid.multihash for b in some]
        self.note("doubted", keys)
        await self.store.put_many(some, kept=self.rng.random() < 0.5, durability=durability)
        if durability is Durability.DURABLE:
            self.note("promised", keys)
        else:
            self.visible.update(keys)

    async def delete(self, *, again: bool = False) -> None:
        if not again:
            self.deleted = self.rng.sample(self.blocks, 2)
        some = self.deleted
        keys = [b.cid.multihash for b in some]
        self.note("unsure", keys)
        await self.store.delete_many([b.cid for b in some])
        self.visible.difference_update(keys)
        self.note("gone", keys)

    async def sync(self) -> None:
        await self.store.sync()
        self.note("promised", sorted(self.visible))
        self.visible.clear()

    async def shrink(self) -> None:
        """What ends a collection: segments are rewritten, then the log of what was deleted from them."""
        collector = self.store.collector()
        if self.compacts:
            for use in self.rng.sample(collector.segments(), min(3, len(collector.segments()))):
                await asyncio.to_thread(collector.compact, use)
        await asyncio.to_thread(lambda: collector.trim_log(at_once=True, pass_entries=5))

    async def run(self, steps: int) -> None:
        self.open()
        began = len(self.trace.events)
        for _ in range(steps):
            chosen = self.rng.random()
            if chosen < 0.14:
                await self.kill(began)
                self.visible.clear()
                if self.deleted and self.rng.random() < 0.7:
                    await self.delete(again=True)
                continue
            began = len(self.trace.events)
            if chosen < 0.40:
                await self.put(Durability.DURABLE)
            elif chosen < 0.70:
                await self.put(Durability.VISIBLE)
            elif chosen < 0.84:
                await self.delete()
            elif chosen < 0.94:
                await self.shrink()
            else:
                await self.sync()
        await self.store.close()


def expected_at(trace: Trace) -> list[tuple[frozenset[bytes], frozenset[bytes]]]:
    """(must be there, must be gone) after each number of events."""
    there: frozenset[bytes] = frozenset()
    gone: frozenset[bytes] = frozenset()
    states = [(there, gone)]
    for event in trace.events:
        if isinstance(event, Noted):
            kind, keys = event.what
            if kind == "promised":
                there |= set(keys)
            elif kind == "doubted":
                gone -= set(keys)
            elif kind == "unsure":
                there -= set(keys)
            else:
                gone |= set(keys)
        states.append((there, gone))
    return states


async def check(store: SegmentStore, blocks: list[Block], there: frozenset[bytes], gone: frozenset[bytes]) -> None:
    cids = [b.cid for b in blocks]
    try:
        found = await store.get_many(cids)
    except CorruptSegment as exc:
        raise Broken(str(exc)) from exc
    sizes = await store.size_many(cids)
    for b, data, size in zip(blocks, found, sizes, strict=True):
        key = b.cid.multihash
        if data is not None and data != b.data:
            raise Broken(f"wrong bytes for {b.cid}")
        if (None if data is None else len(data)) != size:
            raise Broken(f"the index and the segments disagree about {b.cid}")
        if data is None and key in there:
            raise Broken(f"acknowledged block {b.cid} is lost")
        if data is not None and key in gone:
            raise Broken(f"deleted block {b.cid} is back")


async def check_sound(store: SegmentStore) -> None:
    async for report in store.verify():
        if report.faults:
            raise Broken(str(report.faults))


async def replay(work: Workload, fast_path: Path, count: int, *, any_index: bool = False) -> int:
    """Open and check ``count`` crash states, every third also after a rebuild of the index; returns how many."""
    expected = expected_at(work.trace)
    rng = random.Random(work.rng.random())
    done = 0
    for done, state in enumerate(crash_states(work.trace.events, rng, count, any_index=any_index), 1):
        root = fast_path / "state"
        state.write_to(root / "blocks", root / "meta" / "index")
        there, gone = expected[state.moment]
        for rebuilt in (False, True)[: 1 + (done % 3 == 0)]:
            if rebuilt:
                rebuild_index(root, files=UnsyncedFiles())
            store = SegmentStore.open(root, files=UnsyncedFiles(), segment_bytes=SEGMENT)
            try:
                await check(store, work.blocks, there, gone)
                if rebuilt:
                    await check_sound(store)
            finally:
                await store.close()
        shutil.rmtree(root)
    return done


async def worked(fast_path: Path, seed: int, left_out: SyncPoint | None = None, *, compacts: bool = True) -> Workload:
    work = Workload(fast_path / f"life{seed}", seed, left_out, compacts=compacts)
    await work.run(70)
    return work


async def test_no_power_cut_loses_an_acknowledged_block_or_gives_a_wrong_byte(fast_path):
    states = 0
    for seed in range(4):
        states += await replay(await worked(fast_path, seed), fast_path, STATES // 4)
    assert states == STATES


async def test_an_index_that_fell_back_to_an_earlier_commit_costs_nothing(fast_path):
    # An index from before a compaction names files that are gone: such a one LMDB never leaves.
    work = await worked(fast_path, 9, compacts=False)
    assert await replay(work, fast_path, 150, any_index=True) == 150


@pytest.mark.parametrize("point", SyncPoint)
async def test_the_replay_fails_when_a_sync_is_taken_out(fast_path, point):
    with pytest.raises(Broken):
        for seed in range(24):
            await replay(await worked(fast_path, seed, left_out=point), fast_path, 150)
            await asyncio.sleep(0)
