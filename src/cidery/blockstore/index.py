"""The index of the segments in LMDB: multihash -> location, watermarks, counters. One writer, readers in any process.

The tables are in index_records.py. Everything here can be rebuilt from the segments and the delete log.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from cidery.blockstore.index_records import (
    REBUILD_ADVICE,
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
from cidery.disk.lmdb_environment import Environment, Table, Transaction, items_after, items_with_prefix
from cidery.disk.platform_io import FileLayer

INITIAL_MAP = 64 * 1024 * 1024
"""Initial size of the map, in bytes: room for about 700,000 blocks. Only address space until it is used."""
READ_BATCH = 256
"""Most look-ups in one read transaction: resizing the map and other readers wait less than 0.5 ms."""
BLOCKS_TABLE = "blocks"
BLOCKS = 0
"""Its position among the tables."""
FORMAT = 1
"""Version of this table layout."""

COUNTER_FORMAT = b"format"
COUNTER_NEXT_ORDINAL = b"next-ordinal"
COUNTER_NEXT_SEGMENT = b"next-segment"
COUNTER_LOG_APPLIED = b"log-applied"
COUNTER_LOG_GENERATION = b"log-generation"
COUNTER_REBUILDING = b"rebuilding"


class Index:
    """An open index. Reads from any thread; commit() from one thread only (the writer's).

    In addition to the errors named below, reads raise IndexDamaged, DatabaseDamaged, DatabaseUnavailable.
    """

    def __init__(self, path: Path, files: FileLayer, *, read_only: bool = False, map_size: int = INITIAL_MAP) -> None:
        """Open or create; ``files`` is notified of commits.

        Raises DatabaseMissing (read-only, nothing there), DatabaseDamaged, DatabaseUnavailable, IndexDamaged.
        """
        self._files = files
        tables = (BLOCKS_TABLE.encode(), b"segments", b"tails", b"counters")
        self._env = Environment(
            path, tables, what="block index", advice=REBUILD_ADVICE, read_only=read_only, map_size=map_size
        )
        found = self.counters().get(COUNTER_FORMAT, FORMAT)
        if found != FORMAT:
            self.close()
            raise IndexDamaged(f"its format is {found}, this version knows {FORMAT}")

    @property
    def _blocks(self) -> Table:
        return self._env.tables[BLOCKS]

    @property
    def _segments(self) -> Table:
        return self._env.tables[1]

    @property
    def _tails(self) -> Table:
        return self._env.tables[2]

    @property
    def _counters(self) -> Table:
        return self._env.tables[3]

    @property
    def path(self) -> Path:
        return self._env.path

    def close(self) -> None:
        """Idempotent."""
        self._env.close()

    def compact_at_close(self) -> int:
        """Have close() rewrite the file without free pages; returns its resulting size, in bytes."""
        return self._env.compact_at_close()

    def reader_check(self) -> int:
        """Free the slots of readers that died; returns their number."""
        return self._env.reader_check()

    def map_size(self) -> int:
        """Size of the LMDB map in bytes."""
        return self._env.map_size()

    def get(self, multihash: bytes) -> Location | None:
        """One look-up, about 3 us."""
        raw = self._env.get(BLOCKS, multihash)
        return None if raw is None else decode_location(raw)

    def get_many(self, multihashes: Sequence[bytes]) -> list[Location | None]:
        """One look-up of about 1 us per multihash; each run of READ_BATCH sees one state of the index."""
        found: list[Location | None] = []
        for start in range(0, len(multihashes), READ_BATCH):
            part = multihashes[start : start + READ_BATCH]
            raws: list[bytes | None] = self._env.read(_getter(part, self._env))
            found.extend(None if raw is None else decode_location(raw) for raw in raws)
        return found

    def page(self, after: bytes, limit: int) -> list[tuple[bytes, Location]]:
        """Up to ``limit`` blocks whose multihash sorts after ``after``, ascending."""
        items = self._env.read(lambda txn: items_after(txn, self._blocks, after, limit))
        return [(key, decode_location(raw)) for key, raw in items]

    def count(self) -> int:
        """Number of blocks. O(1)."""
        return self._env.read(lambda txn: int(txn.stat(self._blocks)["entries"]))

    def segments(self) -> dict[int, SegmentInfo]:
        """All segments the index knows."""
        items = self._env.read(lambda txn: list(txn.cursor(db=self._segments)))
        return {decode_segment_key(key): decode_segment(raw) for key, raw in items}

    def tails(self, segment: int) -> Iterator[tuple[int, list[bytes]]]:
        """(offset of the first record, multihashes) of the commits past the segment's watermark."""
        items = self._env.read(lambda txn: items_with_prefix(txn, self._tails, encode_segment_key(segment)))
        for key, raw in items:
            yield decode_tail_key(key)[1], decode_tail(raw)

    def counters(self) -> dict[bytes, int]:
        items = self._env.read(lambda txn: list(txn.cursor(db=self._counters)))
        return {key: decode_number(raw) for key, raw in items}

    def commit(self, change: IndexChange) -> None:
        """Apply one change durably. Cost: about 3 us per block and one sync of the index.

        Raises:
            DatabaseUnavailable: no space; nothing of the change was applied.
        """
        self._env.write(lambda txn: self._apply(txn, change))
        self._files.committed(self._env.path)

    def clear(self) -> None:
        """Forget every block and segment, keep the counters: the first step of a rebuild."""

        def work(txn: Transaction) -> None:
            for table in (self._blocks, self._segments, self._tails):
                txn.drop(table, delete=False)

        self._env.write(work)
        self._files.committed(self._env.path)

    def _apply(self, txn: Transaction, change: IndexChange) -> None:
        sums = _Sums(txn, self._segments)
        blocks = self._blocks
        # Sorted keys touch each page once: a third of the time of random ones in a batch of thousands. Of two places
        # for one block the one appended last wins.
        latest = dict(change.puts)
        keys = sorted(latest)
        cursor = txn.cursor(db=blocks)
        for start in range(0, len(keys), READ_BATCH):  # look-ups of absent keys do not release the GIL
            for _, raw in cursor.getmulti(keys[start : start + READ_BATCH]):
                sums.add(decode_location(raw), -1)
        cursor.putmulti([(key, encode_location(*latest[key])) for key in keys])
        for at in latest.values():
            sums.add(at, 1)
        for key in change.deletes:
            old = txn.pop(key, db=blocks)
            if old is not None:
                sums.add(decode_location(old), -1)
        self._note_tails(txn, change)
        for segment, watermark in change.watermarks.items():
            sums.raise_watermark(segment, watermark)
            for key, _ in items_with_prefix(txn, self._tails, encode_segment_key(segment)):
                if decode_tail_key(key)[1] < watermark:
                    txn.delete(key, db=self._tails)
        sums.save()
        for segment in change.dropped:
            txn.delete(encode_segment_key(segment), db=self._segments)
            for key, _ in items_with_prefix(txn, self._tails, encode_segment_key(segment)):
                txn.delete(key, db=self._tails)
        for name, number in change.counters.items():
            txn.put(name, encode_number(number), db=self._counters)

    def _note_tails(self, txn: Transaction, change: IndexChange) -> None:
        tails: dict[int, list[tuple[int, bytes]]] = {}
        for key, at in change.puts:
            if at.end > change.watermarks.get(at.segment, 0):
                tails.setdefault(at.segment, []).append((at.offset, key))
        for segment, records in tails.items():
            first = min(offset for offset, _ in records)
            txn.put(encode_tail_key(segment, first), encode_tail(key for _, key in records), db=self._tails)


def _getter(keys: Sequence[bytes], env: Environment) -> Callable[[Transaction], list[bytes | None]]:
    def get(txn: Transaction) -> list[bytes | None]:
        found = dict(txn.cursor(db=env.tables[BLOCKS]).getmulti(keys))
        return [found.get(key) for key in keys] if found else [None] * len(keys)

    return get


class _Sums:
    """The segment records touched by one transaction, read once and written once."""

    def __init__(self, txn: Transaction, table: Table) -> None:
        self._txn = txn
        self._table = table
        self._infos: dict[int, SegmentInfo] = {}
        self._changes: dict[int, list[int]] = {}
        """Segment -> change in bytes and blocks."""

    def _info(self, segment: int) -> SegmentInfo:
        info = self._infos.get(segment)
        if info is None:
            raw = self._txn.get(encode_segment_key(segment), db=self._table)
            info = SegmentInfo(0) if raw is None else decode_segment(raw)
        return info

    def add(self, at: Location, sign: int) -> None:
        change = self._changes.get(at.segment)
        if change is None:
            change = self._changes[at.segment] = [0, 0]
        change[0] += sign * at.length
        change[1] += sign

    def raise_watermark(self, segment: int, watermark: int) -> None:
        self._infos[segment] = self._info(segment)._replace(watermark=watermark)

    def save(self) -> None:
        for segment, (size, blocks) in self._changes.items():
            info = self._info(segment)
            self._infos[segment] = SegmentInfo(
                info.watermark, max(0, info.live_bytes + size), max(0, info.live_blocks + blocks)
            )
        for segment, info in self._infos.items():
            self._txn.put(encode_segment_key(segment), encode_segment(info), db=self._table)
