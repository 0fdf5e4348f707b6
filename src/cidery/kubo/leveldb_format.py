"""The byte formats of LevelDB: log records, write batches, version edits, table blocks. Pure; any bytes give a value or
LevelDbError.

Spec: https://github.com/google/leveldb/blob/main/doc/log_format.md and table_format.md
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from cidery.errors import IntegrityError
from cidery.kubo.snappy import SnappyError, decompress
from cidery.multiformats.varint import VarintError, decode_uvarint

LOG_BLOCK = 32 * 1024
"""Bytes of a block of a log; records are split at its end."""
LOG_HEAD = 7
"""Bytes before each part of a record: checksum, length, kind."""
FOOTER_BYTES = 48
"""At the end of a table."""
TRAILER_BYTES = 5
"""After each block of a table: compression type, checksum."""
TABLE_MAGIC = bytes.fromhex("57fb808b247547db")
MAX_BLOCK_BYTES = 16 << 20
"""Largest block of a table read, in bytes, before and after decompression. Usual ones have 4 KiB; one that holds a long
value has its length, and the longest values here are some KiB."""
MAX_RECORD_BYTES = 64 << 20
"""Longest record of a log: one write batch."""
MAX_LEVELS = 64
"""LevelDB has 7; goleveldb adds more as it grows, each ten times the one before."""
MAX_TABLES = 1 << 20
"""Most tables of one database: at 2 MiB each, 2 TiB."""
COMPARATOR = b"leveldb.BytewiseComparator"

_FULL, _FIRST, _MIDDLE, _LAST = 1, 2, 3, 4
_DELETION, _VALUE = 0, 1
_CRC_DELTA = 0xA282EAD8
"""Added to a stored checksum, so that one of bytes that hold checksums is no accident."""


class LevelDbError(IntegrityError):
    """Bytes that LevelDB never writes."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"the LevelDB database is damaged: {self.reason}"


class KeyVersion(NamedTuple):
    """One version of a key. Sorted by key, the newest first."""

    key: bytes
    age: int
    """Minus the sequence number."""
    value: bytes | None
    """None: the key was deleted."""


class TableFile(NamedTuple):
    """A table of the current version."""

    level: int
    number: int
    size: int
    """Bytes."""
    smallest: bytes
    largest: bytes
    """Keys, both included."""


class Handle(NamedTuple):
    """Where a block is in a table."""

    offset: int
    size: int
    """Without its trailer."""


@dataclass(slots=True)
class Version:
    """The composition of the database: the sum of all edits in the manifest."""

    tables: dict[tuple[int, int], TableFile] = field(default_factory=dict)
    """(level, number) -> table."""
    log_number: int = 0
    """Logs with a smaller number are in tables already, ..."""
    previous_log: int = 0
    """... except for this one (old databases)."""


def masked_crc(*parts: bytes) -> int:
    """The checksum of LevelDB over the concatenated parts."""
    from crc32c import crc32c  # imported late: only an import from Kubo needs it

    crc = 0
    for part in parts:
        crc = crc32c(part, crc)
    return ((crc >> 15 | crc << 17) + _CRC_DELTA) & 0xFFFFFFFF


# -- logs --------------------------------------------------------------------------------------------------------------


class LogTail(NamedTuple):
    """Where the good part of a log ends, if not at its end."""

    offset: int
    reason: str


def log_records(data: bytes) -> Iterator[bytes | LogTail]:
    """The records of a whole log file, in order; last a LogTail if the rest cannot be read.

    A record truncated at the end is left by a crash: it was never acknowledged, and is no LogTail.
    Raises LevelDbError for a record over MAX_RECORD_BYTES, nothing else (fuzzed).
    """
    parts: list[bytes] = []
    held = at = 0
    size = len(data)
    while at + LOG_HEAD <= size:
        left = LOG_BLOCK - at % LOG_BLOCK
        if left < LOG_HEAD:
            at += left
            continue
        crc, length, kind = int.from_bytes(data[at : at + 4], "little"), data[at + 4] | data[at + 5] << 8, data[at + 6]
        if kind == 0 and length == 0:  # space that was reserved but not written
            at += left
            continue
        end = at + LOG_HEAD + length
        if end > size:
            return
        if length > left - LOG_HEAD or masked_crc(data[at + 6 : end]) != crc:
            yield LogTail(at, "a record whose checksum is wrong")
            return
        if kind not in (_FULL, _FIRST, _MIDDLE, _LAST) or (kind in (_MIDDLE, _LAST)) != bool(parts):
            yield LogTail(at, "a part of a record out of place")
            return
        parts.append(data[at + LOG_HEAD : end])
        held += length + 1  # bounds empty parts, too
        if held > MAX_RECORD_BYTES:
            raise LevelDbError(f"a log record over {MAX_RECORD_BYTES} bytes")
        if kind in (_FULL, _LAST):
            yield b"".join(parts)
            parts, held = [], 0
        at = end


def batch_entries(record: bytes) -> list[KeyVersion]:
    """The changes of one write batch. Raises LevelDbError, nothing else (fuzzed)."""
    if len(record) < 12:
        raise LevelDbError("a write batch of less than 12 bytes")
    sequence, count = int.from_bytes(record[:8], "little"), int.from_bytes(record[8:12], "little")
    if count > len(record):
        raise LevelDbError(f"a write batch of {count} changes in {len(record)} bytes")
    found = []
    at = 12
    for number in range(count):
        if at >= len(record):
            raise LevelDbError("a write batch is cut off")
        kind = record[at]
        key, at = _string(record, at + 1)
        value: bytes | None = None
        if kind == _VALUE:
            value, at = _string(record, at)
        elif kind != _DELETION:
            raise LevelDbError(f"a change of kind {kind}")
        found.append(KeyVersion(key, -(sequence + number), value))
    if at != len(record):
        raise LevelDbError("bytes after a write batch")
    return found


def _number(data: bytes, at: int) -> tuple[int, int]:
    try:
        return decode_uvarint(data, at)
    except VarintError as exc:
        raise LevelDbError(f"a number: {exc.reason}") from exc


def _string(data: bytes, at: int) -> tuple[bytes, int]:
    size, at = _number(data, at)
    if size > len(data) - at:
        raise LevelDbError("a string goes beyond the end")
    return data[at : at + size], at + size


# -- the manifest ------------------------------------------------------------------------------------------------------

_COMPARATOR, _LOG, _NEXT_FILE, _LAST_SEQUENCE, _COMPACT, _DELETED, _ADDED, _PREVIOUS_LOG = 1, 2, 3, 4, 5, 6, 7, 9


def apply_edit(version: Version, record: bytes) -> None:
    """Add one record of the manifest. Raises LevelDbError, nothing else (fuzzed)."""
    at = 0
    while at < len(record):
        tag, at = _number(record, at)
        if tag == _COMPARATOR:
            name, at = _string(record, at)
            if name != COMPARATOR:
                raise LevelDbError(f"its keys are in another order ({name[:40]!r})")
        elif tag == _LOG:
            version.log_number, at = _number(record, at)
        elif tag == _PREVIOUS_LOG:
            version.previous_log, at = _number(record, at)
        elif tag in (_NEXT_FILE, _LAST_SEQUENCE):
            _, at = _number(record, at)
        elif tag == _COMPACT:
            _, at = _number(record, at)
            _, at = _string(record, at)
        elif tag == _DELETED:
            level, at = _number(record, at)
            number, at = _number(record, at)
            version.tables.pop((level, number), None)
        elif tag == _ADDED:
            at = _add_table(version, record, at)
        else:
            raise LevelDbError(f"a version edit with the tag {tag}")


def _add_table(version: Version, record: bytes, at: int) -> int:
    level, at = _number(record, at)
    number, at = _number(record, at)
    size, at = _number(record, at)
    smallest, at = _string(record, at)
    largest, at = _string(record, at)
    if level >= MAX_LEVELS or len(version.tables) >= MAX_TABLES:
        raise LevelDbError("more levels or tables than a database has")
    version.tables[level, number] = TableFile(level, number, size, _user_key(smallest)[0], _user_key(largest)[0])
    return at


def _user_key(internal: bytes) -> tuple[bytes, int]:
    """The key, and its sequence number and kind in one number."""
    if len(internal) < 8:
        raise LevelDbError("a key of less than 8 bytes")
    return internal[:-8], int.from_bytes(internal[-8:], "little")


# -- tables ------------------------------------------------------------------------------------------------------------


def table_index(footer: bytes) -> Handle:
    """Where the index of a table is, from its last FOOTER_BYTES. Raises LevelDbError, nothing else (fuzzed)."""
    if len(footer) != FOOTER_BYTES or footer[-8:] != TABLE_MAGIC:
        raise LevelDbError("a table without its footer")
    _, at = _handle(footer, 0)
    return _handle(footer, at)[0]


def _handle(data: bytes, at: int) -> tuple[Handle, int]:
    offset, at = _number(data, at)
    size, at = _number(data, at)
    if size > MAX_BLOCK_BYTES:
        raise LevelDbError(f"a block of {size} bytes, at most {MAX_BLOCK_BYTES} are read")
    return Handle(offset, size), at


def open_block(raw: bytes) -> bytes:
    """The content of a block that was read with its trailer. Raises LevelDbError, nothing else (fuzzed)."""
    if len(raw) < TRAILER_BYTES:
        raise LevelDbError("a block is cut off")
    if masked_crc(raw[:-4]) != int.from_bytes(raw[-4:], "little"):
        raise LevelDbError("a block whose checksum is wrong")
    kind = raw[-TRAILER_BYTES]
    if kind == 0:
        return raw[:-TRAILER_BYTES]
    if kind != 1:
        raise LevelDbError(f"a block compressed in the way {kind}")
    try:
        return decompress(raw[:-TRAILER_BYTES], MAX_BLOCK_BYTES)
    except SnappyError as exc:
        raise LevelDbError(str(exc)) from exc


def block_items(block: bytes) -> Iterator[tuple[bytes, bytes]]:
    """(internal key, value) of a block's entries, in order; each key may share a prefix with the one before.

    Raises LevelDbError, nothing else (fuzzed). Memory: one key in addition to the block.
    """
    if len(block) < 4:
        raise LevelDbError("a block of less than 4 bytes")
    restarts = int.from_bytes(block[-4:], "little")
    end = len(block) - 4 - 4 * restarts
    if end < 0:
        raise LevelDbError("a block with more restarts than bytes")
    key = b""
    at = 0
    while at < end:
        shared, at = _number(block, at)
        fresh, at = _number(block, at)
        size, at = _number(block, at)
        if shared > len(key) or fresh + size > end - at:
            raise LevelDbError("an entry goes beyond its block")
        key = key[:shared] + block[at : at + fresh]
        at += fresh
        yield key, block[at : at + size]
        at += size


def index_items(block: bytes) -> list[tuple[bytes, Handle]]:
    """(a key not before the last of the block, where that block is), in order. Raises as block_items()."""
    return [(_user_key(key)[0], _handle(value, 0)[0]) for key, value in block_items(block)]


def block_entries(block: bytes) -> Iterator[KeyVersion]:
    """The entries of a block of data. Raises as block_items()."""
    for internal, value in block_items(block):
        key, tag = _user_key(internal)
        yield KeyVersion(key, -(tag >> 8), value if tag & 0xFF == _VALUE else None)
