"""``meta/cache``: what is pleasant to have after a restart and safe to lose (known peers). LMDB, one table each."""

from collections.abc import Iterable
from pathlib import Path

from cidery.blockstore.lmdb_environment import Environment, Transaction

INITIAL_MAP = 4 * 1024 * 1024
"""First size of the map, in bytes; it grows."""
PEERS = 0


class PeerRows:
    """Rows of the peer store: peer id bytes -> opaque value."""

    def __init__(self, environment: Environment) -> None:
        self._env = environment

    @classmethod
    def open(cls, path: Path) -> "PeerRows":
        """Open ``REPO/meta/cache`` for the lock's holder. Raises DatabaseDamaged, DatabaseUnavailable."""
        return cls(
            Environment(
                path,
                [b"peers"],
                what="peer cache",
                advice="remove meta/cache; known peers are found again",
                map_size=INITIAL_MAP,
            )
        )

    def load(self) -> list[tuple[bytes, bytes]]:
        """All rows; at most as many as the peer store keeps."""

        def work(txn: Transaction) -> list[tuple[bytes, bytes]]:
            return [(bytes(key), bytes(value)) for key, value in txn.cursor(db=self._env.tables[PEERS])]

        return self._env.read(work)

    def save(self, items: Iterable[tuple[bytes, bytes]]) -> None:
        """Set rows in one transaction; blocks for one disk sync."""
        rows = list(items)

        def work(txn: Transaction) -> None:
            for key, value in rows:
                txn.put(key, value, db=self._env.tables[PEERS])

        if rows:
            self._env.write(work)

    def close(self) -> None:
        self._env.close()
