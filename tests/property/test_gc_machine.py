"""Any interleaving of adds, pins, moves and kills with the steps of a collection: nothing reachable is ever lost."""

import asyncio
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from cidery.blockstore.collector import Doomed, StoreCollector
from cidery.blockstore.segments import SegmentStore
from cidery.core.keeping.pin import pin_add
from cidery.core.session import NotStored, StoreSession
from cidery.ipld.block import Block
from cidery.multiformats.cid import CID
from cidery.multiformats.multicodec import RAW
from cidery.repo.gc import collection as gc
from cidery.repo.gc import mark as gc_mark
from cidery.repo.pins import Pin
from gc_repo import Repo, leaf, node

MEMORY = Path("/dev/shm")
"""Where syncs cost nothing: the machine syncs thousands of times."""
LEAVES = [leaf(number, 40) for number in range(12)]
FILES = [node(*LEAVES[n : n + 3]) for n in range(0, 12, 2)]
FOLDERS = [node(*FILES[n : n + 2]) for n in range(len(FILES) - 1)]
TOPS = [node(FOLDERS[0], FILES[4]), node(FOLDERS[1], FOLDERS[3]), node(FOLDERS[0], FOLDERS[4], LEAVES[11])]
NODES = [*FILES, *FOLDERS, *TOPS]
ALL = {block.cid: block for block in (*LEAVES, *NODES)}
PARTS = st.lists(st.sampled_from(list(ALL.values())), min_size=1, max_size=8)
CHILDREN: dict[CID, list[CID]] = {
    **{block.cid: [child.cid for child in LEAVES[n : n + 3]] for n, block in zip(range(0, 12, 2), FILES, strict=True)},
    **{block.cid: [child.cid for child in FILES[n : n + 2]] for n, block in enumerate(FOLDERS)},
    TOPS[0].cid: [FOLDERS[0].cid, FILES[4].cid],
    TOPS[1].cid: [FOLDERS[1].cid, FOLDERS[3].cid],
    TOPS[2].cid: [FOLDERS[0].cid, FOLDERS[4].cid, LEAVES[11].cid],
}


def below(root: CID) -> set[CID]:
    """The whole DAG of a root."""
    found, stack = set(), [root]
    while stack:
        cid = stack.pop()
        if cid not in found:
            found.add(cid)
            stack += CHILDREN.get(cid, [])
    return found


class Intruded(StoreCollector):
    """A collector during which blocks are put after it decided and before it forgets: the narrowest place."""

    intruders: tuple[Block, ...] = ()
    intruded = False
    store: SegmentStore

    def bury(self, doomed: Doomed) -> None:
        if self.intruders:
            self.intruded = True
            self.store.put_many_blocking(self.intruders, kept=True)
        super().bury(doomed)


class Intrudable(Repo):
    """Its collections are Intruded."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, segment_bytes=1200)
        self.intruded: Intruded | None = None

        def collector() -> StoreCollector:
            made = SegmentStore.collector(self.store)
            made.__class__ = Intruded
            assert isinstance(made, Intruded)
            made.store, self.intruded = self.store, made
            return made

        self.store.collector = collector  # type: ignore[method-assign]

    async def keep(self, cids: Iterable[CID]) -> None:
        cids = list(cids)
        for cid, kept in zip(cids, self.store.touch(cids), strict=True):
            if not kept:
                await self.put(Block(cid, await StoreSession(self.store).get(cid)))


class Machine(RuleBasedStateMachine):
    """The repository beside a model of what must be there."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp(dir=MEMORY if MEMORY.is_dir() else None))
        self.runner = asyncio.Runner()
        self.runner.run(asyncio.sleep(0))
        self.repo = self.call(self.opened())
        self.pinned: set[CID] = set()
        self.direct: set[CID] = set()
        self.mfs: CID | None = None
        self.adds: list[tuple[object, set[CID]]] = []
        self.steps: object = None

    def call(self, work):  # type: ignore[no-untyped-def]
        return self.runner.run(work)

    async def opened(self) -> Intrudable:
        return Intrudable(self.directory)

    def teardown(self) -> None:
        self.stop_everything()
        self.call(self.repo.close())
        self.runner.close()
        shutil.rmtree(self.directory)

    def stop_everything(self) -> None:
        if self.steps is not None:
            self.call(self.steps.aclose())
            self.steps = None
        for context, _ in self.adds:
            self.call(context.__aexit__(None, None, None))
        self.adds = []

    # -- what users do ---------------------------------------------------------------------------------------------

    @initialize()
    def everything_is_there_as_garbage(self):  # type: ignore[no-untyped-def]
        self.call(self.repo.put(*ALL.values()))

    @rule(blocks=st.one_of(st.just(list(ALL.values())), PARTS), kept=st.booleans())
    def blocks_are_put_that_nothing_holds(self, blocks, kept):  # type: ignore[no-untyped-def]
        self.call(self.repo.put(*blocks, kept=kept))

    @rule(root=st.sampled_from(NODES), pin=st.booleans())
    def a_whole_dag_is_added(self, root, pin):  # type: ignore[no-untyped-def]
        async def add() -> None:
            async with self.repo.operation("add"):
                await self.repo.put(*(ALL[cid] for cid in below(root.cid)))
                if pin:
                    await self.repo.pins.add(Pin(root.cid, True))

        self.call(add())
        if pin:
            self.pinned.add(root.cid)

    @rule()
    @precondition(lambda self: len(self.adds) < 3)
    def an_add_begins(self):  # type: ignore[no-untyped-def]
        context = self.repo.operation("add")
        self.call(context.__aenter__())
        self.adds.append((context, set()))

    @rule(which=st.integers(0, 2), blocks=PARTS)
    @precondition(lambda self: self.adds)
    def an_add_goes_on(self, which, blocks):  # type: ignore[no-untyped-def]
        self.call(self.repo.put(*blocks))
        self.adds[which % len(self.adds)][1].update(block.cid for block in blocks)

    @rule(which=st.integers(0, 2))
    @precondition(lambda self: self.adds)
    def an_add_ends_or_is_cancelled(self, which):  # type: ignore[no-untyped-def]
        context, held = self.adds.pop(which % len(self.adds))
        whole = [root for root in NODES if below(root.cid) <= held]

        async def end() -> None:
            if whole:
                await self.repo.pins.add(Pin(whole[0].cid, True))
            await context.__aexit__(None, None, None)

        self.call(end())
        if whole:
            self.pinned.add(whole[0].cid)

    @rule(root=st.sampled_from(NODES))
    def a_local_dag_is_pinned(self, root):  # type: ignore[no-untyped-def]
        async def pin() -> bool:
            async with self.repo.operation("pin", root.cid):
                try:
                    steps = pin_add(
                        root.cid, StoreSession(self.repo.store), self.repo.pins, now=1.0, keep=self.repo.keep
                    )
                    async for _ in steps:
                        continue
                except NotStored:
                    return False
            return True

        if self.call(pin()):
            self.pinned.add(root.cid)

    @rule(root=st.sampled_from(NODES))
    def a_node_is_pinned_as_raw(self, root):  # type: ignore[no-untyped-def]
        async def pin() -> bool:
            async with self.repo.operation("pin"):
                if self.repo.store.touch([root.cid]) == [None]:
                    return False
                await self.repo.pins.add(Pin(CID(1, RAW, root.cid.multihash), True))
            return True

        if self.call(pin()):
            self.direct.add(root.cid)

    @rule(data=st.data())
    @precondition(lambda self: self.pinned or self.direct)
    def a_pin_is_removed(self, data):  # type: ignore[no-untyped-def]
        root = data.draw(st.sampled_from(sorted(self.pinned | self.direct)))
        self.call(self.repo.pins.remove([root, CID(1, RAW, root.multihash)]))
        self.pinned.discard(root)
        self.direct.discard(root)

    @rule(root=st.sampled_from(FOLDERS + TOPS))
    def the_mutable_files_get_another_root(self, root):  # type: ignore[no-untyped-def]
        async def move() -> bool:
            async with self.repo.operation("mfs", *CHILDREN[root.cid]):
                lower = below(root.cid) - {root.cid}
                if None in self.repo.store.touch(sorted(lower)):
                    return False
                await self.repo.put(root)
                await self.repo.mfs.set(root.cid)
            return True

        if self.call(move()):
            self.mfs = root.cid

    # -- what the collector does -----------------------------------------------------------------------------------

    @rule()
    @precondition(lambda self: self.steps is None)
    def a_collection_begins(self):  # type: ignore[no-untyped-def]
        self.steps = self.repo.collector.garbage()

    @rule(count=st.integers(1, 20), which=st.integers(0, 2), blocks=PARTS)
    @precondition(lambda self: self.steps is not None)
    def a_collection_goes_on(self, count, which, blocks):  # type: ignore[no-untyped-def]
        """Blocks of an add under way come between its decision and its deed."""

        async def go_on() -> bool:
            for _ in range(count):
                try:
                    await anext(self.steps)
                except StopAsyncIteration:
                    return False
            return True

        collector = self.repo.intruded
        if self.adds and collector is not None:
            collector.intruders = tuple(blocks)
        going = self.call(go_on())
        if collector is not None:
            if collector.intruded:
                self.adds[which % len(self.adds)][1].update(block.cid for block in blocks)
            collector.intruders, collector.intruded = (), False
        if not going:
            self.steps = None

    @rule()
    @precondition(lambda self: self.steps is not None)
    def a_collection_comes_to_its_end(self):  # type: ignore[no-untyped-def]
        async def finish() -> None:
            async for _ in self.steps:
                continue

        self.call(finish())
        self.steps = None

    @rule()
    @precondition(lambda self: self.steps is None)
    def cached_blocks_are_evicted(self):  # type: ignore[no-untyped-def]
        async def evict() -> None:
            async for _ in self.repo.collector.evict(10_000):
                continue

        self.call(evict())

    @rule()
    def the_process_ends_and_another_begins(self):  # type: ignore[no-untyped-def]
        self.stop_everything()
        self.call(self.repo.close())
        self.repo = self.call(self.opened())

    @rule()
    @precondition(lambda self: self.steps is None and not self.adds)
    def a_collection_alone_leaves_exactly_what_is_reachable(self):  # type: ignore[no-untyped-def]
        self.call(self.repo.collect())
        assert self.present() == self.needed()

    # -- what must hold --------------------------------------------------------------------------------------------

    def present(self) -> set[CID]:
        found = self.call(self.repo.store.get_many(list(ALL)))
        assert all(data in (None, ALL[cid].data) for cid, data in zip(ALL, found, strict=True))
        return {cid for cid, data in zip(ALL, found, strict=True) if data is not None}

    def needed(self) -> set[CID]:
        needed = set(self.direct).union(*(held for _, held in self.adds))
        for root in [*self.pinned, *([self.mfs] if self.mfs else [])]:
            needed |= below(root)
        return needed

    @invariant()
    def everything_reachable_is_there(self):  # type: ignore[no-untyped-def]
        assert self.needed() <= self.present()


@pytest.fixture(autouse=True)
def small_steps():
    """So that a collection of a few blocks has many moments between which things can happen."""
    with (
        mock.patch.object(gc, "SWEEP_BLOCKS", 2),
        mock.patch.object(gc, "SLICE", 0.0),
        mock.patch.object(gc, "MIN_SAVE", 1),
        mock.patch.object(gc_mark, "STEP_NODES", 1),
    ):
        yield


Machine.TestCase.settings = settings(
    max_examples=60,
    stateful_step_count=35,
    derandomize=True,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.usefixtures("small_steps")
class TestMachine(Machine.TestCase):  # type: ignore[misc,name-defined]
    """The machine as a test."""
