"""Whole items of an add: one thread stores them, a second process reads many small files ahead of it."""

from __future__ import annotations

from collections.abc import Sequence

from cidery.core.adding.file_jobs import FileJobs, Memory
from cidery.core.adding.ingest import Finished, Ingest, Remembered, Result
from cidery.core.adding.items import File, Item, Stored
from cidery.core.adding.journal import NotRemembered
from cidery.core.adding.reader_process import START_AFTER, ReaderGone, ReaderProcess, can_read
from cidery.core.adding.workers import Workers
from cidery.waiting import Outcome, off_loop, result_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from concurrent.futures import Future


class WholeItems:
    """The items of one add() that are stored by a single job each."""

    def __init__(self, ingest: Ingest, jobs: FileJobs, memory: Memory | None) -> None:
        self._ingest = ingest
        self._jobs = jobs
        self._memory = memory
        # Whole small files spend their time in short system calls: two threads would only contend for the GIL.
        self._one = Workers(1)
        self._reader: ReaderProcess | None = None
        self._reader_helps = ingest.references is None and can_read(ingest.profile)
        self._files = 0
        self._behind = memory is not None and not memory.journal.is_empty
        """Whether the scan is still among the files that an earlier run stored, which need no reading."""

    async def close(self) -> None:
        """End the process and the thread; returns when neither is running."""
        if self._reader is not None:
            await off_loop(self._reader.close)
        await self._one.close()

    def submit(self, items: Sequence[Item]) -> Future[list[Result]] | Outcome[list[Result]]:
        """Store whole items; many small files are read and hashed by a second process."""
        paths = [(item.path, item.follow) for item in items if isinstance(item, File)]
        self._files += len(paths)
        if self._behind:
            return self._one.submit(self._ingest.items, items)
        if self._reader is None and self._reader_helps and self._files > START_AFTER:
            metadata = self._ingest.metadata
            try:
                self._reader = ReaderProcess(
                    self._ingest.profile,
                    (metadata.preserve_mode, metadata.preserve_mtime),
                    (metadata.mode, metadata.mtime),
                )
            except ReaderGone:
                self._reader_helps = False
        reader = self._reader
        if reader is None or not reader.ready or not self._reader_helps or not paths:
            return self._one.submit(self._ingest.items, items)
        reader.ask(paths, self._jobs.racy_from())
        return self._one.submit(self._with_reader, reader, items)

    def _with_reader(self, reader: ReaderProcess, items: Sequence[Item]) -> list[Result]:
        """Runs in the thread."""
        try:
            leaves, entries = reader.answer() if self._reader_helps else ([], b"")
        except ReaderGone:
            self._reader_helps, leaves, entries = False, [], b""
        return self._ingest.items(items, leaves, entries)

    async def results(
        self, items: Sequence[Item], future: Future[list[Result]] | Outcome[list[Result]]
    ) -> list[Result]:
        """The outcome of submit(), none of them Remembered. Raises as Ingest.items(), and NotRemembered."""
        results = await result_of(future)
        if self._memory is not None and self._behind:
            if any(isinstance(result, Remembered) for result in results):
                return await self._checked(self._memory, items, results)
            if any(isinstance(result, Finished) for result in results):
                self._behind = False
        return results

    async def _checked(self, memory: Memory, items: Sequence[Item], results: list[Result]) -> list[Result]:
        """The results, with remembered files looked up in the store and read again if they are not there."""
        known = [result for result in results if isinstance(result, Remembered)]
        for result, whole in zip(known, await memory.whole([one.child for one in known]), strict=True):
            if whole:
                memory.journal.reused += result.size
            else:
                memory.journal.forget(result.identity)
        lost = [
            at
            for at, result in enumerate(results)
            if isinstance(result, Remembered) and memory.journal.file(result.identity) is None
        ]
        for at in lost:
            if isinstance(items[at], Stored):
                raise NotRemembered(items[at].name)
        again = await result_of(self._one.submit(self._ingest.items, [items[at] for at in lost]))
        out: list[Result] = [
            Finished(result.child, result.size, result.mode, result.mtime) if isinstance(result, Remembered) else result
            for result in results
        ]
        for at, fresh in zip(lost, again, strict=True):
            out[at] = fresh
        return out
