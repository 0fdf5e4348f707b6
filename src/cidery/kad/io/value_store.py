"""Value records that this node holds for others: the best one per key, with expiry and limits.

Spec: https://specs.ipfs.tech/routing/kad-dht/#value-storage-and-retrieval
"""

import struct
from collections import OrderedDict

from cidery.budgets import DHT_VALUES
from cidery.disk.lmdb_environment import Environment, Table, Transaction

MAX_AGE = 48 * 3600.0
"""Seconds after which a value is no longer handed out, whatever it says of itself."""
MAX_VALUES = DHT_VALUES.amount

_RECEIVED = struct.Struct(">d")


class MemoryValues:
    """In memory, and in a table if there is one.

    The keys stand in memory in the order they came (some 100 bytes each), values until flush() has written them.
    """

    def __init__(self, environment: Environment | None = None, table: Table = None) -> None:
        self._env = environment
        self._table = table
        self._values: OrderedDict[bytes, tuple[float, bytes]] = OrderedDict()
        self._unwritten: dict[bytes, None] = {}
        if environment is not None:
            rows = environment.read(lambda txn: [(bytes(k), bytes(v)) for k, v in txn.cursor(db=table)])
            for key, raw in sorted(rows, key=lambda row: row[1][: _RECEIVED.size]):
                if len(raw) > _RECEIVED.size:
                    self._values[key] = (_RECEIVED.unpack_from(raw)[0], b"")

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: bytes, now: float) -> tuple[bytes, float] | None:
        known = self._values.get(key)
        if known is None or now - known[0] > MAX_AGE:
            return None
        if self._env is None or key in self._unwritten:
            return known[1], known[0]
        raw: bytes | None = self._env.read(lambda txn: txn.get(key, db=self._table))
        return None if raw is None else (bytes(raw[_RECEIVED.size :]), known[0])

    def put(self, key: bytes, value: bytes, now: float) -> None:
        self._values[key] = (now, value)
        self._values.move_to_end(key)
        self._unwritten[key] = None
        if len(self._values) > MAX_VALUES:
            self._unwritten[self._values.popitem(last=False)[0]] = None

    def flush(self) -> None:
        """Write what changed, in one transaction; blocks for the disk. Raises DatabaseUnavailable, DatabaseDamaged."""
        unwritten = list(self._unwritten)
        if self._env is None or not unwritten:
            self._unwritten.clear()
            return
        rows = [(key, self._values.get(key)) for key in unwritten]

        def work(txn: Transaction) -> None:
            for key, known in rows:
                if known is None:
                    txn.delete(key, db=self._table)
                else:
                    txn.put(key, _RECEIVED.pack(known[0]) + known[1], db=self._table)

        self._env.write(work)
        for key, known in rows:
            if self._values.get(key) is known:
                self._unwritten.pop(key, None)
                if known is not None:
                    self._values[key] = (known[0], b"")
