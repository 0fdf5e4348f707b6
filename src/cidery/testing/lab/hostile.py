"""Stores of nodes that lie or give nothing: whatever protocol they are asked by, that is how they answer."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Literal

from cidery.blockstore.memory import MemoryStore
from cidery.ipld.block import Block
from cidery.multiformats.cid import CID

Lie = Literal["claims", "silent", "sly", "wrong"]
"""It says that it has what it has not; it never answers; it sends other bytes, instead of large blocks or of all."""
LIES: tuple[Lie, ...] = ("wrong", "claims", "silent")
SLY_BYTES = 64 * 1024
"""Up to this size a sly liar sends what it is asked for."""


class EmptyStore(MemoryStore):
    """Of a freeloader: what it has, it keeps to itself."""


class LyingStore(MemoryStore):
    """It knows the sizes of a file's blocks, and gives none of them."""

    def __init__(self, lie: Lie, blocks: Sequence[Block]) -> None:
        super().__init__()
        self._lie = lie
        self.put_many_blocking(blocks, kept=True)

    def get_if_ready(self, cid: CID) -> bytes | memoryview | None:
        data = super().get_if_ready(cid)
        if data is not None and self._lie == "sly" and len(data) <= SLY_BYTES:
            return data
        if data is None or self._lie not in ("sly", "wrong"):
            return None
        return bytes([data[0] ^ 1]) + data[1:]

    async def get_many(self, cids: Sequence[CID]) -> list[bytes | memoryview | None]:
        if self._lie == "silent":
            await asyncio.get_running_loop().create_future()
        return await super().get_many(cids)

    async def size_many(self, cids: Sequence[CID]) -> list[int | None]:
        if self._lie == "silent":
            await asyncio.get_running_loop().create_future()
        found = [self._blocks.get(cid.multihash) for cid in cids]
        return [None if data is None else len(data) for data in found]
