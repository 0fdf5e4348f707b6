"""A repository's store and state with their collector, and the blocks of its tests."""

import os
import time

from cidery.blockstore.interface import Durability
from cidery.blockstore.segments import SegmentStore
from cidery.core.jobs import JobDesk
from cidery.core.keeping.collector import Collector
from cidery.ipld import dag_pb
from cidery.ipld.block import Block
from cidery.multiformats.cid import CID
from cidery.multiformats.multicodec import DAG_PB, RAW
from cidery.repo.gc.roots import GcRoots
from cidery.repo.jobs import Jobs
from cidery.repo.mfs_root import MfsRoot
from cidery.repo.pins import Pins
from cidery.repo.provisional import ProvisionalRoots
from cidery.repo.state import State

SEGMENT = 20_000


class Repo:
    """A store, a state and their collector, with the wall clock as a number."""

    def __init__(self, path, *, segment_bytes=SEGMENT):
        self.path = path
        self.store = SegmentStore.open(path, segment_bytes=segment_bytes)
        self.state = State.open(path / "meta" / "state")
        self.pins = Pins(self.state)
        numbers = iter(range(1, 1 << 30))
        self.provisional = ProvisionalRoots(
            self.state, lambda n: (next(numbers) + 1000 * id(self)).to_bytes(16, "big")[-n:], self.store.holding
        )
        self.mfs = MfsRoot(self.state)
        self.now = 1000.0
        jobs = Jobs(self.state, os.urandom, os.getpid())
        self.jobs = JobDesk(jobs, self.state, self.store, self.provisional, path / "meta" / "jobs", lambda: self.now)
        self.roots = GcRoots(self.pins, self.provisional, self.mfs, self.state.fence, jobs)
        self.collector = Collector(
            path, self.store, self.pins, self.provisional, self.roots, lambda: self.now, time.monotonic, self.jobs
        )
        self.collector.together = 0.0  # tests come between two steps

    def operation(self, kind, *roots):
        return self.provisional.operation(kind, roots, now=self.now, since_ordinal=self.store.next_ordinal)

    async def put(self, *blocks, kept=True):
        await self.store.put_many(blocks, kept=kept, durability=Durability.VISIBLE)

    def has(self, block):
        return self.store.get_if_ready(block.cid) is not None

    async def collect(self):
        return [step async for step in self.collector.garbage()]

    async def close(self):
        await self.store.close()
        self.state.close()


def leaf(number, size=400):
    data = number.to_bytes(4, "big") * (size // 4)
    return Block(CID.of(data, RAW), data)


def node(*children):
    data = dag_pb.encode([dag_pb.Link(child.cid, "", len(child.data)) for child in children], b"")
    return Block(CID.of(data, DAG_PB), data)
