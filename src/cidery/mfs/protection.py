"""Mutable files that a collector must spare although no root names them yet: a provisional record.

It is written before the first block of a change and removed some time after the flush that made the change a part of
the tree, so that a client that writes repeatedly pays for one record, not for one per write.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from cidery.multiformats.cid import CID
from cidery.repo.provisional import ProvisionalRoots, RunningOperation
from cidery.waiting import lock, loop_runs

TYPE_CHECKING = False
if TYPE_CHECKING:
    import asyncio

KIND = "mfs"
"""Kind of the record."""
LINGER = 5.0
"""Seconds that a record stays after the last flush: most clients that write again do so sooner."""
MAX_CHANGES = 1024
"""Changes under one record, so that it does not spare for ever what others stored long ago."""
MAX_ROOTS = 64
"""Copied roots named in one record, which is rewritten for each."""

Opened = AbstractAsyncContextManager[RunningOperation]


class _Record:
    """An open record."""

    def __init__(self, context: Opened, operation: RunningOperation) -> None:
        self.context = context
        self.operation = operation
        self.changes = 0
        self.running = 0
        self.loose = 0
        """Changes that ended without a flush."""

    @property
    def full(self) -> bool:
        return self.changes >= MAX_CHANGES or len(self.operation.record.roots) >= MAX_ROOTS


class Protection:
    """The records of one process; mostly one. Close it at the end."""

    def __init__(self, provisional: ProvisionalRoots, open_record: Callable[[str], Opened]) -> None:
        """``open_record`` opens a record that spares every block stored from then on."""
        self._provisional = provisional
        self._open_record = open_record
        self._turn = lock()
        self._records: list[_Record] = []  # the last one takes new changes
        self._timer: asyncio.TimerHandle | None = None
        self._ending: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def change(self, *roots: CID, flush: bool) -> AsyncIterator[None]:
        """Around a change: from before its first block to its end, its flush included if it flushes.

        Args:
            roots: of trees that are copied in; durable in the record before the change begins.
        """
        async with self._turn:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            if not self._records or self._records[-1].full:
                context = self._open_record(KIND)
                self._records.append(_Record(context, await context.__aenter__()))
            record = self._records[-1]
            record.running += 1
            record.changes += 1
            try:
                if roots:
                    await record.operation.protect(*roots)
            except BaseException:
                record.running -= 1
                raise
        flushed = False
        try:
            yield
            flushed = flush
        finally:
            record.running -= 1
            record.loose += not flushed
            self._when_idle()

    def mark(self) -> list[tuple[_Record, int]]:
        """The changes that a flush beginning now covers; give it to covered() after the flush."""
        return [(record, record.loose) for record in self._records]

    def covered(self, marked: list[tuple[_Record, int]]) -> None:
        """These changes are part of the committed tree."""
        for record, loose in marked:
            record.loose -= loose
        self._when_idle()

    async def discard_left_over(self) -> None:
        """Forget the records of dead processes: their unflushed changes are in no tree."""
        found = [one for one in self._provisional.left_over() if one.kind == KIND]
        if found:
            await self._provisional.discard(found)

    async def close(self) -> None:
        """Remove all records. Idempotent."""
        if self._timer is not None:
            self._timer.cancel()
        if self._ending is not None:
            await self._ending
        async with self._turn:
            while self._records:
                await self._records.pop().context.__aexit__(None, None, None)

    def _when_idle(self) -> None:
        """Schedule the end of the records, if nothing needs them any more. Without an event loop close() ends them."""
        if not loop_runs():
            return
        import asyncio

        if self._timer is None and any(not record.running and not record.loose for record in self._records):
            self._timer = asyncio.get_running_loop().call_later(LINGER, self._end_soon)

    def _end_soon(self) -> None:
        self._timer = None
        import asyncio

        self._ending = asyncio.get_running_loop().create_task(self._end_idle())

    async def _end_idle(self) -> None:
        async with self._turn:
            for record in [one for one in self._records if not one.running and not one.loose]:
                self._records.remove(record)
                await record.context.__aexit__(None, None, None)
