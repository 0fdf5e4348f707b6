"""The offline session: the blocks of one store, and a clear answer for what it lacks."""

from collections.abc import Sequence
from types import TracebackType
from typing import Self

from cidery.blockstore.interface import BlockStore
from cidery.errors import NotFound
from cidery.exchange.stats import SessionStats
from cidery.multiformats.cid import CID


class NotStored(NotFound):
    """A block that is not in the store of an offline node."""

    def __init__(self, cid: CID) -> None:
        super().__init__(cid)
        self.cid = cid

    def __str__(self) -> str:
        return f"{self.cid} is not stored here, and peers are not asked for it"


class StoreSession:
    """A BlockSession over a store alone. Its context does nothing: it holds nothing."""

    def __init__(self, store: BlockStore) -> None:
        self._store = store
        self._blocks = self._bytes = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def get_if_ready(self, cid: CID) -> bytes | memoryview | None:
        return self._counted(self._store.get_if_ready(cid))

    async def get(self, cid: CID) -> bytes | memoryview:
        """The block. Raises NotStored. Cancel-safe."""
        found = (await self._store.get_many((cid,)))[0]
        if found is None:
            raise NotStored(cid)
        self._counted(found)
        return found

    def _counted(self, found: bytes | memoryview | None) -> bytes | memoryview | None:
        if found is not None:
            self._blocks += 1
            self._bytes += len(found)
        return found

    def prefetch(self, cids: Sequence[CID]) -> None:
        """The store is read when asked: nothing to do."""

    def expect(self, root: CID) -> None:
        """Nothing is fetched."""

    async def sync(self) -> None:
        """Stored blocks may still wait for the disk: see to it."""
        await self._store.sync()

    def stats(self) -> SessionStats:
        return SessionStats("local", (self._blocks, self._bytes), {}, 0)
