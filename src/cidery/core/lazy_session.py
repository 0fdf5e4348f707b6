"""A session that looks into the store first, and is opened only when a block is missing there.

Most requests to a gateway are for stored content: they cost a look into the index, and no session.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

from cidery.errors import NotFound

if TYPE_CHECKING:
    from cidery.core.session import BlockSession
    from cidery.exchange.stats import SessionStats
    from cidery.multiformats.cid import CID


class Ready(Protocol):
    """Blocks that need no waiting."""

    def get_if_ready(self, cid: CID) -> bytes | memoryview | None: ...


class NotAtHand(NotFound):
    """A block that has to be waited for."""


class AtHand:
    """A BlockSession of what the store gives without waiting. It holds nothing, and may be shared."""

    def __init__(self, blocks: Ready) -> None:
        self._blocks = blocks

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None

    def get_if_ready(self, cid: CID) -> bytes | memoryview | None:
        return self._blocks.get_if_ready(cid)

    async def get(self, cid: CID) -> bytes | memoryview:
        """The block. Raises NotAtHand."""
        found = self._blocks.get_if_ready(cid)
        if found is None:
            raise NotAtHand(cid)
        return found

    def prefetch(self, cids: Sequence[CID]) -> None:
        """Nothing is fetched."""

    def expect(self, root: CID) -> None:
        """Nothing is fetched."""

    async def sync(self) -> None:
        """Nothing is stored."""

    def stats(self) -> SessionStats:
        from cidery.exchange.stats import SessionStats

        return SessionStats("local", (0, 0), {}, 0)


class LazySession:
    """A BlockSession over ``blocks`` that opens the one of ``opening`` at the first block that is not at hand."""

    def __init__(self, blocks: Ready, opening: Callable[[], AbstractAsyncContextManager[BlockSession]]) -> None:
        self._blocks = blocks
        self._opening = opening
        self._context: AbstractAsyncContextManager[BlockSession] | None = None
        self._session: BlockSession | None = None
        self._ahead: Sequence[CID] = ()
        """The last hint, for a session that is opened later."""
        self._root: CID | None = None
        self._ready = (0, 0)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        context, self._context, self._session = self._context, None, None
        if context is not None:
            await context.__aexit__(kind, error, trace)

    async def close(self) -> None:
        """End the session: what it still wanted is cancelled. Idempotent."""
        await self.__aexit__(None, None, None)

    def get_if_ready(self, cid: CID) -> bytes | memoryview | None:
        if self._session is not None:
            return self._session.get_if_ready(cid)
        found = self._blocks.get_if_ready(cid)
        if found is not None:
            self._ready = (self._ready[0] + 1, self._ready[1] + len(found))
        return found

    async def get(self, cid: CID) -> bytes | memoryview:
        """As BlockSession.get()."""
        return await (self._session or await self._open()).get(cid)

    async def _open(self) -> BlockSession:
        context = self._opening()
        session = await context.__aenter__()
        self._context, self._session = context, session
        if self._root is not None:
            session.expect(self._root)
        if self._ahead:
            session.prefetch(self._ahead)
        return session

    def prefetch(self, cids: Sequence[CID]) -> None:
        if self._session is not None:
            self._session.prefetch(cids)
        elif cids:
            self._ahead = cids

    def expect(self, root: CID) -> None:
        self._root = root
        if self._session is not None:
            self._session.expect(root)

    async def sync(self) -> None:
        await (self._session or await self._open()).sync()

    def stats(self) -> SessionStats:
        if self._session is not None:
            return self._session.stats()
        from cidery.exchange.stats import SessionStats

        return SessionStats("local", self._ready, {}, 0)
