"""A LevelDB database read without touching it: no lock is taken, no log replayed into tables, nothing written.

The caller must ensure that nothing writes to it meanwhile (kubo/repository.py holds Kubo's lock). Rejected: plyvel,
which can only open for writing: it takes the lock, replays the log and starts to compact.
"""

import heapq
import os
import stat
from bisect import bisect_left
from collections.abc import Iterator
from operator import attrgetter, itemgetter
from pathlib import Path
from typing import Self

from cidery.errors import InvalidInput, LimitExceeded
from cidery.kubo.leveldb_format import (
    FOOTER_BYTES,
    TRAILER_BYTES,
    Handle,
    KeyVersion,
    LevelDbError,
    LogTail,
    TableFile,
    Version,
    apply_edit,
    batch_entries,
    block_entries,
    index_items,
    log_records,
    open_block,
    table_index,
)

MAX_MANIFEST_BYTES = 64 << 20
"""Largest manifest read, in bytes: some 500,000 tables created and deleted."""
MAX_LOG_BYTES = 256 << 20
"""Most bytes of logs read, in total; they are held in memory. A usual one is rotated at 4 MiB."""
MAX_NAME_BYTES = 64
"""Longest file name in CURRENT."""
MAX_TAILS = 100
"""Most notes of logs that end early that are kept."""
READ_FLAGS = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
"""Never waits for a pipe in place of a file."""
_ORDER = itemgetter(0, 1)
"""Of entries: by key, the newest first."""


class NoLevelDb(InvalidInput):
    """The directory holds no database."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"no LevelDB database can be read at {self.path}: {self.reason}"


class LevelDbTooLarge(LimitExceeded):
    """More data than may be read into memory."""

    def __init__(self, path: Path, limit: int) -> None:
        super().__init__(path, limit)
        self.path = path
        self.limit = limit

    def __str__(self) -> str:
        return f"{self.path} is larger than {self.limit} bytes; start Kubo on it once, which tidies up, and stop it"


class LevelDb:
    """An open database: a snapshot. For one thread; close it at the end."""

    def __init__(self, path: Path, version: Version, recent: list[KeyVersion], tails: list[str]) -> None:
        self._path = path
        self._recent = recent
        self._tables = sorted(version.tables.values(), key=attrgetter("level", "smallest", "number"))
        self.warnings = tails
        """Logs whose end cannot be read, one line each."""

    @classmethod
    def open(cls, path: Path) -> Self:
        """Read the manifest and the logs. Memory: the logs.

        Raises NoLevelDb, LevelDbError, LevelDbTooLarge, OSError.
        """
        try:
            name = read_file(path / "CURRENT", MAX_NAME_BYTES).rstrip(b"\n").decode("ascii")
        except FileNotFoundError as exc:
            raise NoLevelDb(path, "there is no file CURRENT") from exc
        except UnicodeDecodeError as exc:
            raise NoLevelDb(path, "CURRENT names no file") from exc
        if not (name.startswith("MANIFEST-") and name[9:].isdigit()):
            raise NoLevelDb(path, "CURRENT names no manifest")
        version = Version()
        tails: list[str] = []
        for record in log_records(read_file(path / name, MAX_MANIFEST_BYTES)):
            if isinstance(record, LogTail):
                raise LevelDbError(f"{name} at byte {record.offset}: {record.reason}")
            apply_edit(version, record)
        return cls(path, version, _read_logs(path, version, tails), tails)

    def close(self) -> None:
        """Release the memory. A scan closes its files by itself."""
        self._recent = []
        self._tables = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def get(self, key: bytes) -> bytes | None:
        """One value. Raises LevelDbError, OSError."""
        return next((value for found, value in self.scan(key) if found == key), None)

    def scan(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """(key, value) of all keys with this prefix, in order. Constant memory, apart from the logs.

        Raises LevelDbError with the file, OSError.
        """
        last: bytes | None = None
        for key, _, value in heapq.merge(*self._sources(prefix), key=_ORDER):
            if key == last:
                continue  # an older version of the key
            last = key
            if value is not None:
                yield key, value

    def _sources(self, prefix: bytes) -> Iterator[Iterator[KeyVersion]]:
        start = bisect_left(self._recent, prefix, key=itemgetter(0))
        yield _while_prefixed(iter(self._recent[start:]), prefix)
        levels: dict[int, list[TableFile]] = {}
        for table in self._tables:
            if table.largest >= prefix and table.smallest[: len(prefix)] <= prefix:
                levels.setdefault(table.level, []).append(table)
        for level, tables in levels.items():
            # Only the tables of level 0 overlap each other.
            for group in [[table] for table in tables] if level == 0 else [tables]:
                yield self._entries(group, prefix)

    def _entries(self, tables: list[TableFile], prefix: bytes) -> Iterator[KeyVersion]:
        for table in tables:
            yield from _while_prefixed(self._table_entries(table, prefix), prefix)

    def _table_entries(self, table: TableFile, start: bytes) -> Iterator[KeyVersion]:
        """Entries of a table from the key on."""
        path = self._table_path(table.number)
        try:
            fd = _open(path)
            try:
                size = os.fstat(fd).st_size
                index = index_items(_read_block(fd, table_index(_read(fd, FOOTER_BYTES, size - FOOTER_BYTES))))
                for _, handle in index[bisect_left(index, start, key=lambda item: item[0]) :]:
                    for entry in block_entries(_read_block(fd, handle)):
                        if entry.key >= start:
                            yield entry
            finally:
                os.close(fd)
        except LevelDbError as exc:
            raise LevelDbError(f"{path.name}: {exc.reason}") from exc

    def _table_path(self, number: int) -> Path:
        """Tables have one of two suffixes, depending on the age of the writer."""
        new = self._path / f"{number:06d}.ldb"
        old = new.with_suffix(".sst")
        return old if not new.exists() and old.exists() else new


def _while_prefixed(entries: Iterator[KeyVersion], prefix: bytes) -> Iterator[KeyVersion]:
    for entry in entries:
        if not entry.key.startswith(prefix):
            return
        yield entry


def _read_logs(path: Path, version: Version, tails: list[str]) -> list[KeyVersion]:
    """The entries of the logs that are not yet in tables, sorted."""
    names = (name.removesuffix(".log") for name in os.listdir(path) if name.endswith(".log"))
    numbers = sorted(int(name) for name in names if name.isascii() and name.isdecimal())
    found: list[KeyVersion] = []
    left = MAX_LOG_BYTES
    for number in numbers:
        if number < version.log_number and number != version.previous_log:
            continue
        file = path / f"{number:06d}.log"
        data = read_file(file, left)
        left -= len(data)
        for record in log_records(data):
            if not isinstance(record, LogTail):
                found += batch_entries(record)
            elif len(tails) < MAX_TAILS:
                lost = len(data) - record.offset
                tails.append(f"{file.name} at byte {record.offset}: {record.reason}; {lost} bytes were not read")
    found.sort(key=_ORDER)
    return found


def _open(path: Path) -> int:
    """A descriptor of a regular file. Raises LevelDbError, OSError."""
    fd = os.open(path, READ_FLAGS)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise LevelDbError("it is not a file")
    return fd


def read_file(path: Path, limit: int) -> bytes:
    """A whole regular file of at most ``limit`` bytes. Raises LevelDbTooLarge, LevelDbError, OSError."""
    fd = _open(path)
    with os.fdopen(fd, "rb", buffering=0) as file:
        if os.fstat(fd).st_size > limit:
            raise LevelDbTooLarge(path, limit)
        data = file.read(limit + 1)
    if len(data) > limit:
        raise LevelDbTooLarge(path, limit)
    return data


def _read(fd: int, size: int, offset: int) -> bytes:
    if offset < 0:
        raise LevelDbError("it is cut off")
    os.lseek(fd, offset, os.SEEK_SET)
    data = os.read(fd, size)
    if len(data) != size:
        raise LevelDbError(f"it is cut off at byte {offset + len(data)}")
    return data


def _read_block(fd: int, handle: Handle) -> bytes:
    if handle.offset >= 1 << 63:
        raise LevelDbError("a block beyond the end")
    try:
        return open_block(_read(fd, handle.size + TRAILER_BYTES, handle.offset))
    except LevelDbError as exc:
        raise LevelDbError(f"at byte {handle.offset}: {exc.reason}") from exc
