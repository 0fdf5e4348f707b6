"""One LMDB environment: opening, read and write transactions, a map that grows, concurrent readers in other processes.

Every commit is synced by LMDB, so a power cut leaves the state before or after a commit, never between. The map grows
by doubling; other processes notice (MapResizedError) and follow. Reads open a transaction of microseconds; in this
process they exclude only the moment in which the map is resized, which LMDB demands.

Spec: http://www.lmdb.tech/doc/
"""

import os
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import sleep
from typing import Any, TypeVar
from weakref import WeakValueDictionary

import lmdb

from cidery.errors import IntegrityError, NotFound, Unavailable

Transaction = Any
"""lmdb.Transaction; the package has no types."""
Table = Any
T = TypeVar("T")

MAX_MAP = 1 << 46
"""Largest map, in bytes: the address space of a process on common 64-bit machines is 2**47."""
QUIET_POLL = 0.0001
"""Seconds between two checks whether reads have ended: they take microseconds."""
MAX_READERS = 512
"""Slots for concurrent read transactions of all processes (64 bytes each in the lock file)."""


class DatabaseMissing(NotFound):
    """There is no database to read at the path."""

    def __init__(self, path: Path, what: str) -> None:
        super().__init__(path, what)
        self.path = path
        self.what = what

    def __str__(self) -> str:
        return f"no {self.what} at {self.path}; create the repository first: `cidery init`"


class DatabaseUnavailable(Unavailable):
    """LMDB cannot do it now: disk full, no permission, too many readers."""

    def __init__(self, path: Path, what: str, reason: str) -> None:
        super().__init__(path, what, reason)
        self.path = path
        self.what = what
        self.reason = reason

    def __str__(self) -> str:
        return f"the {self.what} at {self.path} is not usable now: {self.reason}; free space or check permissions"


class DatabaseDamaged(IntegrityError):
    """The files were not written by LMDB, or are damaged."""

    def __init__(self, path: Path, what: str, reason: str, advice: str) -> None:
        super().__init__(path, what, reason, advice)
        self.path = path
        self.what = what
        self.reason = reason
        self.advice = advice

    def __str__(self) -> str:
        return f"the {self.what} at {self.path} is damaged: {self.reason}; {self.advice}"


_DAMAGED = (
    lmdb.InvalidError,
    lmdb.CorruptedError,
    lmdb.VersionMismatchError,
    lmdb.PageNotFoundError,
    lmdb.BadValsizeError,
)


_OPENED: "WeakValueDictionary[int, Environment]" = WeakValueDictionary()
"""LMDB has one such list for each process: it refuses to open an environment twice."""


def _leave_to_parent() -> None:
    """In a child of fork(), close what the parent had open, so that it can be opened here; the parent keeps its own."""
    for reference in _OPENED.valuerefs():  # a copy: other threads may open some meanwhile
        inherited = reference()
        if inherited is not None and inherited._pid != os.getpid():
            inherited._env.close()
            inherited._pid = os.getpid()


class Environment:
    """An open environment. read() from any thread; write() from one thread at a time (LMDB makes others wait)."""

    def __init__(
        self,
        path: Path,
        tables: Sequence[bytes],
        *,
        what: str,
        map_size: int,
        advice: str = "delete it, it is made again",
        read_only: bool = False,
    ) -> None:
        """Open or create.

        Args:
            what: its name in error messages.
            advice: what to do when it is damaged, for error messages.
            map_size: first size of the map in bytes: address space, not disk, until it is used.
        Raises:
            DatabaseMissing (read-only, nothing there), DatabaseDamaged, DatabaseUnavailable, OSError.
        """
        self.path = path
        self.what = what
        self.advice = advice
        self._quieting = threading.Lock()
        self._paused = False
        self._reading: deque[None] = deque()
        """A note for each read under way: adding or removing one is atomic in the interpreter, so no lock is needed."""
        self._compact = False
        if read_only and not (path / "data.mdb").exists():
            raise DatabaseMissing(path, what)
        if not read_only:
            path.mkdir(parents=True, exist_ok=True)
        _leave_to_parent()
        try:
            self._env = lmdb.open(
                str(path),
                map_size=map_size,
                max_dbs=len(tables),
                max_readers=MAX_READERS,
                readonly=read_only,
                create=not read_only,
            )
            if not read_only:
                self._env.reader_check()
            self.tables: list[Table] = [self._env.open_db(name, create=not read_only) for name in tables]
        except lmdb.NotFoundError as exc:
            raise DatabaseMissing(path, what) from exc
        except lmdb.Error as exc:
            raise self._error(exc) from exc
        self._pid = os.getpid()
        _OPENED[id(self)] = self

    def compact_at_close(self) -> int:
        """Have close() leave out the free pages; returns the size of the pages in use, in bytes."""
        self._compact = True

        def used(txn: Transaction) -> int:
            tables = [txn.stat(table) for table in self.tables]
            pages = sum(found[kind] for found in tables for kind in ("branch_pages", "leaf_pages", "overflow_pages"))
            return int(pages * tables[0]["psize"])

        return self.read(used)

    def close(self) -> None:
        """Idempotent. If the disk is too full for the compacted copy, the file stays unchanged."""
        with self._quiet():
            if self._compact:
                self._compact = False
                self._close_compacted()
            self._env.close()

    def _close_compacted(self) -> None:
        directory = self.path / "compacted"
        copy = directory / "data.mdb"
        directory.mkdir(exist_ok=True)
        copy.unlink(missing_ok=True)
        try:
            self._env.copy(str(directory), compact=True)
        except lmdb.Error:
            copy.unlink(missing_ok=True)
        else:
            self._env.close()
            with copy.open("rb+") as file:
                os.fsync(file.fileno())
            copy.replace(self.path / "data.mdb")
        directory.rmdir()

    def reader_check(self) -> int:
        """Free the slots of readers that died; returns their number."""
        return int(self._env.reader_check())

    def map_size(self) -> int:
        """Size of the map in bytes."""
        return int(self._env.info()["map_size"])

    def read(self, work: Callable[[Transaction], T]) -> T:
        """Run ``work`` in a read transaction. Keep it short: resizing the map waits for it.

        Raises DatabaseDamaged, DatabaseUnavailable.
        """
        while True:
            self._enter()
            try:
                with self._env.begin() as txn:
                    return work(txn)
            except lmdb.MapResizedError:
                pass
            except lmdb.Error as exc:
                raise self._error(exc) from exc
            finally:
                self._reading.pop()
            self._resize(0)

    def get(self, table: Table, key: bytes) -> bytes | None:
        """One value: read() without its overhead. Raises as read()."""
        self._enter()
        try:
            with self._env.begin(table) as txn:
                found: bytes | None = txn.get(key)
                return found
        except lmdb.MapResizedError:
            pass
        except lmdb.Error as exc:
            raise self._error(exc) from exc
        finally:
            self._reading.pop()
        self._resize(0)
        again: list[bytes | None] = self.read(lambda txn: [txn.get(key, db=table)])
        return again[0]

    def _enter(self) -> None:
        """Begin to read, concurrently with other readers; waits while reads are paused."""
        self._reading.append(None)
        while self._paused:  # checked after making the note, as _quiet() checks the notes after pausing
            self._reading.pop()
            with self._quieting:
                self._reading.append(None)

    @contextmanager
    def _quiet(self) -> Iterator[None]:
        """Inside the context nothing is read; waits for the reads under way."""
        with self._quieting:
            self._paused = True
            try:
                while self._reading:
                    sleep(QUIET_POLL)
                yield
            finally:
                self._paused = False

    def _resize(self, size: int) -> None:
        """Set the size of the map in bytes; 0: the size that another process made it."""
        with self._quiet():
            self._env.set_mapsize(size)

    def write(self, work: Callable[[Transaction], T]) -> T:
        """Run ``work`` in a write transaction and commit it durably; ``work`` runs again when the map had to grow.

        Raises:
            DatabaseUnavailable, DatabaseDamaged: nothing was changed.
        """
        while True:
            try:
                with self._env.begin(write=True) as txn:
                    return work(txn)
            except lmdb.MapFullError as exc:
                self._grow(exc)
            except lmdb.MapResizedError:
                self._resize(0)
            except lmdb.Error as exc:
                raise self._error(exc) from exc

    def _grow(self, cause: lmdb.Error) -> None:
        size = self.map_size() * 2
        if size > MAX_MAP:
            reason = f"it cannot grow over {MAX_MAP} bytes"
            raise DatabaseUnavailable(self.path, self.what, reason) from cause
        try:
            self._resize(size)
        except lmdb.Error as exc:
            raise self._error(exc) from exc

    def _error(self, exc: lmdb.Error) -> DatabaseDamaged | DatabaseUnavailable:
        if isinstance(exc, _DAMAGED):
            return DatabaseDamaged(self.path, self.what, str(exc), self.advice)
        return DatabaseUnavailable(self.path, self.what, str(exc))


def items_with_prefix(txn: Transaction, table: Table, prefix: bytes) -> list[tuple[bytes, bytes]]:
    """All items of a table whose key starts with ``prefix``, ascending."""
    found: list[tuple[bytes, bytes]] = []
    with txn.cursor(db=table) as cursor:
        more = cursor.set_range(prefix)
        while more and cursor.key().startswith(prefix):
            found.append(cursor.item())
            more = cursor.next()
    return found


def items_after(txn: Transaction, table: Table, after: bytes, limit: int) -> list[tuple[bytes, bytes]]:
    """Up to ``limit`` items whose key sorts after ``after``, ascending: one page of a listing."""
    found: list[tuple[bytes, bytes]] = []
    with txn.cursor(db=table) as cursor:
        more = cursor.set_range(after) if after else cursor.first()
        if more and after and cursor.key() == after:
            more = cursor.next()
        while more and len(found) < limit:
            found.append(cursor.item())
            more = cursor.next()
    return found
