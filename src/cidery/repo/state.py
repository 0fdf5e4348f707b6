"""The precious state of a repository: pins, provisional roots, settings. LMDB, every commit synced.

Only the holder of the repository's lock writes, in one thread; other processes read concurrently.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import IntEnum
from pathlib import Path
from typing import NamedTuple, Self, TypeVar

from cidery.blockstore.database_check import InUse, fault_of, is_too_short
from cidery.disk.lmdb_environment import DatabaseDamaged, Environment, Table, Transaction, items_after
from cidery.disk.platform_io import refuse_network_filesystem
from cidery.errors import Unavailable
from cidery.multiformats.cid import CID
from cidery.repo.root_fence import RootFence
from cidery.waiting import loop_runs, raise_interrupt, result_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

T = TypeVar("T")

WHAT = "repository state"
ADVICE = "restore meta/state from a backup; the blocks are not concerned"
INITIAL_MAP = 16 * 1024 * 1024
"""First size of the map, in bytes: about 100,000 pins; it grows."""


class StateTable(IntEnum):
    """The tables; each module of this package owns its own."""

    PINS = 0
    PROVISIONAL = 1
    SETTINGS = 2
    JOBS = 3


class Put(NamedTuple):
    """Set a key, or remove it when the value is None."""

    table: StateTable
    key: bytes
    value: bytes | None


class StateReadOnly(Unavailable):
    """A write to a state that was opened for reading."""

    def __str__(self) -> str:
        return "the repository was opened read-only; nothing was changed"


class State:
    """An open state. Reads are synchronous and take microseconds; writes are awaited until they are on disk."""

    def __init__(self, environment: Environment, *, read_only: bool) -> None:
        self._env = environment
        self.fence = RootFence()
        """Receives the roots that the changes make."""
        self._read_only = read_only
        self._threads: ThreadPoolExecutor | None = None

    @classmethod
    def open(cls, path: Path, *, read_only: bool = False, map_size: int = INITIAL_MAP) -> Self:
        """Open ``REPO/meta/state``, creating it unless read-only.

        Raises DatabaseMissing, DatabaseDamaged, DatabaseUnavailable, NetworkFilesystem, OSError.
        """
        refuse_network_filesystem(path)
        in_use = InUse(path)
        if not read_only:
            reason = fault_of(path) if in_use.is_set() or is_too_short(path / "data.mdb") else ""
            if reason:
                raise DatabaseDamaged(path, WHAT, reason, ADVICE)
            in_use.set()  # before it is mapped, which may kill this process
        names = [table.name.lower().encode() for table in StateTable]
        environment = Environment(
            path,
            names,
            what=WHAT,
            advice=ADVICE,
            read_only=read_only,
            map_size=map_size,
        )
        if not read_only:
            in_use.set()
        return cls(environment, read_only=read_only)

    def _table(self, table: StateTable) -> Table:
        return self._env.tables[table]

    def get(self, table: StateTable, key: bytes) -> bytes | None:
        found: bytes | None = self._env.read(lambda txn: txn.get(key, db=self._table(table)))
        return found

    def page(self, table: StateTable, after: bytes, limit: int) -> list[tuple[bytes, bytes]]:
        """Up to ``limit`` items whose key sorts after ``after``; b"" begins at the first."""
        return self._env.read(lambda txn: items_after(txn, self._table(table), after, limit))

    def count(self, table: StateTable) -> int:
        """O(1)."""
        return self._env.read(lambda txn: int(txn.stat(self._table(table))["entries"]))

    async def apply(self, *puts: Put, roots: Sequence[CID] = ()) -> None:
        """All of the changes or none; durable on return.

        Args:
            roots: CIDs that the changes protect from being collected from now on.

        Raises:
            StateReadOnly, DatabaseUnavailable (disk full and the like: nothing was changed).
        Cancellation: the change may be made nevertheless.
        """

        def work(txn: Transaction) -> None:
            for table, key, value in puts:
                if value is None:
                    txn.delete(key, db=self._table(table))
                else:
                    txn.put(key, value, db=self._table(table))

        await self.update(work, roots)

    async def update(self, work: Callable[[Transaction], T], roots: Sequence[CID] = ()) -> T:
        """Run ``work`` in a write transaction in the writer thread; it may run twice. Arguments, raises as apply()."""
        if self._read_only:
            raise StateReadOnly

        def write() -> T:
            result = self._env.write(work)
            if roots:
                self.fence.told(roots)
            return result

        if loop_runs():
            return await result_of(self._writer().submit(write))
        raise_interrupt()
        return write()

    def _writer(self) -> ThreadPoolExecutor:
        if self._threads is None:
            from concurrent.futures import ThreadPoolExecutor

            self._threads = ThreadPoolExecutor(1, "cidery-state")
        return self._threads

    def table(self, table: StateTable) -> Table:
        """The handle that ``work`` of update() passes as ``db``."""
        return self._table(table)

    def close(self) -> None:
        """Wait for the writes under way and close. Idempotent."""
        if self._threads is not None:
            self._threads.shutdown()
        self._env.close()
        if not self._read_only:
            InUse(self._env.path).clear()
