"""How much of a DAG is stored: a walk that continues past missing blocks, reads no leaves and fetches nothing."""

import asyncio
from collections.abc import AsyncGenerator, Callable

from cidery.blockstore.interface import BlockStore
from cidery.core.diagnosis.facts import Stored
from cidery.errors import CideryError
from cidery.ipld.block import MAX_BLOCK
from cidery.ipld.links import scan_links
from cidery.ipld.walk import STACK_PART
from cidery.multiformats.cid import CID
from cidery.multiformats.multicodec import RAW

SHOWN = 5
"""Missing blocks that are listed by name."""
READ_BATCH = 16
"""Nodes read at a time: at most 32 MiB."""
LEAF_BATCH = 512
"""Leaves looked up at a time."""
MAX_PENDING = 1 << 20
"""Links waiting to be followed: some 100 MB. A DAG with more is not reported as complete."""


async def wholeness(
    root: CID, store: BlockStore, *, clock: Callable[[], float], every: float = 0.5
) -> AsyncGenerator[Stored, None]:
    """Progress every ``every`` seconds and when the first block is found missing; the last one has ``complete``.

    O(blocks) time, O(distinct CIDs) memory; raises as the store. Cancellation: safe.
    """
    walk = _Walk(store)
    walk.meet([root])
    told, told_missing = clock(), False
    while walk.nodes or walk.leaves:
        await walk.step()
        if clock() - told >= every or (walk.missing and not told_missing):
            told, told_missing = clock(), bool(walk.missing)
            yield walk.report(root, complete=False)
    yield walk.report(root, complete=not walk.overflown)


class _Walk:
    def __init__(self, store: BlockStore) -> None:
        self._store = store
        self._seen: set[CID] = set()
        self.nodes: list[CID] = []
        self.leaves: list[CID] = []
        self.missing: list[CID] = []
        self.missing_count = self.blocks = self.bytes = 0
        self.damage = ""
        self.overflown = False

    def meet(self, cids: list[CID]) -> None:
        for cid in cids:
            if cid in self._seen or (cid.is_identity and cid.codec == RAW):
                continue
            if len(self.nodes) + len(self.leaves) >= MAX_PENDING:
                self.overflown = True
                return
            self._seen.add(cid)
            (self.leaves if cid.codec == RAW else self.nodes).append(cid)

    async def step(self) -> None:
        """Some leaves if there are many, or nothing else is left; otherwise some nodes."""
        if len(self.leaves) >= LEAF_BATCH or not self.nodes:
            batch, self.leaves = self.leaves[-LEAF_BATCH:], self.leaves[:-LEAF_BATCH]
            for cid, size in zip(batch, await self._store.size_many(batch), strict=True):
                self._count(cid, size)
            return
        batch = [self.nodes.pop() for _ in range(min(READ_BATCH, len(self.nodes)))]
        stored = [cid for cid in batch if not cid.is_identity]
        blocks = dict(zip(stored, await self._store.get_many(stored), strict=True))
        for cid in batch:
            data = cid.identity_data if cid.is_identity else blocks[cid]
            if not cid.is_identity:
                self._count(cid, None if data is None else len(data))
            if data is not None and len(data) <= MAX_BLOCK:
                await self._follow(cid, data)

    async def _follow(self, cid: CID, data: bytes | memoryview) -> None:
        scan = scan_links(cid, data)
        try:
            while True:
                next(scan)
                await asyncio.sleep(0)
        except StopIteration as stop:
            links = stop.value
            for end in range(len(links), 0, -STACK_PART):
                self.meet([target for target, _ in reversed(links[max(0, end - STACK_PART) : end])])
                await asyncio.sleep(0)
        except CideryError as exc:
            self.damage = self.damage or str(exc)

    def _count(self, cid: CID, size: int | None) -> None:
        if size is not None:
            self.blocks += 1
            self.bytes += size
            return
        self.missing_count += 1
        if len(self.missing) < SHOWN:
            self.missing.append(cid)

    def report(self, root: CID, *, complete: bool) -> Stored:
        return Stored(
            root=root not in self.missing and (self.blocks > 0 or root.is_identity),
            blocks=self.blocks,
            bytes=self.bytes,
            missing=tuple(self.missing),
            missing_count=self.missing_count,
            complete=complete,
            damage=self.damage,
        )
