"""One LMDB environment: opening, read and write transactions, a map that grows, concurrent readers in other processes.

Every commit is synced by LMDB, so a power cut leaves the state before or after a commit, never between. The map grows
by doubling; other processes notice (MapResizedError) and follow. Reads open a transaction of microseconds; in this
process they exclude only the moment in which the map is resized, which LMDB demands.

LMDB allows one open environment per process and file, so those who open the same one here share it: a program that has
a node open can read its repository through a file system, too.

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

import lmdb

from cidery.errors import IntegrityError, NotFound, Unavailable
from cidery.plain_files import NotAFile, check_plain

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


class _Opened:
    """An environment as this process has it open, for all who use it here."""

    def __init__(self, env: Any, read_only: bool) -> None:
        self.env = env
        self.pid = os.getpid()
        self.read_only = read_only
        self.tables: dict[bytes, Table] = {}
        self.users: list[Environment] = []
        self.quieting = threading.Lock()
        self.paused = False
        self.reading: deque[None] = deque()
        """A note for each read under way: adding or removing one is atomic in the interpreter, so no lock is needed."""

    def enter(self) -> None:
        """Begin to read, concurrently with other readers; waits while reads are paused."""
        self.reading.append(None)
        while self.paused:  # checked after making the note, as quiet() checks the notes after pausing
            self.reading.pop()
            with self.quieting:
                self.reading.append(None)

    @contextmanager
    def quiet(self) -> Iterator[None]:
        """Inside the context nothing is read; waits for the reads under way."""
        with self.quieting:
            self.paused = True
            try:
                while self.reading:
                    sleep(QUIET_POLL)
                yield
            finally:
                self.paused = False


_Key = tuple[int, int, int]
_open: dict[_Key, _Opened] = {}
"""What is open, by process and file: a forked child must not touch what it has inherited."""
_opening = threading.Lock()


def _after_fork() -> None:
    global _opening
    _opening = threading.Lock()  # another thread of the parent may have held it


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _key(path: Path) -> _Key | None:
    try:
        found = (path / "data.mdb").stat()
    except OSError:
        return None
    return (os.getpid(), found.st_dev, found.st_ino)


def _leave_to_parent() -> None:
    """In a child of fork(), close what the parent had open, so that it can be opened here; the parent keeps its own."""
    for key in [key for key in _open if key[0] != os.getpid()]:
        _open.pop(key).env.close()


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
        self._compact = False
        self._closed = False
        self._names = tuple(tables)
        self.tables: list[Table] = []
        """Look them up for each use, inside read(): they are others when a writer has opened the environment, too."""
        for name in ("data.mdb", "lock.mdb"):
            try:
                check_plain(os.path.join(path, name))
            except NotAFile as exc:
                raise DatabaseDamaged(path, what, f"{name} is {exc.kind}, not a file", advice) from exc
        if read_only and not (path / "data.mdb").exists():
            raise DatabaseMissing(path, what)
        if not read_only:
            path.mkdir(parents=True, exist_ok=True)
        try:
            with _opening:
                _leave_to_parent()
                self._shared = self._join(map_size, read_only)
        except lmdb.NotFoundError as exc:
            raise DatabaseMissing(path, what) from exc
        except lmdb.Error as exc:
            raise self._error(exc) from exc

    def _join(self, map_size: int, read_only: bool) -> _Opened:
        """What is open already, or opened now. Raises lmdb.Error."""
        key = _key(self.path)
        shared = _open.get(key) if key is not None else None
        if shared is None:
            shared = _Opened(self._opened(map_size, len(self._names), read_only, create=not read_only), read_only)
            try:
                self._open_tables(shared, read_only)
            except BaseException:
                shared.env.close()
                raise
        elif shared.read_only and not read_only:
            self._reopen_for_writing(shared, map_size)
        else:
            self._open_tables(shared, shared.read_only)
        shared.users.append(self)
        key = _key(self.path)
        assert key is not None  # it is open
        _open[key] = shared
        self._bind(shared)
        return shared

    def _opened(self, map_size: int, tables: int, read_only: bool, *, create: bool) -> Any:
        env = lmdb.open(
            str(self.path),
            map_size=map_size,
            max_dbs=tables,
            max_readers=MAX_READERS,
            readonly=read_only,
            create=create,
        )
        if not read_only:
            env.reader_check()
        return env

    def _open_tables(self, shared: _Opened, read_only: bool) -> None:
        for name in self._names:
            if name not in shared.tables:
                shared.tables[name] = shared.env.open_db(name, create=not read_only)

    def _reopen_for_writing(self, shared: _Opened, map_size: int) -> None:
        """A writer comes while there are readers, who go on in its environment."""
        with shared.quiet():
            size = max(map_size, int(shared.env.info()["map_size"]))
            shared.env.close()
            shared.env = self._opened(size, len(self._names), False, create=True)
            shared.read_only = False
            shared.tables.clear()
            self._open_tables(shared, False)
            for user in shared.users:
                user._open_tables(shared, False)
                user._bind(shared)

    def _bind(self, shared: _Opened) -> None:
        self.tables[:] = [shared.tables[name] for name in self._names]

    def compact_at_close(self) -> int:
        """Have close() leave out the free pages; returns the size of the pages in use, in bytes."""
        self._compact = True

        def used(txn: Transaction) -> int:
            tables = [txn.stat(table) for table in self.tables]
            pages = sum(found[kind] for found in tables for kind in ("branch_pages", "leaf_pages", "overflow_pages"))
            return int(pages * tables[0]["psize"])

        return self.read(used)

    def close(self) -> None:
        """Idempotent. The last user in this process closes it; if the disk is too full for the compacted copy, the file
        stays unchanged."""
        with _opening:
            if self._closed:
                return
            self._closed = True
            shared = self._shared
            if shared.pid != os.getpid():
                return  # that is the parent's
            shared.users.remove(self)
            if shared.users:
                return
            for key in [key for key, opened in _open.items() if opened is shared]:
                del _open[key]
            with shared.quiet():
                if self._compact:
                    self._close_compacted()
                shared.env.close()

    def _close_compacted(self) -> None:
        directory = self.path / "compacted"
        copy = directory / "data.mdb"
        directory.mkdir(exist_ok=True)
        copy.unlink(missing_ok=True)
        try:
            self._shared.env.copy(str(directory), compact=True)
        except lmdb.Error:
            copy.unlink(missing_ok=True)
        else:
            self._shared.env.close()
            with copy.open("rb+") as file:
                os.fsync(file.fileno())
            copy.replace(self.path / "data.mdb")
        directory.rmdir()

    def reader_check(self) -> int:
        """Free the slots of readers that died; returns their number."""
        return int(self._shared.env.reader_check())

    def map_size(self) -> int:
        """Size of the map in bytes."""
        return int(self._shared.env.info()["map_size"])

    def read(self, work: Callable[[Transaction], T]) -> T:
        """Run ``work`` in a read transaction. Keep it short: resizing the map waits for it.

        Raises DatabaseDamaged, DatabaseUnavailable.
        """
        while True:
            self._shared.enter()
            try:
                with self._shared.env.begin() as txn:
                    return work(txn)
            except lmdb.MapResizedError:
                pass
            except lmdb.Error as exc:
                raise self._error(exc) from exc
            finally:
                self._shared.reading.pop()
            self._resize(0)

    def get(self, table: int, key: bytes) -> bytes | None:
        """One value of the table at this position: read() without its overhead. Raises as read()."""
        self._shared.enter()
        try:
            with self._shared.env.begin(self.tables[table]) as txn:
                found: bytes | None = txn.get(key)
                return found
        except lmdb.MapResizedError:
            pass
        except lmdb.Error as exc:
            raise self._error(exc) from exc
        finally:
            self._shared.reading.pop()
        self._resize(0)
        again: list[bytes | None] = self.read(lambda txn: [txn.get(key, db=self.tables[table])])
        return again[0]

    def _resize(self, size: int) -> None:
        """Set the size of the map in bytes; 0: the size that another process made it."""
        with self._shared.quiet():
            self._shared.env.set_mapsize(size)

    def write(self, work: Callable[[Transaction], T]) -> T:
        """Run ``work`` in a write transaction and commit it durably; ``work`` runs again when the map had to grow.

        Raises:
            DatabaseUnavailable, DatabaseDamaged: nothing was changed.
        """
        while True:
            try:
                with self._shared.env.begin(write=True) as txn:
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
