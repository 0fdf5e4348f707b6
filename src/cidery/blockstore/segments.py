"""The block store on disk: append-only CAR segments and an LMDB index, one writing process, any number of readers.

::

    ROOT/blocks/NNNNNN.car   segments          ROOT/blocks/deleted.log   what a rebuild must not bring back
    ROOT/meta/index/         LMDB, rebuildable  ROOT/blocks/writer.lock   held by the one writer

Reads look up ``pending`` (written here, not yet committed) and the index, then read the record and check its head.
A cached block that is put as kept is written again into a kept segment; the cached record becomes garbage.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from functools import cached_property, partial
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from cidery.blockstore.index import INITIAL_MAP, Index
from cidery.blockstore.interface import KEYS_PAGE, Durability, StoredHook, check_block_size
from cidery.blockstore.open_segments import OpenSegments
from cidery.blockstore.places import BLOCKS_DIR, INDEX_DIR, LOG_NAME
from cidery.blockstore.read_check import BAD_HASH, HASH_IN_LOOP, ReadCheck, damage_of
from cidery.blockstore.recency import Recency
from cidery.blockstore.segment_file import SEGMENT_BYTES, CorruptSegment, Location, parse_segment_name
from cidery.blockstore.write_errors import StoreClosed, StoreReadOnly
from cidery.disk.platform_io import OS_FILES, FileLayer
from cidery.waiting import loop_runs, off_loop, result_of, turn

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
    from concurrent.futures import ThreadPoolExecutor
    from contextlib import AbstractContextManager
    from pathlib import Path

    from cidery.blockstore.collector import Elsewhere, StoreCollector
    from cidery.blockstore.recovery import Recovered
    from cidery.blockstore.verify import Fault, VerifyProgress
    from cidery.blockstore.writer import SegmentWriter
    from cidery.disk.file_part import FilePart
    from cidery.ipld.block import Block
    from cidery.multiformats.cid import CID

T = TypeVar("T")

IO_THREADS = 4
"""Threads for cold reads and appends: enough to keep a disk's queue filled, few enough for two cores."""
READ_SLICE = 4 * 1024 * 1024
"""Bytes read in one step on the event loop: warm, they take about 1 ms."""
READ_TRIES = 3
"""Places where a block is looked for: a collector may move it while it is read."""
READ_OVERHEAD = 16 * 1024
"""Fixed cost of one read, expressed in bytes."""


class StoreStat(NamedTuple):
    """Totals of a store."""

    blocks: int
    """Number of blocks."""
    bytes: int
    """Data of all blocks, in bytes."""
    kept_blocks: int
    kept_bytes: int
    disk_bytes: int
    """Size of all segments, including garbage."""


class SegmentStore:
    """A BlockStore in segments. Created by open(); its methods belong to one event loop, except put_many_blocking()."""

    def __init__(
        self,
        segments: OpenSegments,
        index: Index,
        writer: SegmentWriter | None,
        lock: int,
        recovered: Recovered | None,
        check: ReadCheck,
    ) -> None:
        self._segments = segments
        self._index = index
        self._writer = writer
        self._lock = lock
        self._closed = False
        self._pending: dict[bytes, Location] = {} if writer is None else writer.pending
        self._recency = Recency()
        self._check = check
        self.elsewhere: Elsewhere | None = None
        """Blocks that are in files of the user instead: a collector does not miss them."""
        self.recovered = recovered
        """The findings and repairs of opening; None for a reader."""
        self.on_stored: list[StoredHook] = [] if writer is None else writer.on_stored

    @classmethod
    def open(
        cls,
        root: Path,
        *,
        read_only: bool = False,
        files: FileLayer = OS_FILES,
        segment_bytes: int = SEGMENT_BYTES,
        map_size: int = INITIAL_MAP,
        hash_on_read: bool = False,
    ) -> SegmentStore:
        """Open the store under ``root``, creating it if necessary; recovers first. Blocks: call it in a thread.

        Args:
            read_only: for processes other than the writer; never writes, sees what the writer has committed.
            segment_bytes: size at which a segment is full; only tests make it small.
            map_size: first size of the index map in bytes; it grows.
            hash_on_read: hash a block on each read, not only on the first.
        Raises:
            FileLocked: another process writes. NetworkFilesystem. DatabaseMissing (read-only, nothing there),
            DatabaseDamaged, DatabaseUnavailable, StoreReadOnly, DiskFull.
        """
        directory = root / BLOCKS_DIR
        if read_only:
            index = Index(root / INDEX_DIR, files, read_only=True, map_size=map_size)
            segments = OpenSegments(directory, files, writable=False)
            return cls(segments, index, None, -1, None, ReadCheck(always=hash_on_read))
        from cidery.blockstore.opening import open_writer
        from cidery.blockstore.recovery import recover

        return cls(*open_writer(root, files, segment_bytes, map_size, recover, hash_on_read=hash_on_read))

    # -- reading ---------------------------------------------------------------------------------------------------

    def _locate(self, multihashes: Sequence[bytes]) -> list[Location | None]:
        pending = self._pending
        # Pending first: blocks that leave it in between are in the index by then.
        early = [pending.get(key) for key in multihashes] if pending else None
        places = self._index.get_many(multihashes)
        if early is not None:
            places = [a or b for a, b in zip(early, places, strict=True)]
        if self._check.damaged:
            places = [self._check.usable(key, at) for key, at in zip(multihashes, places, strict=True)]
        return places

    def get_if_ready(self, cid: CID) -> bytes | memoryview | None:
        """See BlockStore. About 10 us and a copy of the data; never waits for a disk.

        None also for a large block that must be hashed, which get_many() does in a thread.
        """
        if cid.is_identity:
            return cid.identity_data
        self._check_open()
        key = cid.multihash
        at = self._pending.get(key) or self._index.get(key)
        if at is None:
            return None
        due = self._check.due(at)
        if due and (at.length > HASH_IN_LOOP or self._check.usable(key, at) is None):
            return None
        if not at.kept:
            self._recency.note(at)
        data = self._segments.read_ready(at, key)
        return None if data is not None and due and not self._check.passes(key, at, data) else data

    async def get_many(self, cids: Sequence[CID]) -> list[bytes | memoryview | None]:
        """See BlockStore. Warm blocks are read in the loop, a few at a time; cold ones in one hop to a thread.

        A damaged block counts as absent; it is logged, and damage() says why. Cancellation: safe.
        """
        self._check_open()
        keys = [b"" if cid.is_identity else cid.multihash for cid in cids]
        found: list[bytes | memoryview | None] = [cid.identity_data if cid.is_identity else None for cid in cids]
        wanted = [i for i, key in enumerate(keys) if key]
        places = dict(zip(wanted, self._locate([keys[i] for i in wanted]), strict=True))
        cold: list[tuple[int, Location, bytes | memoryview | None]] = []
        spent = 0
        for i, at in places.items():
            if at is None:
                continue
            if not at.kept:
                self._recency.note(at)
            data = self._segments.read_ready(at, keys[i])
            if data is None or (
                self._check.due(at) and (at.length > HASH_IN_LOOP or not self._check.passes(keys[i], at, data))
            ):
                cold.append((i, at, data))
            else:
                found[i] = data
            spent += at.length + READ_OVERHEAD
            if spent > READ_SLICE:
                spent = 0
                await turn()
        if cold:
            read = await self._in_thread(lambda: [self._read(at, keys[i], data) for i, at, data in cold])
            for (i, _, _), data in zip(cold, read, strict=True):
                found[i] = data
        return found

    def _read(self, at: Location, multihash: bytes, data: bytes | memoryview | None) -> bytes | memoryview | None:
        """Read and check in a thread; if the record is not there, look it up again, as the index may have been stale.

        ``data``: bytes read already. None: the block is gone, or damaged, which is then noted.
        """
        place: Location | None = at
        for _ in range(READ_TRIES):
            if place is None:
                break
            at = place
            try:
                data = self._segments.read(at, multihash) if data is None else data
            except (CorruptSegment, OSError) as exc:
                reason = damage_of(exc)
            else:
                if not self._check.due(at) or self._check.passes(multihash, at, data):
                    return data
                reason = BAD_HASH
            data, place = None, self._locate([multihash])[0]
            if place == at:
                self._check.note(multihash, at, reason)
                break
        return None

    def damage(self, cid: CID) -> str:
        """See BlockStore."""
        places = (
            [self._pending.get(cid.multihash)]
            if cid.multihash in self._pending
            else self._index.get_many([cid.multihash])
        )
        return self._check.reason(cid.multihash, places[0])

    def hold(self, cid: CID) -> Location | None:
        """Where a block lies whose bytes need no check any more; None if there is none.

        Until release(), the record stays readable in that file, even when the block is removed or moved. About 10 us.
        """
        key = cid.multihash
        at = self._place(key)
        if at is None or self._check.due(at):
            return None
        self._segments.hold(at.segment)
        # a collector asks for holds once the index has forgotten the block: one of the two sees the other
        if self._place(key) == at:
            return at
        self._segments.release(at.segment)
        return None

    @contextmanager
    def lent(self, cid: CID, size: int) -> Iterator[FilePart | None]:
        """A block of ``size`` as a part of the file that it is in, where it stays for the context.

        None: get_many() has to read it, since it is not here in a segment or of another size, was not hashed since it
        was read first, or has to be waited for. Only for the writer: no collector knows what others hold. About 15 us.
        """
        at = None if self._writer is None or cid.is_identity else self.hold(cid)
        if at is None:
            yield None
            return
        try:
            if at.length != size:
                yield None
                return
            if not at.kept:
                self._recency.note(at)
            with self._segments.lent(at, cid.multihash) as part:
                yield part
        finally:
            self.release(at.segment)

    def read_part(self, cid: CID, size: int, start: int, into: memoryview) -> bool:
        """Fill ``into`` with bytes of a block of ``size`` from ``start`` on. From any thread; may wait for the disk.

        False if that cannot be done without hashing: it was not read here before, is not here or of another size, or is
        removed meanwhile. get_many() then reads it, and says more. Costs a look into the index before and after.
        """
        key = cid.multihash
        at = None if self._closed or cid.is_identity else self._check.usable(key, self._located(key))
        if at is None or self._check.due(at) or at.length != size or start + len(into) > size:
            return False
        try:
            done = self._segments.read_part(at, start, into)
        except OSError:
            return False
        # a collector asks the index to forget a block before it removes its bytes
        return done and not self._closed and self._located(key) == at

    def _located(self, key: bytes) -> Location | None:
        return self._pending.get(key) or self._index.get(key)

    def _place(self, key: bytes) -> Location | None:
        """As _locate(), without a look into the index for what was written just now."""
        at = self._pending.get(key) or self._locate([key])[0]
        return self._check.usable(key, at)

    def release(self, segment: int) -> None:
        """End one hold()."""
        self._segments.release(segment)

    async def size_many(self, cids: Sequence[CID]) -> list[int | None]:
        self._check_open()
        places = self._locate([cid.multihash for cid in cids])
        return [
            len(cid.identity_data) if cid.is_identity else None if at is None else at.length
            for cid, at in zip(cids, places, strict=True)
        ]

    async def keys(self, after: bytes = b"") -> AsyncIterator[list[bytes]]:
        """See BlockStore. Pages by cursor key, so it holds no transaction between pages."""
        if self._writer is not None:
            await result_of(self._writer.commit(durable=False))
        while page := await self._in_thread(partial(self._index.page, after, KEYS_PAGE)):
            after = page[-1][0]
            yield [key for key, _ in page]

    async def stat(self) -> StoreStat:
        """Totals of the whole store, as committed. O(number of segments)."""
        if self._writer is not None:
            await result_of(self._writer.commit(durable=False))
        infos = await self._in_thread(self._index.segments)
        kept = [info for number, info in infos.items() if number % 2 == 0]
        return StoreStat(
            sum(info.live_blocks for info in infos.values()),
            sum(info.live_bytes for info in infos.values()),
            sum(info.live_blocks for info in kept),
            sum(info.live_bytes for info in kept),
            await self._in_thread(lambda: _disk_bytes(self.directory)),
        )

    @property
    def directory(self) -> Path:
        """Where the segments are."""
        return self._segments.directory

    @property
    def next_ordinal(self) -> int:
        """The ordinal that the next new block will get. Raises StoreReadOnly."""
        return self._writing().next_ordinal

    async def verify(self) -> AsyncGenerator[VerifyProgress, None]:
        """Read and hash every block; reports progress and each fault. See verify_blocks()."""
        if self._writer is not None:
            await result_of(self._writer.commit(durable=False))
        from cidery.blockstore.verify import verify_blocks

        async for progress in verify_blocks(self._segments, self._index):
            yield progress

    def is_kept(self, cid: CID) -> bool | None:
        """Whether the block is in the class that is never evicted; None if it is not here."""
        at = self._locate([cid.multihash])[0]
        return None if at is None else at.kept

    def touch(self, cids: Sequence[CID]) -> list[bool | None]:
        """Whether each block is kept (True) or cached (False), None if absent; present blocks are noted as found.

        A collector spares blocks found inside an operation (see holding()). About 2 us per block.
        Raises StoreReadOnly, StoreClosed.
        """
        places = self._writing().touch([cid.multihash for cid in cids])
        return [
            True if cid.is_identity else None if at is None else at.kept for cid, at in zip(cids, places, strict=True)
        ]

    def is_elsewhere(self, cid: CID) -> bool:
        """Whether a block is in a file of the user."""
        return self.elsewhere is not None and self.elsewhere.has(cid.multihash)

    def holding(self) -> AbstractContextManager[None]:
        """While an operation runs: blocks that it finds "already there" are remembered. Raises StoreReadOnly."""
        return self._writing().touched.hold()

    def collector(self) -> StoreCollector:
        """For the collector's thread. Raises StoreReadOnly, StoreClosed."""
        from cidery.blockstore.collector import StoreCollector

        return StoreCollector(self._segments, self._index, self._writing(), self._recency, self.elsewhere)

    # -- writing ---------------------------------------------------------------------------------------------------

    async def put_many(self, blocks: Sequence[Block], *, kept: bool, durability: Durability) -> None:
        """See BlockStore. One hop to a thread, then the group commit.

        Raises:
            BlockTooLarge, DiskFull, StoreReadOnly, StoreFailed, StoreClosed, DatabaseUnavailable.
        Cancellation: safe; the blocks may be stored nevertheless.
        """
        writer = self._writing()
        await self._in_thread(lambda: self.put_many_blocking(blocks, kept=kept))
        await result_of(writer.commit(durable=durability is Durability.DURABLE))

    def put_many_blocking(self, blocks: Sequence[Block], *, kept: bool) -> None:
        """See BlockStore. This process sees the blocks on return, others within COMMIT_DELAY or after sync().

        Buffers go to the kernel without a copy, so they must not change during the call. Raises as put_many().
        """
        writer = self._writing()
        for block in blocks:
            check_block_size(block)
        writer.append(blocks, kept=kept)

    async def delete_many(self, cids: Sequence[CID]) -> list[bool]:
        """See BlockStore. Durable on return: no crash and no rebuild of the index brings a block back."""
        return await result_of(self._writing().delete([cid.multihash for cid in cids]))

    async def discard(self, faults: Sequence[Fault]) -> list[bool]:
        """Forget blocks that verify() found damaged, unless they were stored again meanwhile; True for each forgotten.

        Durable on return. Raises as delete_many().
        """
        places = [fault.at for fault in faults]
        return await result_of(self._writing().delete([fault.multihash for fault in faults], places))

    async def compact_index(self) -> int:
        """Let close() write the index without its free pages; returns the new size in bytes. Raises StoreReadOnly.

        Not immediately, because all processes read the old file. Other readers must open the store again afterwards.
        """
        await self.sync()
        return self._index.compact_at_close()

    async def sync(self) -> None:
        """See BlockStore. One fdatasync per segment written since the last call, and one index commit."""
        await result_of(self._writing().commit(durable=True))

    async def close(self) -> None:
        """See BlockStore. Raises as the last sync; the files are closed in any case."""
        await off_loop(self.close_blocking)

    def close_blocking(self) -> None:
        """close() for code without an event loop."""
        if self._closed:
            return
        self._closed = True
        try:
            if self._writer is not None:
                self._writer.close()
        finally:
            if "_threads" in self.__dict__:
                self._threads.shutdown()
            self._segments.close()
            self._index.close()
            if self._lock >= 0:
                from cidery.blockstore.database_check import InUse
                from cidery.disk.file_locks import unlock_file

                InUse(self._index.path).clear()
                unlock_file(self._lock)

    def _writing(self) -> SegmentWriter:
        self._check_open()
        if self._writer is None:
            raise StoreReadOnly("it was opened read-only")
        return self._writer

    def _check_open(self) -> None:
        if self._closed:
            raise StoreClosed

    @cached_property
    def _threads(self) -> ThreadPoolExecutor:
        from concurrent.futures import ThreadPoolExecutor

        return ThreadPoolExecutor(IO_THREADS, "cidery-store")

    async def _in_thread(self, work: Callable[[], T]) -> T:
        self._check_open()
        return await result_of(self._threads.submit(work)) if loop_runs() else work()


def _disk_bytes(directory: Path) -> int:
    """Size of segments and delete log. One stat each; files removed meanwhile may count. Raises OSError."""
    total = 0
    for entry in os.scandir(directory):
        try:
            if parse_segment_name(entry.name) is not None or entry.name == LOG_NAME:
                total += entry.stat().st_size
        except FileNotFoundError:
            continue
    return total


def rebuild_index(root: Path, *, files: FileLayer = OS_FILES) -> Recovered:
    """Rebuild the index from the segments, as the single writer. Blocks; hashes every stored byte.

    Raises as SegmentStore.open(), except that a damaged index is discarded.
    """
    from cidery.blockstore.opening import open_writer
    from cidery.blockstore.recovery import rebuild

    opened = open_writer(root, files, SEGMENT_BYTES, INITIAL_MAP, rebuild)
    SegmentStore(*opened).close_blocking()
    return opened.recovered
