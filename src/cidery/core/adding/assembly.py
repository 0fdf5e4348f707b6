"""Runs the jobs of one long file in threads and builds its nodes from the leaves, in order."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator

from cidery.core.adding.events import AddProgress
from cidery.core.adding.file_jobs import Step
from cidery.core.adding.ingest import Finished, Ingest
from cidery.core.adding.workers import Workers
from cidery.ipld.block import Block
from cidery.unixfs.importer import FileBuilder
from cidery.unixfs.layout import Child
from cidery.unixfs.metadata import Mtime
from cidery.waiting import Outcome, result_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from concurrent.futures import Future

MAX_JOBS = 6
"""Jobs handed to the threads and not yet assembled: keeps both busy while results are awaited in order."""


async def assembled(
    name: str,
    jobs: AsyncIterator[Step],
    mode: int | None,
    mtime: Mtime | None,
    *,
    ingest: Ingest,
    pool: Workers,
    progress: bool,
) -> AsyncIterator[AddProgress | Finished]:
    """Run jobs that make the leaves of one file, a few at a time; the Finished file comes last."""
    builder = FileBuilder(ingest.profile, mode, mtime)
    window: deque[Future[list[Child]] | Outcome[list[Child]]] = deque()
    nodes: list[Block] = []
    read = told = 0

    async def oldest() -> int:
        children = await result_of(window.popleft())
        for child in children:
            nodes.extend(builder.add_leaf(child))
        return sum(child.filesize for child in children)

    async for job in jobs:
        if isinstance(job, int):
            told = job
            yield AddProgress(name, told)
            continue
        window.append(pool.submit(job))
        if len(window) >= MAX_JOBS:
            read += await oldest()
            if progress and read > told:
                yield AddProgress(name, read)
    while window:
        read += await oldest()
    root, rest = builder.finish()
    await result_of(pool.submit(ingest.blocks, nodes + rest))
    yield Finished(root, read, mode, mtime)
