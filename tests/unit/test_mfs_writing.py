"""Bytes written into mutable files: layout, overwriting, cutting off, zeros between, conflicts, several writers."""

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import cidery
from cidery.blockstore.drive import run
from cidery.blockstore.memory import MemoryStore
from cidery.core.adding.add import AddOptions, add_root
from cidery.core.api import Api
from cidery.core.session import StoreSession
from cidery.mfs import changes
from cidery.mfs.blocks import read_bytes
from cidery.mfs.growth import WIDTH, Growth, reopen
from cidery.mfs.overwrite import cut_off, overwrite
from cidery.mfs.path import parse_file_path
from cidery.mfs.tree import NoSuchFile
from cidery.mfs.writing import MAX_SPARSE, TooSparse, Writing, write
from cidery.multiformats.cid import CID
from cidery.multiformats.varint import Buffer
from cidery.unixfs.chunker import parse_chunker
from cidery.unixfs.layout import Child
from cidery.unixfs.profile import UNIXFS_V0_2015, UNIXFS_V1_2025, with_chunker
from cidery.unixfs.reader import read_node
from cidery.unixfs.trickle import Trickle

A = parse_file_path("/a")
CREATE = Writing(create=True)


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with cidery.Node(tmp_path / "repo", profile="test", offline=True) as node:
        yield node.api


async def _pieces(data: bytes, size: int = 100_000) -> AsyncIterator[Buffer]:
    for at in range(0, len(data), size):
        yield data[at : at + size]


async def _put(api: Api, data: bytes, how: Writing = CREATE, path: str = "/a", *, flush: bool = False) -> int:
    async with api.session() as session:
        return await write(api.files, session, parse_file_path(path), _pieces(data), how, flush=flush)


async def _read(api: Api, path: str = "/a") -> bytes:
    async with api.session() as session:
        cid = await api.files.resolve(session, parse_file_path(path))
        size = (await run(read_node(cid), session)).size
        return b"".join([bytes(chunk) async for chunk in read_bytes(cid, session, 0, size)])


def _leaf(number: int) -> Child:
    cid = CID.of(number.to_bytes(4, "big"))
    return Child(cid, 4, 4)


@pytest.mark.parametrize("split", [1, 100, WIDTH, WIDTH + 1, 2 * WIDTH + 5, 5 * WIDTH, 1600])
async def test_leaves_appended_in_two_goes_give_the_layout_of_one(split: int) -> None:
    profile = UNIXFS_V1_2025._replace(max_links=WIDTH)
    whole = Trickle(profile)
    for number in range(1700):
        whole.add(_leaf(number))
    first = Growth(profile)
    store = {}
    blocks = [block for number in range(split) for block in first.add(_leaf(number))]
    root, rest = first.finish()
    store.update({block.cid: block.data for block in [*blocks, *rest]})
    walk = reopen(profile, root.cid)
    answer = None
    while True:
        try:
            step = walk.send(answer)
        except StopIteration as stop:
            second = stop.value
            break
        answer = store.get(step.cid, b"\0\0\0\0")
    for number in range(split, 1700):
        second.add(_leaf(number))
    assert second.finish()[0] == whole.finish()[0]


async def test_pieces_of_any_size_give_the_file_that_add_trickle_gives(api: Api) -> None:
    data = random.Random(1).randbytes(5_000_000)
    await _put(api, data)
    cids = set()
    for size in (7_001, 1_048_576, 5_000_000):
        async with api.session() as session:
            how = Writing(create=True)
            await write(api.files, session, parse_file_path(f"/{size}"), _pieces(data, size), how, flush=False)
            cids.add(await api.files.resolve(session, parse_file_path(f"/{size}")))
    profile = api.files.profile._replace(trickle=True, max_links=WIDTH)
    assert cids == {await add_root([data], MemoryStore(), AddOptions(profile))}
    assert await _read(api) == data


async def test_a_chunker_by_content_cuts_what_is_appended(api: Api) -> None:
    files = api.files
    cut = with_chunker(files.profile, parse_chunker("buzhash"))
    files.profile = cut  # as the config would say
    data = random.Random(2).randbytes(6_000_000)
    await _put(api, data, CREATE)
    async with api.session() as session:
        cid = await files.resolve(session, A)
    assert cid == await add_root([data], MemoryStore(), AddOptions(cut._replace(trickle=True, max_links=WIDTH)))


async def test_a_file_of_one_chunk_is_the_one_that_add_makes(api: Api) -> None:
    await _put(api, b"hello world")
    async with api.session() as session:
        cid = await api.files.resolve(session, A)
    assert str(cid) == "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e"


@pytest.mark.parametrize("profile", [UNIXFS_V0_2015, UNIXFS_V1_2025])
@pytest.mark.parametrize(("offset", "length"), [(0, 1), (999, 3), (0, 5000), (2500, 2500), (4999, 1), (1, 4998)])
async def test_any_range_of_a_balanced_file_can_be_overwritten(profile, offset: int, length: int) -> None:  # type: ignore[no-untyped-def]
    small = profile._replace(chunk_size=100, max_links=3)
    data = bytearray(random.Random(3).randbytes(5000))
    store = MemoryStore()
    root = await add_root([bytes(data)], store, AddOptions(small))
    new = random.Random(4).randbytes(length)
    session = StoreSession(store)
    changed, blocks = await run(overwrite(root, offset, new), session)
    store.put_many_blocking(blocks, kept=True)
    data[offset : offset + length] = new
    assert changed == await add_root([bytes(data)], store, AddOptions(small))


async def test_cutting_off_leaves_an_empty_file_in_the_same_form() -> None:
    for profile in (UNIXFS_V0_2015, UNIXFS_V1_2025):
        store = MemoryStore()
        root = await add_root([bytes(5000)], store, AddOptions(profile._replace(chunk_size=100, max_links=3)))
        cut, blocks = await run(cut_off(root), StoreSession(store))
        store.put_many_blocking(blocks, kept=True)
        assert (await run(read_node(cut), StoreSession(store))).size == 0
        assert cut.version == root.version


async def test_writes_beyond_the_end_fill_with_zeros(api: Api) -> None:
    await _put(api, b"start")
    await _put(api, b"end", Writing(offset=100_000))
    assert await _read(api) == b"start" + bytes(99_995) + b"end"
    with pytest.raises(TooSparse):
        await _put(api, b"x", Writing(offset=MAX_SPARSE + 200_000))
    assert (await _read(api))[-3:] == b"end"


async def test_a_limit_stops_reading_the_source(api: Api) -> None:
    async def endless() -> AsyncIterator[Buffer]:
        while True:
            yield b"abcdef"

    async with api.session() as session:
        assert await write(api.files, session, A, endless(), Writing(limit=10, create=True)) == 10
    assert await _read(api) == b"abcdefabcd"


async def test_a_source_that_fails_changes_nothing(api: Api) -> None:
    await _put(api, b"before")

    async def broken() -> AsyncIterator[Buffer]:
        yield b"half"
        raise ConnectionError("the client went away")

    async with api.session() as session:
        with pytest.raises(ConnectionError):
            await write(api.files, session, A, broken(), Writing(truncate=True))
    assert await _read(api) == b"before"


async def test_writers_of_one_file_at_once_lose_nothing(api: Api) -> None:
    """Each writes its own range while the others do; all ranges are there at the end."""
    await _put(api, bytes(20 * 1000))

    async def fill(number: int) -> None:
        started = asyncio.Event()

        async def slow() -> AsyncIterator[Buffer]:
            for _ in range(10):
                yield bytes([number + 1]) * 100
                started.set()
                await asyncio.sleep(0)

        async with api.session() as session:
            await write(api.files, session, A, slow(), Writing(offset=number * 1000), flush=number % 3 == 0)

    await asyncio.gather(*(fill(number) for number in range(20)))
    assert await _read(api) == b"".join(bytes([number + 1]) * 1000 for number in range(20))


async def test_a_file_removed_during_a_write_is_not_brought_back_unless_asked(api: Api) -> None:
    await _put(api, b"before")
    going, removed = asyncio.Event(), asyncio.Event()

    async def waiting() -> AsyncIterator[Buffer]:
        yield b"1"
        going.set()
        await removed.wait()
        yield b"2"

    async def writer(create: bool) -> None:
        async with api.session() as session:
            await write(api.files, session, A, waiting(), Writing(create=create))

    for create in (False, True):
        going.clear()
        removed.clear()
        task = asyncio.create_task(writer(create))
        await going.wait()
        async with api.session() as session:
            await changes.remove(api.files, session, A)
        removed.set()
        if create:
            await task
            assert await _read(api) == b"12"
        else:
            with pytest.raises(NoSuchFile):
                await task
            await _put(api, b"again")


async def test_many_tasks_change_the_tree_at_once(api: Api) -> None:
    """Files, directories, moves and flushes of 16 tasks: everything is where its task put it."""

    async def work(task: int) -> None:
        async with api.session() as session:
            for number in range(12):
                path = f"/shared/{number % 3}/{task}-{number}"
                how = Writing(create=True, parents=True)
                data = f"{task} {number}".encode()
                await write(api.files, session, parse_file_path(path), _pieces(data), how, flush=number % 4 == 0)
                if number % 5 == 0:
                    to = parse_file_path(f"/shared/{number % 3}/moved-{task}-{number}")
                    await changes.move(api.files, session, parse_file_path(path), to, flush=False)

    await asyncio.gather(*(work(task) for task in range(16)))
    for task in range(16):
        for number in range(12):
            moved = "moved-" if number % 5 == 0 else ""
            assert await _read(api, f"/shared/{number % 3}/{moved}{task}-{number}") == f"{task} {number}".encode()
