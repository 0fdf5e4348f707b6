"""A collection as a job: killed, it says so, and the next node goes on with it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cidery
from cidery.blockstore.write_errors import DiskFull
from cidery.core.adding.add import AddOptions
from cidery.core.adding.items import Bytes
from cidery.core.keeping.collector import Marking, _next_steps
from cidery.core.resume import going_on
from cidery.multiformats.cid import CID
from cidery.node.build import Access, build
from cidery.node.create import create_repository
from cidery.repo.jobs import JobState

BLOCKS = 30_000

KILLED = """
import asyncio, os, signal, sys
from pathlib import Path
from cidery.node.build import Access, build

async def main():
    async with build(Path(sys.argv[1]), Access.WRITE) as api:
        async for step in api.collector.garbage():
            if type(step).__name__ == sys.argv[2]:
                os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


def data_of(pinned: bool, number: int) -> bytes:
    return b"%d %d" % (pinned, number)


async def fill(root: Path) -> None:
    create_repository(root, profiles=["test"])
    async with build(root, Access.WRITE) as api:

        async def items(pinned: bool):
            for number in range(BLOCKS // 2):
                yield Bytes(data_of(pinned, number), f"d/{number}")

        for pinned in (True, False):
            async for _ in api.adding.add(items(pinned), AddOptions(), pin=pinned):
                continue


async def test_a_killed_collection_is_listed_and_gone_on_with_by_the_next_node(tmp_path: Path) -> None:
    root = tmp_path / "repo"
    await fill(root)
    for moment in ("Marking", "Swept"):
        child = subprocess.run([sys.executable, "-c", KILLED, str(root), moment], env=os.environ)
        assert child.returncode == -signal.SIGKILL
        async with build(root, Access.READ) as api:
            (job,) = api.jobs.every("gc")
            assert job.state is JobState.INTERRUPTED
    async with build(root, Access.WRITE) as api, going_on(api):
        while api.jobs.get(job.id).state is not JobState.DONE:
            await api.store.sync()  # gives way to the collection's thread
        assert api.jobs.get(job.id).attempts == 3
        for pinned in (True, False):
            sizes = await api.store.size_many([CID.of(data_of(pinned, number)) for number in range(BLOCKS // 2)])
            assert [size is not None for size in sizes] == [pinned] * (BLOCKS // 2)
    async with cidery.Node(root, offline=True) as node:
        assert [job.state for job in await node.jobs() if job.kind == "gc"] == [JobState.DONE]


def test_what_was_done_before_a_fault_is_told_before_the_fault():
    def steps():
        yield Marking(1)
        yield Marking(2)
        raise DiskFull(OSError(28, "no space left"))

    begun = steps()
    some = _next_steps(begun, time.monotonic, 60.0)
    assert some.steps == [Marking(1), Marking(2)] and isinstance(some.error, DiskFull)
    assert _next_steps(begun, time.monotonic, 60.0).steps == []
