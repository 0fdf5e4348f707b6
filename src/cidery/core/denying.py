"""What is denied is neither read, fetched nor served: a session and a store that leave it out.

With no list in force they pass everything on, after one test.
"""

from __future__ import annotations

from typing import Self

from cidery.denylist.denylists import Denylists
from cidery.multiformats.cid import CID
from cidery.multiformats.multicodec import RAW

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from contextlib import AbstractAsyncContextManager
    from types import TracebackType

    from cidery.blockstore.interface import BlockStore, Durability, StoredHook
    from cidery.core.session import BlockSession
    from cidery.exchange.stats import SessionStats
    from cidery.ipld.block import Block


class DenyingSession:
    """A BlockSession without the denied blocks of another: they are neither requested nor returned."""

    def __init__(self, opened: AbstractAsyncContextManager[BlockSession], denylists: Denylists) -> None:
        self._opened = opened
        self._denylists = denylists
        self._session: BlockSession

    async def __aenter__(self) -> Self:
        self._session = await self._opened.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        return await self._opened.__aexit__(kind, error, trace)

    def get_if_ready(self, cid: CID) -> bytes | memoryview | None:
        """None for a denied block too: get() says why."""
        found = self._session.get_if_ready(cid)
        return None if found is None or self._denylists.block(cid) is not None else found

    async def get(self, cid: CID) -> bytes | memoryview:
        """The block. Raises Denied, and as the session. Cancel-safe."""
        self._denylists.refuse_block(cid)
        return await self._session.get(cid)

    def prefetch(self, cids: Sequence[CID]) -> None:
        self._session.prefetch([cid for cid in cids if self._denylists.block(cid) is None])

    def expect(self, root: CID) -> None:
        if self._denylists.block(root) is None:
            self._session.expect(root)

    async def sync(self) -> None:
        await self._session.sync()

    def stats(self) -> SessionStats:
        return self._session.stats()


class DenyingStore:
    """A BlockStore as others see it: denied blocks count as absent. What is put and deleted is not judged."""

    def __init__(self, inner: BlockStore, denylists: Denylists) -> None:
        self.inner = inner
        self.denylists = denylists
        self.on_stored: list[StoredHook] = []
        """As BlockStore; not called with denied blocks."""
        inner.on_stored.append(self._stored)

    def _stored(self, blocks: Sequence[tuple[bytes, int]]) -> None:
        if self.denylists.lists and self.on_stored:
            blocks = [one for one in blocks if not self.denies(one[0])]
        if blocks:
            for hook in self.on_stored:
                hook(blocks)

    def denies(self, multihash: bytes) -> bool:
        """Whether a block is denied by its multihash."""
        return self.denylists.block(CID(1, RAW, multihash)) is not None

    def get_if_ready(self, cid: CID) -> bytes | memoryview | None:
        if self.denylists.lists and self.denylists.block(cid) is not None:
            return None
        return self.inner.get_if_ready(cid)

    async def get_many(self, cids: Sequence[CID]) -> list[bytes | memoryview | None]:
        found = await self.inner.get_many(cids)
        if self.denylists.lists:
            return [None if self.denylists.block(cid) else one for cid, one in zip(cids, found, strict=True)]
        return found

    def damage(self, cid: CID) -> str:
        return self.inner.damage(cid)

    async def size_many(self, cids: Sequence[CID]) -> list[int | None]:
        found = await self.inner.size_many(cids)
        if self.denylists.lists:
            return [None if self.denylists.block(cid) else one for cid, one in zip(cids, found, strict=True)]
        return found

    async def put_many(self, blocks: Sequence[Block], *, kept: bool, durability: Durability) -> None:
        await self.inner.put_many(blocks, kept=kept, durability=durability)

    def put_many_blocking(self, blocks: Sequence[Block], *, kept: bool) -> None:
        self.inner.put_many_blocking(blocks, kept=kept)

    async def delete_many(self, cids: Sequence[CID]) -> list[bool]:
        return await self.inner.delete_many(cids)

    async def keys(self, after: bytes = b"") -> AsyncIterator[list[bytes]]:
        async for page in self.inner.keys(after):
            yield [key for key in page if not self.denies(key)] if self.denylists.lists else page

    async def sync(self) -> None:
        await self.inner.sync()

    async def close(self) -> None:
        await self.inner.close()


def denied_keys(denylists: Denylists | None) -> Callable[[bytes], bool]:
    """Whether a multihash, or what others say is one, is denied."""
    if denylists is None:
        return lambda _: False
    return lambda key: bool(denylists.lists) and denylists.block(CID(1, RAW, key)) is not None


def judged(store: BlockStore) -> tuple[BlockStore, Denylists | None]:
    """The store below a DenyingStore, and its lists; another store as it is."""
    return (store.inner, store.denylists) if isinstance(store, DenyingStore) else (store, None)
