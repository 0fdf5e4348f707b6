"""Provider records of others in ``meta/cache``, with expiry and limits.

A record takes 32 bytes of key (20 of the hashed content key, 8 of the hashed peer) and 4 of value, so that a
million stay below 100 MB; the peers themselves stand once in a table of their own. New records wait in memory and are
committed in batches: a node that loses the last seconds of them loses nothing that two more republishes do not heal.

Times are seconds of the wall clock: records outlive the process.

Spec: https://specs.ipfs.tech/routing/kad-dht/#provider-records
"""

import struct
from hashlib import sha256

from cidery import budgets
from cidery.disk.lmdb_environment import Environment, Table, Transaction
from cidery.identity.peer_id import PeerId
from cidery.kad.stores import MAX_ANSWERED, MAX_PER_KEY, VALIDITY

MAX_PER_PEER = budgets.DHT_RECORDS_OF_PEER.amount
MAX_RECORDS = budgets.DHT_RECORDS.amount
MAX_PENDING = budgets.DHT_RECORDS_WAITING.amount
EXPIRE_BATCH = 2000
"""Records looked through per call of expire(): about a millisecond."""

_EXPIRY = struct.Struct(">I")
_COUNT = struct.Struct(">I")
_KEY_BYTES, _PEER_BYTES = 20, 8


class DiskProviders:
    """Provider records in two tables of an LMDB environment.

    add() and get() belong to the event loop's thread; flush() and expire() block for the disk and run in another one,
    one at a time.
    """

    def __init__(self, environment: Environment, records: Table, peers: Table) -> None:
        self._env = environment
        self._records = records
        self._peers = peers
        self._pending: dict[bytes, tuple[PeerId, int]] = {}
        self._writing: dict[bytes, tuple[PeerId, int]] = {}
        self._scan_from = b""
        self.count = int(environment.read(lambda txn: txn.stat(records)["entries"]))
        """Records on the disk."""

    def add(self, key: bytes, peer: PeerId, now: float) -> bool:
        if len(self._pending) >= MAX_PENDING:
            return False
        self._pending[_row(key, peer)] = (peer, int(now) + VALIDITY)
        return True

    @property
    def pending(self) -> int:
        """Records that wait for flush()."""
        return len(self._pending)

    def get(self, key: bytes, now: float) -> list[PeerId]:
        prefix = sha256(key).digest()[:_KEY_BYTES]
        found = self._env.read(lambda txn: self._read(txn, prefix))
        for waiting in (self._writing, self._pending):
            for row, (peer, expires) in waiting.items():
                if row.startswith(prefix):
                    found[peer] = expires
        live = sorted(((expires, peer) for peer, expires in found.items() if expires > now), reverse=True)
        return [peer for _, peer in live[:MAX_ANSWERED]]

    def _read(self, txn: Transaction, prefix: bytes) -> dict[PeerId, int]:
        found: dict[PeerId, int] = {}
        with txn.cursor(db=self._records) as cursor:
            more = cursor.set_range(prefix)
            while more:
                row = bytes(cursor.key())
                if not row.startswith(prefix):
                    break
                known = txn.get(row[_KEY_BYTES:], db=self._peers)
                if known is not None:
                    found[PeerId(bytes(known[_COUNT.size :]))] = _EXPIRY.unpack(cursor.value())[0]
                more = cursor.next()
        return found

    def flush(self) -> None:
        """Write what waits, in one transaction. Raises DatabaseUnavailable, DatabaseDamaged."""
        self._writing, self._pending = self._pending, {}
        if self._writing:
            batch = sorted(self._writing.items())
            self._env.write(lambda txn: self._write(txn, batch))
            self.count = int(self._env.read(lambda txn: txn.stat(self._records)["entries"]))
        self._writing = {}

    def _write(self, txn: Transaction, batch: list[tuple[bytes, tuple[PeerId, int]]]) -> None:
        total = txn.stat(self._records)["entries"]
        for row, (peer, expires) in batch:
            known = txn.get(row[_KEY_BYTES:], db=self._peers)
            count = _COUNT.unpack_from(known)[0] if known is not None else 0
            if txn.get(row, db=self._records) is None:
                if total >= MAX_RECORDS or count >= MAX_PER_PEER or self._crowded(txn, row[:_KEY_BYTES]):
                    continue
                total += 1
                txn.put(row[_KEY_BYTES:], _COUNT.pack(count + 1) + peer.multihash, db=self._peers)
            txn.put(row, _EXPIRY.pack(expires), db=self._records)

    def _crowded(self, txn: Transaction, prefix: bytes) -> bool:
        with txn.cursor(db=self._records) as cursor:
            more, seen = cursor.set_range(prefix), 0
            while more and seen < MAX_PER_KEY and cursor.key().startswith(prefix):
                seen += 1
                more = cursor.next()
        return bool(seen >= MAX_PER_KEY)

    def expire(self, now: float) -> int:
        """Look through the next EXPIRE_BATCH records and drop those that are over; returns how many went."""

        def work(txn: Transaction) -> tuple[int, bytes]:
            dead: list[bytes] = []
            with txn.cursor(db=self._records) as cursor:
                more = cursor.set_range(self._scan_from) if self._scan_from else cursor.first()
                for _ in range(EXPIRE_BATCH):
                    if not more:
                        break
                    if _EXPIRY.unpack(cursor.value())[0] <= now:
                        dead.append(bytes(cursor.key()))
                    more = cursor.next()
                following = bytes(cursor.key()) if more else b""
            for row in dead:
                self._forget(txn, row)
            return len(dead), following

        gone, self._scan_from = self._env.write(work)
        self.count -= gone
        return gone

    def _forget(self, txn: Transaction, row: bytes) -> None:
        txn.delete(row, db=self._records)
        known = txn.get(row[_KEY_BYTES:], db=self._peers)
        if known is None:
            return
        count = _COUNT.unpack_from(known)[0]
        if count <= 1:
            txn.delete(row[_KEY_BYTES:], db=self._peers)
        else:
            txn.put(row[_KEY_BYTES:], _COUNT.pack(count - 1) + known[_COUNT.size :], db=self._peers)


def _row(key: bytes, peer: PeerId) -> bytes:
    return sha256(key).digest()[:_KEY_BYTES] + sha256(peer.multihash).digest()[:_PEER_BYTES]
