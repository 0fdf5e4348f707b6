"""A set of keys with small values, for a million of them: 22 bytes each, and a look-up of half a microsecond.

Keys are 16 bytes that are spread evenly (parts of hashes). The sorted records lie in one ``bytes``; a table of where
the records of the first two bytes begin leaves some 15 to be searched, by ``bytes.find``.
"""

from array import array
from typing import NamedTuple

KEY = 16
"""Bytes of a key: two keys that are equal by chance are as unlikely as a broken hash."""
RECORD = KEY + 6
BUCKETS = 1 << 16
SMALL = 16 * 1024
"""Records that are kept in a dict: all of a small list, and what was appended to a large one."""
MAX_POSITION = (1 << 31) - 1
"""Largest position of a rule, in bytes from the start of its file."""


class Entry(NamedTuple):
    """The value of a key."""

    position: int
    """Where the rule begins in its file; of two, the later one wins."""
    allow: bool
    hints: int
    """Number of its hints."""


class RuleIndex:
    """Key -> Entry; of several with one key that with the largest position."""

    def __init__(self) -> None:
        self._incoming: list[bytes] = []
        self._recent: dict[bytes, bytes] = {}
        self._table: tuple[bytes, array[int]] = (b"", array("I"))
        """The sorted records, and where those of each bucket begin; replaced as one, since others read meanwhile."""

    def __len__(self) -> int:
        return len(self._incoming) + len(self._recent) + len(self._table[0]) // RECORD

    def add(self, key: bytes, entry: Entry) -> None:
        """Add an entry; it is found after seal()."""
        self._incoming.append(key + (entry.position << 1 | entry.allow).to_bytes(4) + entry.hints.to_bytes(2))

    def add_plain(self, key: bytes, position: int) -> None:
        """add() of a rule that denies and has no hints, in half the time."""
        self._incoming.append(key + (position << 1).to_bytes(4) + b"\0\0")

    def seal(self) -> None:
        """What was added is found from now on. Costs 1.5 s for a million."""
        incoming, self._incoming = self._incoming, []
        if len(incoming) + len(self._recent) <= SMALL:
            for record in incoming:
                key = record[:KEY]
                if record > self._recent.get(key, b""):
                    self._recent[key] = record
            return
        incoming += self._recent.values()
        sealed = self._table[0]
        incoming += [sealed[at : at + RECORD] for at in range(0, len(sealed), RECORD)]
        incoming.sort()
        last, kept, begins, bucket = b"", [], array("I", bytes(4 * (BUCKETS + 1))), 0
        for record in reversed(incoming):
            key = record[:KEY]
            if key != last:
                kept.append(record)
                last = key
        kept.reverse()
        for at, record in enumerate(kept):
            first = record[0] << 8 | record[1]
            while bucket <= first:
                begins[bucket] = at * RECORD
                bucket += 1
        for rest in range(bucket, BUCKETS + 1):
            begins[rest] = len(kept) * RECORD
        self._table = b"".join(kept), begins
        self._recent = {}

    def get(self, key: bytes) -> Entry | None:
        """The entry of a key."""
        record = self._recent.get(key) if self._recent else None
        if record is None:
            sealed, begins = self._table
            if not sealed:
                return None
            bucket = key[0] << 8 | key[1]
            at, end = begins[bucket], begins[bucket + 1]
            while (at := sealed.find(key, at, end)) % RECORD:  # by chance across two records, or -1: not there
                if at < 0:
                    return None
                at += 1
            record = sealed[at : at + RECORD]
        value = int.from_bytes(record[KEY : KEY + 4])
        return Entry(value >> 1, bool(value & 1), int.from_bytes(record[KEY + 4 :]))
