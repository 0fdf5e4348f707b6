"""The reference block store: a dict. Nothing survives the process, so visible and durable are the same state."""

from collections.abc import AsyncIterator, Sequence

from cidery.blockstore.interface import KEYS_PAGE, Durability, StoredHook, check_block_size
from cidery.ipld.block import Block
from cidery.multiformats.cid import CID


class MemoryStore:
    """A BlockStore in memory. put_many_blocking() may be called from threads: each dict operation is atomic."""

    def __init__(self) -> None:
        self._blocks: dict[bytes, bytes] = {}
        self._kept: set[bytes] = set()
        self.on_stored: list[StoredHook] = []

    def get_if_ready(self, cid: CID) -> bytes | memoryview | None:
        return cid.identity_data if cid.is_identity else self._blocks.get(cid.multihash)

    async def get_many(self, cids: Sequence[CID]) -> list[bytes | memoryview | None]:
        return [self.get_if_ready(cid) for cid in cids]

    def damage(self, cid: CID) -> str:
        """Nothing to report: memory is not checked."""
        return ""

    async def size_many(self, cids: Sequence[CID]) -> list[int | None]:
        found = [self.get_if_ready(cid) for cid in cids]
        return [None if data is None else len(data) for data in found]

    async def put_many(self, blocks: Sequence[Block], *, kept: bool, durability: Durability) -> None:
        self.put_many_blocking(blocks, kept=kept)

    def put_many_blocking(self, blocks: Sequence[Block], *, kept: bool) -> None:
        for block in blocks:
            check_block_size(block)
        fresh: list[tuple[bytes, int]] = []
        for cid, data in blocks:
            if not cid.is_identity:
                if cid.multihash not in self._blocks:
                    self._blocks[cid.multihash] = bytes(data)
                    fresh.append((cid.multihash, len(data)))
                if kept:
                    self._kept.add(cid.multihash)
        for hook in self.on_stored if fresh else ():
            hook(fresh)

    async def delete_many(self, cids: Sequence[CID]) -> list[bool]:
        for cid in cids:
            self._kept.discard(cid.multihash)
        return [self._blocks.pop(cid.multihash, None) is not None for cid in cids]

    async def keys(self, after: bytes = b"") -> AsyncIterator[list[bytes]]:
        every = sorted(key for key in self._blocks if key > after)
        for start in range(0, len(every), KEYS_PAGE):
            yield every[start : start + KEYS_PAGE]

    def is_kept(self, cid: CID) -> bool:
        """Whether the block is here and was put as kept at least once."""
        return cid.multihash in self._kept

    async def sync(self) -> None:
        """Nothing to do: memory has no disk to lag behind."""

    async def close(self) -> None:
        """The blocks stay readable: there are no files to close."""
