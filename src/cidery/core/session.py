"""Block sessions: blocks for one request, from wherever the node has them; and sessions that read only the store."""

from __future__ import annotations

from typing import Protocol, Self

from cidery.errors import IntegrityError, NotFound
from cidery.exchange.stats import SessionStats

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from cidery.blockstore.filestore import Filestore
    from cidery.blockstore.interface import BlockStore
    from cidery.multiformats.cid import CID


class BlockSession(Protocol):
    """Blocks for one request: local ones at once, others from peers when the node is online. Always verified.

    Used by one task at a time. Leaving its context cancels all outstanding requests.
    """

    def get_if_ready(self, cid: CID) -> bytes | memoryview | None:
        """The block if it is available without waiting."""
        ...

    async def get(self, cid: CID) -> bytes | memoryview:
        """The block. Raises NotFound (offline, not stored) or Unavailable (no source gave it in time). Cancel-safe."""
        ...

    def prefetch(self, cids: Sequence[CID]) -> None:
        """These will be requested soon, in this order. A hint: bounded, never fails, cheap to repeat."""
        ...

    def expect(self, root: CID) -> None:
        """Everything below ``root`` will be requested, depth first. A hint, never fails."""
        ...

    async def sync(self) -> None:
        """On return, every block that this session has returned so far is stored durably."""
        ...

    def stats(self) -> SessionStats:
        """Counters so far."""
        ...


class NotStored(NotFound):
    """A block that the store of an offline node does not have."""

    def __init__(self, cid: CID) -> None:
        super().__init__(cid)
        self.cid = cid

    def __str__(self) -> str:
        return f"{self.cid} is not stored here, and peers are not asked for it"


class StoredDamaged(NotStored):
    """A block whose stored copy is damaged."""

    def __init__(self, cid: CID, reason: str) -> None:
        super().__init__(cid)
        self.args = (cid, reason)
        self.reason = reason

    def __str__(self) -> str:
        return (
            f"the stored copy of {self.cid} is damaged ({self.reason}); add the data again, or start the daemon "
            "(cidery daemon) to fetch it from peers"
        )


class StoreSession:
    """A BlockSession over a store alone. Its context does nothing, as it holds no resources."""

    def __init__(self, store: BlockStore) -> None:
        self._store = store
        self._blocks = self._bytes = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None

    def get_if_ready(self, cid: CID) -> bytes | memoryview | None:
        return self._counted(self._store.get_if_ready(cid))

    async def get(self, cid: CID) -> bytes | memoryview:
        """The block. Raises NotStored, StoredDamaged. Cancel-safe."""
        found = await self.find(cid)
        if found is None:
            damage = self._store.damage(cid)
            raise StoredDamaged(cid, damage) if damage else NotStored(cid)
        return found

    async def find(self, cid: CID) -> bytes | memoryview | None:
        """The block; None if it is not stored, or damaged. Cancel-safe."""
        return self._counted((await self._store.get_many((cid,)))[0])

    def _counted(self, found: bytes | memoryview | None) -> bytes | memoryview | None:
        if found is not None:
            self._blocks += 1
            self._bytes += len(found)
        return found

    def prefetch(self, cids: Sequence[CID]) -> None:
        """Nothing to do: the store is read on demand."""

    def expect(self, root: CID) -> None:
        """Nothing to do: nothing is fetched."""

    async def sync(self) -> None:
        """Stored blocks may still be in memory: flush them."""
        await self._store.sync()

    def stats(self) -> SessionStats:
        return SessionStats("local", (self._blocks, self._bytes), {}, 0)


class FileChanged(IntegrityError):
    """A block whose bytes were in a file that has changed since."""

    def __init__(self, cid: CID, path: str, reason: str) -> None:
        super().__init__(cid, path, reason)
        self.cid = cid
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return (
            f"{self.cid} was added without a copy from {self.path!r}: {self.reason}; restore the file, or start the"
            " daemon to fetch the block from peers"
        )


class FilestoreSession(StoreSession):
    """A StoreSession whose errors name the file at fault."""

    def __init__(self, blocks: Filestore) -> None:
        super().__init__(blocks)
        self._files = blocks

    async def get(self, cid: CID) -> bytes | memoryview:
        """The block. Raises NotStored, StoredDamaged, FileChanged. Cancel-safe."""
        try:
            return await super().get(cid)
        except NotStored:
            checked = await self._files.why(cid)
            if checked is None:
                raise
            raise FileChanged(cid, checked.reference.path, checked.reason) from None
