"""``meta/cache``: data that is useful after a restart but safe to lose. LMDB, one table per kind.

Known peers, provider and value records that this node holds for others, and what it has announced of its own.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Self

from cidery.disk.lmdb_environment import Environment, Table, Transaction

INITIAL_MAP = 4 * 1024 * 1024
"""First size of the map, in bytes; it grows."""
TABLES = ("peers", "providers", "provider-peers", "values", "provide", "provide-fresh", "notes")
"""Names of the tables; missing ones are added to a cache of an older version."""


class Cache:
    """The open environment, which holds the tables."""

    def __init__(self, environment: Environment) -> None:
        self.environment = environment

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open ``REPO/meta/cache`` for the lock's holder. Raises DatabaseDamaged, DatabaseUnavailable."""
        return cls(
            Environment(
                path,
                [name.encode() for name in TABLES],
                what="cache of peers and records",
                advice="remove meta/cache; what is in it is found again",
                map_size=INITIAL_MAP,
            )
        )

    def table(self, name: str) -> Table:
        """One of TABLES."""
        return self.environment.tables[TABLES.index(name)]

    def note(self, name: str) -> bytes | None:
        """A small value stored under a name: a saved routing table, the position of the sweep."""
        return self.environment.get(TABLES.index("notes"), name.encode())

    def set_note(self, name: str, value: bytes) -> None:
        """Blocks for one disk sync. Raises DatabaseUnavailable."""
        self.environment.write(lambda txn: txn.put(name.encode(), value, db=self.table("notes")))

    def close(self) -> None:
        self.environment.close()


class PeerRows:
    """Rows of the peer store: peer id bytes -> opaque value."""

    def __init__(self, cache: Cache) -> None:
        self._env = cache.environment
        self._table = cache.table("peers")

    def load(self) -> list[tuple[bytes, bytes]]:
        """All rows; at most as many as the peer store keeps."""

        def work(txn: Transaction) -> list[tuple[bytes, bytes]]:
            return [(bytes(key), bytes(value)) for key, value in txn.cursor(db=self._table)]

        return self._env.read(work)

    def save(self, items: Iterable[tuple[bytes, bytes]]) -> None:
        """Set rows in one transaction; blocks for one disk sync."""
        rows = list(items)

        def work(txn: Transaction) -> None:
            for key, value in rows:
                txn.put(key, value, db=self._table)

        if rows:
            self._env.write(work)
