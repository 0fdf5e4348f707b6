"""Copies the blocks of a Kubo repository into the store: each is checked against its name, in constant memory.

A block that is already here is skipped by its name, unread, so a second run only lists the folders.
"""

import asyncio
import os
import stat
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from cidery.blockstore.filestore import Filestore, Reference, look
from cidery.blockstore.segments import SegmentStore
from cidery.ipld.block import Block
from cidery.kubo.flatfs import BadBlockFile, block_files, block_folders, read_block
from cidery.kubo.leveldb import LevelDb
from cidery.kubo.repository import KuboReference, KuboRepository, RecordDamaged, references
from cidery.multiformats.cid import CID
from cidery.multiformats.multicodec import RAW

PAGE = 512
"""Files listed, and looked up in the index, at a time: about a millisecond of the event loop."""
BATCH = 4 << 20
"""Bytes that one job holds before it stores them."""
JOBS = 3
"""Concurrent jobs: two hash on two cores while a third waits for the disk."""
REFERENCES_PAGE = 64
"""References checked at a time: at most 128 MiB of reading."""


@dataclass(slots=True)
class BlockCounts:
    """Counters of an import."""

    imported: int = 0
    bytes: int = 0
    """Of the imported blocks."""
    present: int = 0
    """Blocks that were here already."""
    bad: int = 0
    """Files that do not match the hash in their name; they were skipped."""
    references: int = 0
    """Blocks whose bytes stay in files of the user."""

    @property
    def seen(self) -> int:
        return self.imported + self.present + self.bad + self.references


@dataclass(slots=True)
class _Job:
    """The outcome of one job."""

    imported: int = 0
    bytes: int = 0
    faults: list[str] = field(default_factory=list)


class _Folder:
    """The block files of one folder, in pages."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._files = block_files(path)
        self.fault = ""
        """Why it could not be read to its end."""

    def page(self) -> list[tuple[str, bytes | None]]:
        """The next ones; none at the end."""
        found: list[tuple[str, bytes | None]] = []
        try:
            found.extend(islice(self._files, PAGE))
        except OSError as exc:
            self.fault = f"{self._path}: the folder cannot be read ({exc.strerror})"
        return found


async def import_blocks(
    source: KuboRepository, store: SegmentStore, counts: BlockCounts
) -> AsyncGenerator[list[str], None]:
    """Store every block, as kept, and count; yields the faults since the last report, one line each.

    Inside an operation. Blocks are VISIBLE at the end; call store.sync(). Raises OSError of the enclosing folder, and
    as the store. Cancellation: safe; stored blocks stay. Memory: JOBS batches.
    """
    running: set[asyncio.Task[_Job]] = set()
    try:
        for folder in await asyncio.to_thread(block_folders, source.blocks):
            files = _Folder(folder)
            while page := await asyncio.to_thread(files.page):
                faults = [f"{path}: its name is no key" for path, multihash in page if multihash is None]
                counts.bad += len(faults)
                wanted = _missing(page, store, counts)
                if wanted:
                    if len(running) >= JOBS:
                        faults += await _finish(running, counts)
                    running.add(asyncio.create_task(asyncio.to_thread(_copy, wanted, store)))
                yield faults
            if files.fault:
                counts.bad += 1
                yield [files.fault]
        while running:
            yield await _finish(running, counts)
    finally:
        if running:
            await asyncio.wait(running)  # a thread cannot be interrupted
            for task in running:
                task.exception()


def _missing(page: list[tuple[str, bytes | None]], store: SegmentStore, counts: BlockCounts) -> list[tuple[str, bytes]]:
    """The files whose blocks are not stored as kept."""
    named = [(path, multihash) for path, multihash in page if multihash is not None]
    places = store.touch([CID(1, RAW, multihash) for _, multihash in named])
    wanted = [item for item, kept in zip(named, places, strict=True) if not kept]
    counts.present += len(named) - len(wanted)
    return wanted


async def _finish(running: set[asyncio.Task[_Job]], counts: BlockCounts) -> list[str]:
    done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
    running -= done
    faults: list[str] = []
    for task in done:
        job = task.result()
        counts.imported += job.imported
        counts.bytes += job.bytes
        counts.bad += len(job.faults)
        faults += job.faults
    return faults


def _copy(wanted: list[tuple[str, bytes]], store: SegmentStore) -> _Job:
    """Runs in a thread."""
    job = _Job()
    batch: list[Block] = []
    held = 0
    for path, multihash in wanted:
        try:
            data = read_block(path, multihash)
        except BadBlockFile as exc:
            job.faults.append(f"{path}: {exc.reason}")
            continue
        batch.append(Block(CID(1, RAW, multihash), data))
        held += len(data)
        if held >= BATCH:
            _store(batch, store, job)
            batch, held = [], 0
    _store(batch, store, job)
    return job


def _store(batch: list[Block], store: SegmentStore, job: _Job) -> None:
    store.put_many_blocking(batch, kept=True)
    job.imported += len(batch)
    job.bytes += sum(len(block.data) for block in batch)


async def import_references(
    source: KuboRepository, database: LevelDb, blocks: Filestore, counts: BlockCounts
) -> AsyncGenerator[list[str], None]:
    """Import the references to blocks in files that Kubo left in place and that still hold them; yields faults as
    import_blocks().

    Raises LevelDbError, OSError of the database, DatabaseUnavailable. Cancellation: safe. Reads and hashes each block.
    """
    records = references(database)
    root = source.path.parent
    while page := await asyncio.to_thread(lambda: list(islice(records, REFERENCES_PAGE))):
        noted, faults = await asyncio.to_thread(_check, page, root, blocks)
        if noted:
            await asyncio.to_thread(blocks.references.put, noted)
        counts.references += len(noted)
        counts.bad += len(faults)
        yield faults


def _check(
    page: list[KuboReference | RecordDamaged], root: Path, blocks: Filestore
) -> tuple[list[Reference], list[str]]:
    noted, faults = [], []
    for one in page:
        if isinstance(one, RecordDamaged):
            faults.append(str(one))
            continue
        name = f"block {CID(1, RAW, one.multihash)}"
        if one.is_url:
            faults.append(f"{name} is at {one.place}: blocks at URLs cannot be kept there; add the URL anew")
            continue
        reference = _located(one, root)
        known = blocks.references.get(one.multihash)
        if reference is None:
            faults.append(f"{name} was in {one.place}: the file is gone")
        elif known != reference:
            checked = look(reference)[1]
            if checked.reason:
                faults.append(f"{name} was in {reference.path}: {checked.reason}")
            else:
                noted.append(reference)
    return noted, faults


def _located(one: KuboReference, root: Path) -> Reference | None:
    """Where the bytes are; Kubo's paths begin at the directory above the repository. None: no such file."""
    path = os.path.normpath(os.path.join(root, one.place.lstrip("/")))
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return None
    if not stat.S_ISREG(found.st_mode):
        return None
    return Reference(one.multihash, path, one.offset, one.length, found.st_size, found.st_mtime_ns)
