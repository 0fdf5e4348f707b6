"""Which keys this node announces, ordered by their place in the key space, and when each was announced last.

Two tables of ``meta/cache``: every key, and those that were never announced. A key takes some 60 bytes. A set that is
lost is made again from pins and blocks. Times are seconds of the wall clock.

Each key carries the number of the gathering that saw it last; after a complete one, those with another number go.
"""

import struct
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import NamedTuple

from cidery.disk.lmdb_environment import Environment, Table, Transaction
from cidery.kad.key import BITS, prefix_range
from cidery.kad.sweep import Region

FETCHED = 255
"""The gathering number of keys that were fetched from others: they stay while their block does."""
GATHERINGS = 255
"""Numbers 0..254 are used in turn."""
BATCH = 4096
"""Keys handled in one transaction: some 10 ms, in a thread."""

_STATE = struct.Struct(">IB")
_PEERS = struct.Struct(">H")
"""Behind the state, once announced: how many peers took the record. Older rows lack it."""
MOST_PEERS = (1 << 16) - 1
_PLACE = 8


class KeyState(NamedTuple):
    """What is known of one key of the set."""

    at: float | None
    """When it was announced last; None: never."""
    peers: int | None
    """How many peers took its record then; None: not known."""


class ProvideSet:
    """Every method blocks for the disk: call it in a thread, one at a time."""

    def __init__(self, environment: Environment, keys: Table, fresh: Table) -> None:
        self._env = environment
        self._keys = keys
        self._fresh = fresh

    def counts(self) -> tuple[int, int]:
        """(keys, those never announced). O(1)."""
        return self._env.read(lambda txn: (txn.stat(self._keys)["entries"], txn.stat(self._fresh)["entries"]))

    def look(self, key: bytes) -> KeyState | None:
        """One key; None if it is not in the set."""
        row = _place(key) + key

        def work(txn: Transaction) -> KeyState | None:
            known = txn.get(row, db=self._keys)
            if known is None:
                return None
            at = _STATE.unpack_from(known)[0]
            peers = _PEERS.unpack_from(known, _STATE.size)[0] if len(known) > _STATE.size else None
            return KeyState(float(at) or None, peers)

        return self._env.read(work)

    def mark(self, keys: Sequence[bytes], gathering: int) -> int:
        """Note that these belong to the set; returns how many are new. At most BATCH at a time."""
        rows = sorted(_place(key) + key for key in keys)

        def work(txn: Transaction) -> int:
            new = 0
            for row in rows:
                known = txn.get(row, db=self._keys)
                last, before = _STATE.unpack_from(known) if known is not None else (0, gathering)
                if known is None:
                    new += 1
                    txn.put(row, b"", db=self._fresh)
                if known is None or (before not in (gathering, FETCHED)):
                    txn.put(row, _STATE.pack(last, gathering) + (known or b"")[_STATE.size :], db=self._keys)
            return new

        return self._env.write(work)

    def drop_others(self, gathering: int, after: bytes) -> bytes:
        """Take out keys of other gatherings among the BATCH after a cursor; returns the next cursor, b"" at the end."""

        def work(txn: Transaction) -> bytes:
            gone: list[bytes] = []
            with txn.cursor(db=self._keys) as cursor:
                more = cursor.set_range(after) if after else cursor.first()
                for _ in range(BATCH):
                    if not more:
                        break
                    if _STATE.unpack_from(cursor.value())[1] not in (gathering, FETCHED):
                        gone.append(bytes(cursor.key()))
                    more = cursor.next()
                following = bytes(cursor.key()) if more else b""
            self._delete(txn, gone)
            return following

        return self._env.write(work)

    def remove(self, keys: Sequence[bytes]) -> None:
        """These are not here any more."""
        rows = [_place(key) + key for key in keys]
        self._env.write(lambda txn: self._delete(txn, rows))

    def _delete(self, txn: Transaction, rows: Sequence[bytes]) -> None:
        for row in rows:
            txn.delete(row, db=self._keys)
            txn.delete(row, db=self._fresh)

    def clear(self) -> int:
        """Take everything out; returns how many there were."""

        def work(txn: Transaction) -> int:
            count: int = txn.stat(self._keys)["entries"]
            txn.drop(self._keys, delete=False)
            txn.drop(self._fresh, delete=False)
            return count

        return self._env.write(work)

    def first_fresh(self) -> int | None:
        """The place of the first key that was never announced."""

        def work(txn: Transaction) -> int | None:
            with txn.cursor(db=self._fresh) as cursor:
                return int.from_bytes(cursor.key()[:_PLACE], "big") << (BITS - 8 * _PLACE) if cursor.first() else None

        return self._env.read(work)

    def inside(self, region: Region, *, fresh: bool = False, announced_before: float = float("inf")) -> list[bytes]:
        """The keys of a region, in order: all, or those never announced; not those announced since a time."""
        low, high = (at >> (BITS - 8 * _PLACE) for at in prefix_range(region.prefix, region.length))
        end = high.to_bytes(_PLACE + 1, "big")
        table = self._fresh if fresh else self._keys

        def work(txn: Transaction) -> list[bytes]:
            found: list[bytes] = []
            with txn.cursor(db=table) as cursor:
                more = cursor.set_range(low.to_bytes(_PLACE, "big"))
                while more:
                    row = bytes(cursor.key())
                    if b"\x00" + row[:_PLACE] >= end:
                        break
                    if fresh or _STATE.unpack_from(cursor.value())[0] < announced_before:
                        found.append(row[_PLACE:])
                    more = cursor.next()
            return found

        return self._env.read(work)

    def announced(self, taken: Mapping[bytes, int], now: float) -> None:
        """These were announced now: key -> how many peers took its record. At most BATCH at a time."""
        rows = sorted((_place(key) + key, peers) for key, peers in taken.items())

        def work(txn: Transaction) -> None:
            for row, peers in rows:
                known = txn.get(row, db=self._keys)
                if known is not None:
                    state = _STATE.pack(int(now), known[4]) + _PEERS.pack(min(peers, MOST_PEERS))
                    txn.put(row, state, db=self._keys)
                    txn.delete(row, db=self._fresh)

        self._env.write(work)

    def count_late(self, before: float) -> int:
        """Keys announced last before a time, those never announced left out. O(keys): half a second a million."""

        def work(txn: Transaction) -> int:
            late = 0
            for _, value in txn.cursor(db=self._keys):
                late += 0 < _STATE.unpack_from(value)[0] < before
            return late

        return self._env.read(work)


def _place(key: bytes) -> bytes:
    return sha256(key).digest()[:_PLACE]
