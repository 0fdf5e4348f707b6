"""Runs walks over a block session, without ever holding the event loop for long.

Also the offline session: the blocks of one store, and a clear answer for what it lacks.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

from cidery.blockstore.interface import BlockStore
from cidery.core.sources import BlockSession
from cidery.errors import NotFound
from cidery.exchange.stats import SessionStats
from cidery.ipld.walk import Need, Prefetch, Walk
from cidery.multiformats.cid import CID

SLICE = 0.005
"""Longest run of a walk between two turns of the event loop, in seconds, when no block has to be waited for."""

T = TypeVar("T")
R = TypeVar("R")


class NotStored(NotFound):
    """A block that is not in the store of an offline node."""

    def __init__(self, cid: CID) -> None:
        super().__init__(cid)
        self.cid = cid

    def __str__(self) -> str:
        return f"{self.cid} is not stored here; start the daemon (cidery daemon) to fetch it from peers"


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


async def drive(walk: Walk[T, Any], session: BlockSession, *, partial: bool = False) -> AsyncIterator[T]:
    """Yield the results of ``walk``, with its needs met by ``session``.

    Args:
        partial: a need that the session cannot meet (NotFound) is answered with None, and nothing is fetched ahead.
    Raises what the walk and the session raise. Cancellation: safe; the walk is closed. The loop gets a turn at
    least every SLICE seconds plus one step of the walk.
    """
    clock = asyncio.get_running_loop().time
    turn = clock() + SLICE
    answer: bytes | memoryview | None = None
    try:
        while True:
            try:
                step = walk.send(answer)
            except StopIteration:
                return
            answer = None
            if isinstance(step, Need):
                answer = session.get_if_ready(step.cid)
                if answer is None:
                    try:
                        answer = await session.get(step.cid)
                    except NotFound:
                        if not partial:
                            raise
                    turn = clock() + SLICE
            elif isinstance(step, Prefetch):
                if not partial:
                    session.prefetch(step.cids)
            else:
                yield step
            if clock() >= turn:
                await asyncio.sleep(0)
                turn = clock() + SLICE
    finally:
        walk.close()


async def run(walk: Walk[T, R], session: BlockSession, yielded: list[T] | None = None) -> R:
    """Run a walk for its return value; what it yields on the way is put into ``yielded``, or dropped.

    Raises and cancels as drive().
    """
    clock = asyncio.get_running_loop().time
    turn = clock() + SLICE
    answer: bytes | memoryview | None = None
    try:
        while True:
            try:
                step = walk.send(answer)
            except StopIteration as stop:
                result: R = stop.value
                return result
            answer = None
            if isinstance(step, Need):
                answer = session.get_if_ready(step.cid)
                if answer is None:
                    answer = await session.get(step.cid)
                    turn = clock() + SLICE
            elif isinstance(step, Prefetch):
                session.prefetch(step.cids)
            elif yielded is not None:
                yielded.append(step)
            if clock() >= turn:
                await asyncio.sleep(0)
                turn = clock() + SLICE
    finally:
        walk.close()
