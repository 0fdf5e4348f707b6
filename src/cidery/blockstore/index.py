"""The index of the segments in LMDB: multihash -> location, watermarks, counters. One writer, readers in any process.

Every commit is synced by LMDB, so a power cut leaves the state before or after a commit, never between. The map grows
by doubling; other processes notice (MapResizedError) and follow. Reads open a transaction of microseconds; in this
process they exclude only the moment in which the map is resized, which LMDB demands.

Spec: http://www.lmdb.tech/doc/
"""

import errno
import threading
from collections.abc import Callable, Iterator, Sequence
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import lmdb

from cidery.blockstore.index_records import (
    IndexChange,
    IndexDamaged,
    SegmentInfo,
    decode_location,
    decode_number,
    decode_segment,
    decode_segment_key,
    decode_tail,
    decode_tail_key,
    encode_location,
    encode_number,
    encode_segment,
    encode_segment_key,
    encode_tail,
    encode_tail_key,
)
from cidery.blockstore.segment_file import Location
from cidery.errors import NotFound, Unavailable

if TYPE_CHECKING:
    Transaction = Any

T = TypeVar("T")

INITIAL_MAP = 64 * 1024 * 1024
"""First size of the map, in bytes: room for about 700,000 blocks. Only address space until it is used."""
MAX_MAP = 1 << 46
"""Largest map, in bytes: the address space of a process on common 64-bit machines is 2**47."""
READ_BATCH = 256
"""Most look-ups in one read transaction: keeps the resize of the map and other readers waiting < 0.5 ms."""
MAX_READERS = 512
"""Slots for concurrent read transactions of all processes (64 bytes each in the lock file)."""
FORMAT = 1
"""Number of this layout of the tables."""

COUNTER_FORMAT = b"format"
COUNTER_NEXT_ORDINAL = b"next-ordinal"
COUNTER_NEXT_SEGMENT = b"next-segment"
COUNTER_LOG_APPLIED = b"log-applied"
COUNTER_REBUILDING = b"rebuilding"

_TABLES = (b"blocks", b"segments", b"tails", b"counters")


class IndexMissing(NotFound):
    """There is no store here to read."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.path = path

    def __str__(self) -> str:
        return f"no block index at {self.path}; create the repository first: `cidery init`"


class IndexUnavailable(Unavailable):
    """LMDB cannot do it now: disk full, no permission, too many readers."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"the block index at {self.path} is not usable now: {self.reason}; free space or check permissions"


class Index:
    """An open index. Reads from any thread; commit() from one thread only (the writer's)."""

    def __init__(self, path: Path, *, read_only: bool = False, map_size: int = INITIAL_MAP) -> None:
        """Raises IndexMissing (read-only, nothing there), IndexDamaged, IndexUnavailable."""
        self.path = path
        self._resizing = threading.Lock()
        if read_only and not (path / "data.mdb").exists():
            raise IndexMissing(path)
        try:
            self._open(read_only, map_size)
        except (lmdb.InvalidError, lmdb.CorruptedError, lmdb.VersionMismatchError, lmdb.PageNotFoundError) as exc:
            raise IndexDamaged(str(exc)) from exc
        except lmdb.NotFoundError as exc:
            raise IndexMissing(path) from exc
        except lmdb.Error as exc:
            raise IndexUnavailable(path, str(exc)) from exc
        found = self.counters().get(COUNTER_FORMAT, FORMAT)
        if found != FORMAT:
            self.close()
            raise IndexDamaged(f"its format is {found}, this version knows {FORMAT}")

    def _open(self, read_only: bool, map_size: int) -> None:
        if not read_only:
            self.path.mkdir(parents=True, exist_ok=True)
        self._env = lmdb.open(
            str(self.path),
            map_size=map_size,
            max_dbs=len(_TABLES),
            max_readers=MAX_READERS,
            readonly=read_only,
            create=not read_only,
        )
        if not read_only:
            self._env.reader_check()
        tables = [self._env.open_db(name, create=not read_only) for name in _TABLES]
        self._blocks, self._segments, self._tails, self._counters = tables

    def close(self) -> None:
        """Idempotent."""
        with self._resizing:
            self._env.close()

    def reader_check(self) -> int:
        """Free the slots of readers that died; returns how many."""
        return int(self._env.reader_check())

    # -- reading ---------------------------------------------------------------------------------------------------

    def _read(self, work: "Callable[[Transaction], T]") -> T:
        """Run ``work`` in a read transaction, following the map when another process has grown it."""
        with self._resizing:
            try:
                with self._env.begin(db=self._blocks) as txn:
                    return work(txn)
            except lmdb.MapResizedError:
                self._env.set_mapsize(0)
            except lmdb.Error as exc:
                raise self._error(exc) from exc
            try:
                with self._env.begin(db=self._blocks) as txn:
                    return work(txn)
            except lmdb.Error as exc:
                raise self._error(exc) from exc

    def _error(self, exc: lmdb.Error) -> IndexDamaged | IndexUnavailable:
        if isinstance(exc, lmdb.CorruptedError | lmdb.PageNotFoundError | lmdb.InvalidError | lmdb.BadValsizeError):
            return IndexDamaged(str(exc))
        return IndexUnavailable(self.path, str(exc))

    def get(self, multihash: bytes) -> Location | None:
        """One look-up, about 2 us."""
        raw = self._read(lambda txn: txn.get(multihash))
        return None if raw is None else decode_location(raw)

    def get_many(self, multihashes: Sequence[bytes]) -> list[Location | None]:
        """One look-up per multihash; each run of READ_BATCH sees one state of the index."""
        found: list[Location | None] = []
        for start in range(0, len(multihashes), READ_BATCH):
            part = multihashes[start : start + READ_BATCH]
            raws = self._read(lambda txn, part=part: [txn.get(key) for key in part])  # type: ignore[misc]
            found.extend(None if raw is None else decode_location(raw) for raw in raws)
        return found

    def page(self, after: bytes, limit: int) -> list[tuple[bytes, Location]]:
        """Up to ``limit`` blocks whose multihash sorts after ``after``, ascending."""

        def work(txn: "Transaction") -> list[tuple[bytes, bytes]]:
            found: list[tuple[bytes, bytes]] = []
            with txn.cursor() as cursor:
                more = cursor.set_range(after)
                if more and cursor.key() == after:
                    more = cursor.next()
                while more and len(found) < limit:
                    found.append(cursor.item())
                    more = cursor.next()
            return found

        return [(key, decode_location(raw)) for key, raw in self._read(work)]

    def count(self) -> int:
        """Number of blocks. O(1)."""
        return self._read(lambda txn: int(txn.stat(self._blocks)["entries"]))

    def segments(self) -> dict[int, SegmentInfo]:
        """All segments the index knows."""
        items = self._read(lambda txn: list(txn.cursor(db=self._segments)))
        return {decode_segment_key(key): decode_segment(raw) for key, raw in items}

    def tails(self, segment: int) -> Iterator[tuple[int, list[bytes]]]:
        """(offset of the first record, multihashes) of the commits past the segment's watermark."""
        items = self._read(lambda txn: _items_of(txn, self._tails, encode_segment_key(segment)))
        for key, raw in items:
            yield decode_tail_key(key)[1], decode_tail(raw)

    def counters(self) -> dict[bytes, int]:
        items = self._read(lambda txn: list(txn.cursor(db=self._counters)))
        return {key: decode_number(raw) for key, raw in items}

    # -- writing ---------------------------------------------------------------------------------------------------

    def commit(self, change: IndexChange) -> None:
        """Apply one change durably. Cost: about 3 us a block and one sync of the index.

        Raises:
            IndexUnavailable: no space, and then nothing of the change was applied.
        """
        self._write(lambda txn: self._apply(txn, change))

    def clear(self) -> None:
        """Forget every block and segment, keep the counters: the first step of a rebuild."""

        def work(txn: "Transaction") -> None:
            for table in (self._blocks, self._segments, self._tails):
                txn.drop(table, delete=False)

        self._write(work)

    def _write(self, work: "Callable[[Transaction], None]") -> None:
        while True:
            try:
                with self._env.begin(write=True, db=self._blocks) as txn:
                    work(txn)
                return
            except lmdb.MapFullError as exc:
                self._grow(exc)
            except lmdb.MapResizedError:
                with self._resizing:
                    self._env.set_mapsize(0)
            except lmdb.Error as exc:
                raise self._error(exc) from exc

    def _grow(self, cause: lmdb.Error) -> None:
        with self._resizing:
            size = int(self._env.info()["map_size"]) * 2
            if size > MAX_MAP:
                raise IndexUnavailable(self.path, f"the map cannot grow over {MAX_MAP} bytes") from cause
            try:
                self._env.set_mapsize(size)
            except lmdb.Error as exc:
                raise IndexUnavailable(self.path, f"{exc} ({errno.errorcode[errno.ENOMEM]})") from exc

    def _apply(self, txn: "Transaction", change: IndexChange) -> None:
        sums = _Sums(txn, self._segments)
        # Sorted keys touch each page once: a third of the time of random ones in a batch of thousands. The sort is
        # stable: of two places for one block the one appended last wins.
        for key, at in sorted(change.puts, key=itemgetter(0)):
            value = encode_location(*at)
            sums.add(at, 1)
            if not txn.put(key, value, overwrite=False):
                sums.add(decode_location(txn.replace(key, value)), -1)
        for key in change.deletes:
            old = txn.pop(key)
            if old is not None:
                sums.add(decode_location(old), -1)
        self._note_tails(txn, change)
        for segment, watermark in change.watermarks.items():
            sums.raise_watermark(segment, watermark)
            for key, _ in _items_of(txn, self._tails, encode_segment_key(segment)):
                if decode_tail_key(key)[1] < watermark:
                    txn.delete(key, db=self._tails)
        sums.save()
        for name, number in change.counters.items():
            txn.put(name, encode_number(number), db=self._counters)

    def _note_tails(self, txn: "Transaction", change: IndexChange) -> None:
        tails: dict[int, list[tuple[int, bytes]]] = {}
        for key, at in change.puts:
            if at.end > change.watermarks.get(at.segment, 0):
                tails.setdefault(at.segment, []).append((at.offset, key))
        for segment, records in tails.items():
            first = min(offset for offset, _ in records)
            txn.put(encode_tail_key(segment, first), encode_tail(key for _, key in records), db=self._tails)


class _Sums:
    """The segment records touched by one transaction, read once and written once."""

    def __init__(self, txn: "Transaction", table: object) -> None:
        self._txn = txn
        self._table = table
        self._infos: dict[int, SegmentInfo] = {}

    def _info(self, segment: int) -> SegmentInfo:
        info = self._infos.get(segment)
        if info is None:
            raw = self._txn.get(encode_segment_key(segment), db=self._table)
            info = SegmentInfo(0) if raw is None else decode_segment(raw)
        return info

    def add(self, at: Location, sign: int) -> None:
        mark, size, blocks = self._info(at.segment)
        self._infos[at.segment] = SegmentInfo(mark, max(0, size + sign * at.length), max(0, blocks + sign))

    def raise_watermark(self, segment: int, watermark: int) -> None:
        self._infos[segment] = self._info(segment)._replace(watermark=watermark)

    def save(self) -> None:
        for segment, info in self._infos.items():
            self._txn.put(encode_segment_key(segment), encode_segment(info), db=self._table)


def _items_of(txn: "Transaction", table: object, prefix: bytes) -> list[tuple[bytes, bytes]]:
    """All items of a table whose key starts with ``prefix``."""
    found: list[tuple[bytes, bytes]] = []
    with txn.cursor(db=table) as cursor:
        more = cursor.set_range(prefix)
        while more and cursor.key().startswith(prefix):
            found.append(cursor.item())
            more = cursor.next()
    return found
