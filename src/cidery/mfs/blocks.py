"""The block layers as mutable files need them.

New blocks are staged: readable at once, stored in groups, durable at the next flush.
"""

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import aclosing
from typing import Protocol, TypeVar

from cidery.blockstore.drive import BlockReader, drive
from cidery.blockstore.interface import BlockStore
from cidery.exchange.stats import SessionStats
from cidery.ipld.block import Block
from cidery.multiformats.cid import CID
from cidery.multiformats.varint import Buffer
from cidery.unixfs.reader import read_file
from cidery.waiting import lock, off_loop

STAGED_BLOCKS = 1024
"""Blocks held back before they are stored together: one hop to a thread and one index commit for many small files."""
STAGED_BYTES = 4 << 20
"""Bytes held back."""

R = TypeVar("R")


class Blocks(BlockReader, Protocol):
    """The source of blocks: a core.session.BlockSession; see there for the methods."""

    async def sync(self) -> None: ...

    def stats(self) -> SessionStats: ...


async def read_bytes(root: CID, blocks: Blocks, offset: int, length: int) -> AsyncIterator[Buffer]:
    """The bytes ``[offset, offset+length)`` of a file. Raises and cancels as drive()."""
    async with aclosing(drive(read_file(root, offset, length), blocks)) as steps:
        async for data in steps:
            yield data.chunk


class Staging:
    """New blocks on their way into the store."""

    def __init__(self, store: BlockStore) -> None:
        self._store = store
        self._held: dict[bytes, Block] = {}
        self._bytes = 0
        self._leaving: dict[bytes, Block] = {}
        self._turn = lock()

    def add(self, blocks: Iterable[Block]) -> None:
        """Add new blocks; over() reads them from now on. Call settle() or relieve() some time after."""
        for block in blocks:
            if block.cid.is_identity or block.cid.multihash in self._held:
                continue
            self._held[block.cid.multihash] = block
            self._bytes += len(block.data)

    def find(self, cid: CID) -> Buffer | None:
        """A block that is not in the store yet."""
        block = self._held.get(cid.multihash) or self._leaving.get(cid.multihash)
        return None if block is None else block.data

    @property
    def full(self) -> bool:
        return self._bytes >= STAGED_BYTES or len(self._held) >= STAGED_BLOCKS

    async def relieve(self) -> None:
        """Store the held blocks if they have become many. Raises as the store; the blocks are then still held."""
        if self.full:
            await self.settle()

    async def settle(self) -> None:
        """Store all held blocks; visible on return, not yet durable. Raises as relieve()."""
        async with self._turn:
            if not self._held:
                return
            self._leaving, self._held, self._bytes = self._held, {}, 0
            blocks = list(self._leaving.values())
            try:
                await off_loop(self._store.put_many_blocking, blocks, kept=True)
            except BaseException:
                self.add(blocks)
                raise
            finally:
                self._leaving = {}

    def over(self, blocks: Blocks) -> "StagedBlocks":
        """``blocks`` with the new ones before them."""
        return StagedBlocks(self, blocks)


class StagedBlocks:
    """Blocks with the staged ones before them."""

    def __init__(self, staging: Staging, blocks: Blocks) -> None:
        self._staging = staging
        self._blocks = blocks

    def get_if_ready(self, cid: CID) -> bytes | memoryview | None:
        found = self._staging.find(cid)
        if found is not None:
            return bytes(found) if isinstance(found, bytearray) else found
        return self._blocks.get_if_ready(cid)

    async def get(self, cid: CID) -> bytes | memoryview:
        found = self.get_if_ready(cid)
        return await self._blocks.get(cid) if found is None else found

    def expect(self, root: CID) -> None:
        """Trees of mutable files are read in parts."""

    def prefetch(self, cids: Sequence[CID]) -> None:
        self._blocks.prefetch(cids)

    async def sync(self) -> None:
        await self._blocks.sync()

    def stats(self) -> SessionStats:
        return self._blocks.stats()
