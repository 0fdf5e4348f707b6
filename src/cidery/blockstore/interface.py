"""The interface of every block store: memory, segments on disk, later caching and remote ones.

Bytes are keyed by **multihash**; the codec of the requested CID is not part of the key. Identity CIDs are never
stored: get answers from the CID, put ignores them.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from enum import Enum
from typing import Protocol

from cidery.errors import LimitExceeded
from cidery.ipld.block import MAX_BLOCK, Block
from cidery.multiformats.cid import CID

KEYS_PAGE = 1024
"""Most multihashes in one page of keys(): about 40 KiB, well under a millisecond of work."""


class BlockTooLarge(LimitExceeded):
    """A block over MAX_BLOCK bytes: other peers would refuse it."""

    def __init__(self, cid: CID, size: int) -> None:
        super().__init__(cid, size)
        self.cid = cid
        self.size = size

    def __str__(self) -> str:
        return f"block {self.cid} has {self.size} bytes, at most {MAX_BLOCK} can be stored; use smaller chunks"


def check_block_size(block: Block) -> None:
    """Raises BlockTooLarge."""
    if len(block.data) > MAX_BLOCK:
        raise BlockTooLarge(block.cid, len(block.data))


class Durability(Enum):
    """What a put waits for."""

    VISIBLE = "visible"
    """Readers in this process and others see the block; a power cut may lose it."""
    DURABLE = "durable"
    """On disk: a power cut cannot lose it."""


StoredHook = Callable[[Sequence[tuple[bytes, int]]], None]
"""Receives multihashes and bytes of newly stored blocks, in the thread that stores them: return quickly."""


class BlockStore(Protocol):
    """Async, in batches. Batches are processed in order; results keep the order of the arguments."""

    @property
    def on_stored(self) -> list[StoredHook]:
        """Called with new blocks as soon as they can be read, however they were put.

        A cached block that becomes kept may be among them.
        """
        ...

    def get_if_ready(self, cid: CID) -> bytes | memoryview | None:
        """The block if it is available without waiting for a disk, else None (absent or cold). Never blocks the loop.

        A view covers this block alone, and nothing writes to it any more.
        """
        ...

    async def get_many(self, cids: Sequence[CID]) -> list[bytes | memoryview | None]:
        """Bytes per CID, None where absent. Never returns bytes of another block, even when an index is stale."""
        ...

    def damage(self, cid: CID) -> str:
        """The fault of a stored copy, because of which the block counts as absent; "" if none is known."""
        ...

    async def size_many(self, cids: Sequence[CID]) -> list[int | None]:
        """Length in bytes per CID, None where absent. Does not read the blocks."""
        ...

    async def put_many(self, blocks: Sequence[Block], *, kept: bool, durability: Durability) -> None:
        """Store blocks whose hashes were checked by the caller. ``kept``: put by the user or pinned, never evicted."""
        ...

    def put_many_blocking(self, blocks: Sequence[Block], *, kept: bool) -> None:
        """put_many() to VISIBLE for worker threads: thread-safe, releases the GIL in the writes, may group commits."""
        ...

    async def delete_many(self, cids: Sequence[CID]) -> list[bool]:
        """Remove blocks; True for each that was there."""
        ...

    def keys(self, after: bytes = b"") -> AsyncIterator[list[bytes]]:
        """Encoded multihashes of all blocks in the order of their bytes, those behind ``after`` alone, in pages.

        Blocks put or deleted concurrently may or may not appear.
        """
        ...

    async def sync(self) -> None:
        """Make every block that was visible at the call durable."""
        ...

    async def close(self) -> None:
        """Make everything durable and close files. Idempotent."""
        ...
