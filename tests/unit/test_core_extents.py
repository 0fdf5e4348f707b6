"""Streams of extents: what is named, what is sent, and that nothing that is named goes before it is taken."""

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing
from pathlib import Path

import pytest

from cidery.blockstore.interface import Durability
from cidery.blockstore.segments import SegmentStore
from cidery.core.adding.add import AddOptions, add_root
from cidery.core.adding.items import ScanOptions
from cidery.core.getting.extent_stream import MAX_UNTAKEN, extent_stream, leaf_start
from cidery.core.getting.extents import BadExtents, FileRange, NotReadable, Segments, extent_pieces
from cidery.core.getting.record import GetRecord
from cidery.core.getting.tar import tar_pieces, tar_stream
from cidery.core.getting.untar import TarError, resume_point, unpack_tar
from cidery.core.session import StoreSession
from cidery.ipld.block import Block
from cidery.ipld.walk import Data
from cidery.multiformats.cid import CID
from cidery.multiformats.multicodec import CBOR, RAW
from cidery.multiformats.multihash import SHA2_256, multihash
from cidery.unixfs.profile import UNIXFS_V0_2015, UNIXFS_V1_2025, Profile
from gc_repo import Repo, leaf

BIG = 40_000


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SegmentStore]:
    opened = SegmentStore.open(tmp_path / "repo", segment_bytes=3 << 20)
    yield opened
    await opened.close()


async def all_taken() -> bytes:
    return bytes(1000)


async def never_taken() -> bytes:
    raise AssertionError("there was room")


async def stream_of(root: CID, store: SegmentStore, **skip: int) -> bytes:
    pieces = tar_pieces(root, StoreSession(store), "name", **skip)
    async with aclosing(pieces):
        return b"".join([frame async for frame in extent_stream(pieces, store, all_taken)])


def cut(stream: bytes, size: int = 7) -> Iterator[bytes]:
    return (stream[at : at + size] for at in range(0, len(stream), size))


def make_tree(root: Path) -> Path:
    (root / "sub").mkdir(parents=True)
    (root / "sub" / "big").write_bytes(os.urandom(3_000_001))
    (root / "sub" / "other").write_bytes(os.urandom(600_000))
    (root / "small").write_bytes(b"in its directory's neighbour")
    (root / "empty").touch()
    (root / "link").symlink_to("small")
    return root


def contents(root: Path) -> dict[str, object]:
    found = {str(path.relative_to(root)): path for path in root.rglob("*")}
    return {
        name: os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else None
        for name, path in found.items()
    }


@pytest.mark.parametrize("profile", [UNIXFS_V0_2015, UNIXFS_V1_2025, UNIXFS_V1_2025._replace(inline_limit=32)])
async def test_a_tree_is_named_and_read_from_the_segments(
    store: SegmentStore, tmp_path: Path, profile: Profile
) -> None:
    source = make_tree(tmp_path / "source")
    root = await add_root([source], store, AddOptions(profile))
    stream = await stream_of(root, store)
    assert len(stream) < 20_000, "what is large is named"
    said: list[bytes] = []
    segments = Segments(str(store.directory))
    pieces = list(extent_pieces(cut(stream), segments, said.append))
    ranges = [piece for piece in pieces if isinstance(piece, FileRange)]
    assert sum(map(len, ranges)) == 3_600_001 and sum(map(len, said)) == len(ranges)
    whole = b"".join([piece.read() if isinstance(piece, FileRange) else bytes(piece) for piece in pieces])
    assert whole == b"".join([bytes(chunk) async for chunk in tar_stream(root, StoreSession(store), "name")])
    for _ in unpack_tar(extent_pieces(cut(stream), segments, said.append), tmp_path / "out"):
        continue
    segments.close()
    assert contents(tmp_path / "out") == contents(source)


async def test_what_comes_with_metadata_is_sent(store: SegmentStore, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(os.urandom(BIG))
    options = AddOptions(UNIXFS_V0_2015, ScanOptions(preserve_mode=True, preserve_mtime=True))
    root = await add_root([tmp_path / "file"], store, options)
    stream = await stream_of(root, store)
    assert b"X " not in stream[:100] and len(stream) > BIG
    list(unpack_tar(extent_pieces([stream], Segments("/nowhere"), len), tmp_path / "out"))
    assert (tmp_path / "out").read_bytes() == (tmp_path / "file").read_bytes()


async def test_a_rest_is_sent_where_it_begins_inside_a_block_and_named_after(
    store: SegmentStore, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(os.urandom(3 << 20))
    root = await add_root([tmp_path / "file"], store, AddOptions(UNIXFS_V1_2025))
    segments = Segments(str(store.directory))
    record = GetRecord.open(tmp_path / "jobs", "what", str(tmp_path / "out"), lambda: 0.0)
    assert record is not None
    stream = await stream_of(root, store)
    cut_short = stream.index(b"X ", stream.index(b"X ") + 1)
    with pytest.raises(BadExtents, match="ends early"):
        list(unpack_tar(extent_pieces([stream[:cut_short]], segments, len), tmp_path / "out", record))
    part = next(tmp_path.glob(".*part"))
    record.part("", part.stat(), (1 << 20) - 100)
    record.close(keep=True)
    record = GetRecord.open(tmp_path / "jobs", "what", str(tmp_path / "out"), lambda: 0.0)
    assert resume_point(record, tmp_path / "out") == (0, (1 << 20) - 100)
    rest = await stream_of(root, store, skip_bytes=(1 << 20) - 100)
    sizes = [len(piece) for piece in extent_pieces([rest], segments, len) if isinstance(piece, FileRange)]
    assert sizes == [1 << 20, 1 << 20] and len(rest) < 4000
    list(unpack_tar(extent_pieces([rest], segments, len), tmp_path / "out", record))
    segments.close()
    record.close(keep=False)
    assert (tmp_path / "out").read_bytes() == (tmp_path / "file").read_bytes()


async def test_blocks_from_before_are_named_once_they_were_hashed_and_never_if_each_read_hashes(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(os.urandom(2 << 20))
    first = SegmentStore.open(tmp_path / "repo")
    root = await add_root([tmp_path / "file"], first, AddOptions(UNIXFS_V1_2025))
    await first.close()
    for always in (False, True):
        store = SegmentStore.open(tmp_path / "repo", hash_on_read=always)
        assert (len(await stream_of(root, store)) > 2 << 20) is always
        await store.close()


def data_of(block: Block) -> Data:
    return Data(block.data, block.cid, block.data)


async def each(*pieces: bytes | Data) -> AsyncGenerator[bytes | Data, None]:
    for piece in pieces:
        yield piece


async def test_a_block_that_is_being_stored_is_waited_for(store: SegmentStore) -> None:
    block = leaf(1, BIG)

    async def pieces() -> AsyncGenerator[bytes | Data, None]:
        yield b"head"
        yield data_of(block)
        asyncio.get_running_loop().call_soon(begin)

    storing: list[asyncio.Task[None]] = []

    def begin() -> None:
        put = store.put_many([block], kept=False, durability=Durability.VISIBLE)
        storing.append(asyncio.get_running_loop().create_task(put))

    frames = [frame async for frame in extent_stream(pieces(), store, all_taken)]
    await storing[0]
    at = store.hold(block.cid)
    assert at is not None
    assert b"".join(frames) == b"D 4\nheadX %d %d %d\nE\n" % (at.segment, at.offset + at.head, BIG)


async def test_a_block_that_is_never_stored_is_sent(store: SegmentStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cidery.core.getting.extent_stream.STORE_SECONDS", 0.01)
    block = leaf(1, BIG)
    frames = [frame async for frame in extent_stream(each(data_of(block)), store, never_taken)]
    assert b"".join(frames) == b"D %d\n%bE\n" % (BIG, block.data)


async def test_no_more_is_named_than_is_taken_in_time(store: SegmentStore) -> None:
    block = leaf(1, 1 << 20)
    await store.put_many([block], kept=True, durability=Durability.VISIBLE)
    count, named, asked = 100, 0, 0

    async def taken() -> bytes:
        nonlocal asked
        asked += 1
        assert named - (asked - 1) > MAX_UNTAKEN >> 20 or named == count
        return b"."

    stream = extent_stream(each(*[data_of(block)] * count), store, taken)
    async for frame in stream:
        named += frame.count(b"X")
        assert named - asked <= (MAX_UNTAKEN >> 20) + 1
    assert asked == count


async def test_what_came_before_an_error_is_passed_on(store: SegmentStore) -> None:
    block = leaf(1, BIG)
    await store.put_many([block], kept=True, durability=Durability.VISIBLE)

    async def pieces() -> AsyncGenerator[bytes | Data, None]:
        yield data_of(block)
        yield b"tail"
        raise TarError("the peer is gone")

    got = b""
    with pytest.raises(TarError):
        async for frame in extent_stream(pieces(), store, never_taken):
            got += frame
    assert got.startswith(b"X ") and got.endswith(b"D 4\ntail")


async def untaken(repo: Repo, *blocks: Block) -> tuple[AsyncGenerator[bytes, None], bytes, asyncio.Event]:
    """A stream that has named the blocks, its frames, and the event on which they are taken."""
    done = asyncio.Event()

    async def taken() -> bytes:
        await done.wait()
        return bytes(len(blocks))

    stream = extent_stream(each(*map(data_of, blocks)), repo.store, taken)
    frames = b""
    while not frames.endswith(b"E\n"):
        frames += await anext(stream)
    return stream, frames, done


async def end(stream: AsyncGenerator[bytes, None], done: asyncio.Event) -> None:
    done.set()
    assert [frame async for frame in stream] == []


async def test_a_collection_leaves_what_is_named_and_the_next_one_takes_it(tmp_path: Path) -> None:
    repo = Repo(tmp_path)
    blocks = [leaf(number, BIG) for number in range(4)]
    await repo.put(*blocks)
    stream, frames, done = await untaken(repo, *blocks)
    await repo.collect()
    assert not any(map(repo.has, blocks)), "they are forgotten"
    segments = Segments(str(repo.store.directory))
    pieces = [piece for piece in extent_pieces([frames], segments, len) if isinstance(piece, FileRange)]
    assert len(pieces) == 4 and pieces[3].read() == blocks[3].data
    segments.close()
    for piece, block in zip(
        extent_pieces([frames], late := Segments(str(repo.store.directory)), len), blocks, strict=True
    ):
        assert isinstance(piece, FileRange) and piece.read() == block.data
    late.close()
    await end(stream, done)
    await repo.collect()
    assert not [use for use in repo.store.collector().segments() if use.size > BIG]
    with pytest.raises(NotReadable):
        list(extent_pieces([frames], Segments(str(repo.store.directory)), len))
    await repo.close()


async def test_no_hole_is_made_in_what_is_named(tmp_path: Path) -> None:
    repo = Repo(tmp_path, segment_bytes=1 << 24)
    block = leaf(1, BIG)
    await repo.put(block)
    stream, frames, done = await untaken(repo, block)
    await repo.store.delete_many([block.cid])
    collector = repo.store.collector()
    (use,) = collector.segments()
    assert await asyncio.to_thread(collector.punch, use) == 0
    segments = Segments(str(repo.store.directory))
    (piece,) = extent_pieces([frames], segments, len)
    assert isinstance(piece, FileRange) and piece.read() == block.data
    segments.close()
    await end(stream, done)
    assert await asyncio.to_thread(collector.punch, use) > BIG // 2
    await repo.close()


async def test_a_stream_that_is_given_up_holds_nothing(tmp_path: Path) -> None:
    repo = Repo(tmp_path)
    block = leaf(1, BIG)
    await repo.put(block)
    stream, _, _ = await untaken(repo, block)
    await stream.aclose()
    await repo.collect()
    assert not [use for use in repo.store.collector().segments() if use.size > BIG]
    await repo.close()


def test_only_leaves_as_importers_write_them_are_named() -> None:
    data = os.urandom(BIG)
    raw = CID(1, RAW, multihash(SHA2_256, data))
    assert leaf_start(Data(data, raw, data)) == 0
    assert leaf_start(Data(data)) is None, "a part of a leaf"
    assert leaf_start(Data(data[:100], raw, data[:100])) is None, "small"
    assert leaf_start(Data(data, CID(1, CBOR, multihash(SHA2_256, data)), data)) is None


@pytest.mark.parametrize(
    "stream",
    [b"", b"D 5\nabc", b"D 3\nabc", b"X 1 2\n", b"X 1 2 -3\n", b"X 1 2 9999999\n", b"Q 1\n", b"E 1\n", b"D" * 90]
    + [b"E\nmore", b"D 99999999\n"],
)
def test_a_stream_that_is_malformed_or_cut_is_refused(stream: bytes) -> None:
    with pytest.raises(BadExtents):
        list(extent_pieces(iter([stream]), Segments("/nowhere"), len))


def test_a_range_past_the_end_of_its_file_is_refused_and_written_nowhere(tmp_path: Path) -> None:
    (tmp_path / "000002.car").write_bytes(b"short")
    segments = Segments(str(tmp_path))
    (piece,) = (one for one in extent_pieces([b"X 2 3 9\nE\n"], segments, len))
    assert isinstance(piece, FileRange)
    with (tmp_path / "out").open("wb") as out, pytest.raises(BadExtents, match="ends early"):
        piece.copy_to(out.fileno(), 0)
    segments.close()


@pytest.mark.parametrize("copies", [True, False])
def test_a_range_is_copied_with_and_without_the_systems_help(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, copies: bool
) -> None:
    def refuses(*_: int) -> int:
        raise OSError(18, "Invalid cross-device link")

    if not copies:
        monkeypatch.setattr(os, "copy_file_range", refuses, raising=False)
    data = os.urandom(100_000)
    (tmp_path / "in").write_bytes(data)
    with (tmp_path / "in").open("rb") as source, (tmp_path / "out").open("wb") as out:
        first, rest = FileRange(source.fileno(), 10, 90_000).split(40_000)
        rest.copy_to(out.fileno(), 40_000)
        first.copy_to(out.fileno(), 0)
    assert (tmp_path / "out").read_bytes() == data[10:90_010]
