"""The jobs that make the leaves of one long file: ranges, cuts by content, groups of chunks, and known parts."""

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import partial
from typing import NamedTuple

from cidery.core.adding.batches import LongStream, each
from cidery.core.adding.chunk_stream import chunks_of, file_pieces
from cidery.core.adding.ingest import FilePart, Ingest, Origin
from cidery.core.adding.items import Identity
from cidery.core.adding.journal import AddJournal, NotRemembered, identity_of
from cidery.unixfs.layout import Child
from cidery.waiting import off_loop

JOB_BYTES = 4 << 20
"""Bytes of a big file per job: the work that each thread repeats after a crash."""
JOB_CHUNKS = 1024
"""Chunks of a big file per job, for tiny chunk sizes."""
PROGRESS_BYTES = 256 * 1024
"""Bytes of a stream between two progress events, as in Kubo; or one chunk, if that is longer."""


class Memory(NamedTuple):
    """Lets an add resume where it was interrupted."""

    journal: AddJournal
    whole: Callable[[Sequence[Child]], Awaitable[list[bool]]]
    """Whether all blocks of each are stored as kept; notes them for a collector."""


Step = Callable[[], list[Child]] | int
"""A job that makes leaves, or the number of stream bytes received."""


class FileJobs:
    """Makes jobs for one add(); they run in threads, in any order."""

    def __init__(self, ingest: Ingest, memory: Memory | None, *, progress: bool) -> None:
        """``progress``: say how much of a stream was received."""
        self._ingest = ingest
        self._memory = memory
        self._progress = progress

    def racy_from(self) -> int:
        """The journal's value, for files read from now on; 0 without a journal."""
        return self._memory.journal.racy_from() if self._memory is not None else 0

    async def of_file(self, fd: int, path: str, found: os.stat_result) -> AsyncIterator[Step]:
        """The jobs of an open file."""
        known = await self._known_parts(identity_of(found))
        ranges = self._ranges if self._ingest.profile.chunker is None else self._cuts
        async for job in ranges(fd, path, found, known):
            yield job

    async def of_stream(self, stream: LongStream) -> AsyncIterator[Step]:
        """The jobs of a stream, following the part that its sender left out as already stored.

        Raises NotRemembered if that part is not stored.
        """
        item, at = stream.item, 0
        known = await self._known_parts(item.identity) if item.has and item.identity is not None else {}
        while at < item.has:
            leaves = known.get(at)
            if not leaves:
                raise NotRemembered(item.name)
            yield self._given(leaves)
            at += sum(leaf.filesize for leaf in leaves)
        part = None if item.identity is None else FilePart(item.identity, at, self.racy_from())
        async for job in self._groups(stream.chunks, part=part, before=at):
            yield job

    async def _known_parts(self, identity: Identity) -> dict[int, list[Child]]:
        """Leaves that an earlier run stored and that are still there, by their offsets."""
        if self._memory is None or self._memory.journal.is_empty:
            return {}
        parts = self._memory.journal.parts(identity)
        return {start: leaves for start, leaves in parts.items() if all(await self._memory.whole(leaves))}

    def _ranges(self, fd: int, path: str, found: os.stat_result, known: dict[int, list[Child]]) -> AsyncIterator[Step]:
        """Jobs for a big file in chunks of one size."""
        size, chunk_size = found.st_size, self._ingest.profile.chunk_size
        step = max(1, min(JOB_BYTES // chunk_size, JOB_CHUNKS)) * chunk_size

        def job(start: int) -> Step:
            end = min(start + step, size)
            leaves = known.get(start)
            if leaves is None or sum(leaf.filesize for leaf in leaves) != end - start:
                return partial(self._ingest.range, fd, path, found, start, end)
            return self._given(leaves)

        return each(map(job, range(0, size, step)))

    def _given(self, leaves: list[Child]) -> Callable[[], list[Child]]:
        assert self._memory is not None  # known parts come from it
        self._memory.journal.reused += sum(leaf.filesize for leaf in leaves)
        return lambda: leaves

    async def _cuts(
        self, fd: int, path: str, found: os.stat_result, known: dict[int, list[Child]]
    ) -> AsyncIterator[Step]:
        """Jobs for a big file with content-defined chunks: a cut depends only on the data after the previous one."""
        at = 0
        while (leaves := known.get(at)) and at < found.st_size:
            yield self._given(leaves)
            at += sum(leaf.filesize for leaf in leaves)
        await off_loop(os.lseek, fd, at, os.SEEK_SET)
        if at < found.st_size:
            part = FilePart(identity_of(found), at, self.racy_from())
            chunks = chunks_of(file_pieces(fd), self._ingest.profile)
            async for job in self._groups(chunks, self._ingest.origin(path, found, at), part, at):
                yield job

    async def _groups(
        self,
        chunks: AsyncIterator[bytes],
        origin: Origin | None = None,
        part: FilePart | None = None,
        before: int = 0,
    ) -> AsyncIterator[Step]:
        """``before``: bytes of the file in front of these chunks."""
        group: list[bytes] = []
        size, read, told = 0, before, before
        async for chunk in chunks:
            group.append(chunk)
            size += len(chunk)
            read += len(chunk)
            if self._progress and read - told >= PROGRESS_BYTES:
                yield read
                told = read
            if size >= JOB_BYTES or len(group) >= JOB_CHUNKS:
                yield partial(self._ingest.chunks, group, origin, part)
                origin = origin and origin._replace(offset=origin.offset + size)
                part = part and FilePart(part.identity, part.start + size, self.racy_from())
                group, size = [], 0
        if group:
            yield partial(self._ingest.chunks, group, origin, part)
