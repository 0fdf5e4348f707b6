"""A process that runs one long operation until it is killed, and counts what it does in a file that outlives it.

The constants that bound what is under way are made smaller by SCALE, as the test's data are smaller than real ones.
"""

import asyncio
import json
import mmap
import os
import sys
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path

from changed_api import changed
from cidery.blockstore.interface import BlockStore, Durability
from cidery.commands.bind import bind
from cidery.commands.context import Context
from cidery.commands.registry import find
from cidery.commands.run.dag_car import import_cars
from cidery.commands.run.pin import add as add_pin
from cidery.core.adding import chunk_stream, file_jobs, ingest
from cidery.core.adding import journal as add_journal
from cidery.core.adding.add import AddOptions
from cidery.core.adding.events import Added
from cidery.core.adding.items import File, Item
from cidery.core.car import importing as car_import
from cidery.core.car import job as car_job
from cidery.core.getting import file_copy
from cidery.core.getting import get as getting
from cidery.core.getting import target as target_module
from cidery.core.getting.record import GetRecord
from cidery.core.session import StoreSession
from cidery.disk import file_reads
from cidery.exchange.terms import Terms
from cidery.ipld.block import Block
from cidery.ipld.car_reader import Placed
from cidery.multiformats.cid import CID
from cidery.multiformats.varint import Buffer
from cidery.node.build import Access, build
from cidery.unixfs.profile import UNIXFS_V1_2025, with_options

SCALE = 64
CHUNK = (1 << 20) // SCALE
PROFILE = with_options(UNIXFS_V1_2025, chunker=f"size-{CHUNK}")


class Counter:
    """A number in a file, counted up by the process and read by the test after its death."""

    def __init__(self, path: Path) -> None:
        path.touch()
        with path.open("r+b") as file:
            file.truncate(8)
            self._map = mmap.mmap(file.fileno(), 8)

    @property
    def value(self) -> int:
        return int.from_bytes(self._map[:], "big")

    def add(self, count: int) -> None:
        self._map[:] = (self.value + count).to_bytes(8, "big")


def shrink() -> None:
    file_jobs.JOB_BYTES //= SCALE
    ingest.MAX_BATCH //= SCALE
    ingest.BIG_FILE //= SCALE
    getting.WRITE_BATCH //= SCALE
    getting.WRITE_ITEMS //= 2
    chunk_stream.CUT_BYTES //= SCALE
    chunk_stream.READ_BYTES //= SCALE
    car_import.BATCH //= SCALE
    car_import.PIECE //= SCALE
    car_job.CHECKPOINT //= SCALE


def count_reads(counter: Counter) -> None:
    """Count the bytes that add() reads of files: each is hashed too."""
    lock = threading.Lock()
    read, pread = ingest.os.read, ingest.os.pread

    class Counting:
        def __getattr__(self, name: str) -> object:
            return getattr(os, name)

        def read(self, fd: int, size: int) -> bytes:
            data = read(fd, size)
            with lock:
                counter.add(len(data))
            return data

        def pread(self, fd: int, size: int, offset: int) -> bytes:
            data = pread(fd, size, offset)
            with lock:
                counter.add(len(data))
            return data

    ingest.os = file_reads.os = Counting()
    chunk_stream.os = Counting()


async def add(root: Path, source: str, counter: Counter, chunker: str) -> None:
    count_reads(counter)
    profile = PROFILE if not chunker else with_options(UNIXFS_V1_2025, chunker=chunker)
    async with build(root, Access.WRITE) as api:
        late = lambda: time.time() + 2 * add_journal.RACY  # noqa: E731
        api = changed(api, clock=late)
        async for event in api.adding.add([source], AddOptions(profile=profile, progress=True)):
            os.write(1, b".\n")
            if isinstance(event, Added) and event.root:
                os.write(1, f"root {event.cid}\n".encode())


async def import_car(root: Path, source: str, counter: Counter) -> None:
    plain = car_import._check_and_store

    def counting(batch: list[Placed], store: BlockStore) -> None:
        counter.add(sum(len(placed.block.data) for placed in batch))
        plain(batch, store)
        os.write(1, b".\n")

    car_import._check_and_store = counting
    found = find(["dag", "import"])
    assert found is not None
    call = bind(found.command, [source], [("stats", "true")])

    async def items() -> AsyncIterator[Item]:
        yield File(source)

    async with build(root, Access.WRITE) as api:
        async for value in import_cars(Context(api, root, items()), call):
            os.write(1, f"{json.dumps(value)}\n".encode())


async def get_tree(root: Path, source: str, counter: Counter) -> None:
    """``source``: CID and target. Bytes that are hashed or written count."""
    cid, target = source.split(" ")
    read, write = file_copy.pread_exactly, file_copy.write_at

    def reading(fd: int, size: int, offset: int) -> bytes:
        counter.add(size)
        return read(fd, size, offset)

    def writing(fd: int, data: Buffer, offset: int) -> None:
        counter.add(len(data))
        write(fd, data, offset)
        os.write(1, b".\n")

    file_copy.pread_exactly = getting.pread_exactly = reading
    file_copy.write_at = target_module.write_at = writing
    async with build(root, Access.READ) as api, api.session() as session:
        record = GetRecord.open(api.jobs.directory, cid, target, time.time)
        assert record is not None
        async for progress in getting.get(CID.parse(cid), session, target, record):
            if progress.done:
                os.write(1, f"done {progress.written} {progress.reused}\n".encode())
        record.close(keep=False)


async def pin(root: Path, source: str, counter: Counter) -> None:
    """``source``: CID, and a repository that stands for the peers: bytes read from it count."""
    cid, peer = source.split(" ")
    found = find(["pin", "add"])
    assert found is not None
    call = bind(found.command, [cid], [])
    async with build(Path(peer), Access.READ) as having, build(root, Access.WRITE) as api:

        class Fetching(StoreSession):
            async def get(self, cid: CID) -> bytes:
                if (here := api.store.get_if_ready(cid)) is not None:
                    return here
                data = (await having.store.get_many([cid]))[0]
                assert data is not None
                counter.add(len(data))
                await api.store.put_many([Block(cid, data)], kept=True, durability=Durability.VISIBLE)
                os.write(1, b".\n")
                return data

        class Online:
            def session(self, *, kept: bool, terms: Terms) -> Fetching:
                return Fetching(api.store)

        online = changed(api, network=Online())
        async for value in add_pin(Context(online, root), call):
            os.write(1, f"{json.dumps(value)}\n".encode())


async def main(kind: str, root: Path, source: str, counted: Path, extra: str) -> None:
    shrink()
    counter = Counter(counted)
    if kind == "add":
        await add(root, source, counter, extra)
    elif kind == "pin":
        await pin(root, source, counter)
    elif kind == "get":
        await get_tree(root, source, counter)
    else:
        await import_car(root, source, counter)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]), sys.argv[3], Path(sys.argv[4]), sys.argv[5]))
