import asyncio
import os
import socket
import threading
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from cidery.blockstore.memory import MemoryStore
from cidery.core.adding.add import AddOptions, add, add_root
from cidery.core.adding.events import Added, AddProgress
from cidery.core.adding.ingest import BIG_FILE
from cidery.core.adding.items import Bytes, CannotAdd, Folder, Item, Link, ScanOptions, Stream, TooDeep
from cidery.core.reading.cat import cat
from cidery.core.session import StoreSession
from cidery.ipld.block import Block
from cidery.multiformats.cid import CID
from cidery.unixfs.directory import BadName
from cidery.unixfs.profile import UNIXFS_V0_2015, UNIXFS_V1_2025, with_options

posix = pytest.mark.skipif(os.name == "nt", reason="POSIX file types")


class CountingStore(MemoryStore):
    """Counts syncs; can hold writers back."""

    def __init__(self) -> None:
        super().__init__()
        self.syncs = 0
        self.gate = threading.Event()
        self.gate.set()
        self.writers = 0

    async def sync(self) -> None:
        self.syncs += 1

    def put_many_blocking(self, blocks: Sequence[Block], *, kept: bool) -> None:
        assert kept
        self.writers += 1
        self.gate.wait(10)
        super().put_many_blocking(blocks, kept=kept)
        self.writers -= 1


async def names(sources: list[object], options: AddOptions | None = None) -> list[str]:
    events = [event async for event in add(sources, MemoryStore(), options)]  # type: ignore[arg-type]
    return [event.name for event in events if isinstance(event, Added)]


async def read(store: MemoryStore, path: str) -> bytes:
    return b"".join([bytes(chunk) async for chunk in cat(path, StoreSession(store))])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "photos"
    for name in ("b.txt", "a/z.txt", "a/é.txt", "a/deep/x", "B.txt", ".hidden/y", "a/.secret"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    (root / "empty").mkdir()
    return root


async def test_files_come_in_byte_order_then_folders_inside_out(folder: Path) -> None:
    assert await names([folder]) == [
        "photos/B.txt",
        "photos/a/deep/x",
        "photos/a/z.txt",
        "photos/a/é.txt",
        "photos/b.txt",
        "photos/a/deep",
        "photos/a",
        "photos/empty",
        "photos",
    ]


async def test_hidden_files_are_added_when_asked_for(folder: Path) -> None:
    assert "photos/.hidden/y" in await names([folder], AddOptions(scan=ScanOptions(hidden=True)))


async def test_a_hidden_file_that_is_named_is_added(folder: Path) -> None:
    assert await names([folder / "a" / ".secret"]) == [".secret"]


async def test_empty_folders_can_be_left_out(folder: Path) -> None:
    assert "photos/empty" not in await names([folder], AddOptions(scan=ScanOptions(empty_dirs=False)))


async def test_a_folder_needs_recursive(folder: Path) -> None:
    with pytest.raises(CannotAdd, match="use --recursive"):
        await names([folder], AddOptions(scan=ScanOptions(recursive=False)))


async def test_wrapping_keeps_the_name_of_a_single_file(folder: Path) -> None:
    store = MemoryStore()
    root = await add_root([folder / "b.txt"], store, AddOptions(wrap=True))
    assert await read(store, f"{root}/b.txt") == b"b.txt"
    assert await names([folder / "b.txt"], AddOptions(wrap=True)) == ["b.txt", ""]


async def test_only_what_nothing_else_holds_is_a_root(folder: Path) -> None:
    async def roots(options: AddOptions) -> list[str]:
        events = [event async for event in add([folder / "b.txt", folder / "a"], MemoryStore(), options)]
        return [event.name for event in events if isinstance(event, Added) and event.root]

    assert await roots(AddOptions()) == ["b.txt", "a"]
    assert await roots(AddOptions(wrap=True)) == [""]


async def test_two_sources_of_one_name_are_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "b.txt").write_text("other")
    for sources in ([folder / "b.txt", tmp_path / "b.txt"], [folder / "a", folder / "a"]):
        with pytest.raises(CannotAdd, match="two entries"):
            await names(sources)


@pytest.mark.parametrize("recipe", [UNIXFS_V0_2015, UNIXFS_V1_2025, with_options(UNIXFS_V1_2025, chunker="size-1000")])
async def test_a_path_bytes_and_streams_give_one_cid_and_read_back(tmp_path: Path, recipe) -> None:  # type: ignore[no-untyped-def]
    store = MemoryStore()
    data = os.urandom(1 << 16) * (BIG_FILE // (1 << 16)) + b"tail"
    (tmp_path / "big").write_bytes(data)

    async def pieces(size: int) -> AsyncIterator[bytes]:
        for at in range(0, len(data), size):
            yield data[at : at + size]

    options = AddOptions(recipe)
    sources: list[object] = [
        tmp_path / "big",
        data,
        Stream(pieces(99_999)),
        Stream(pieces(len(data))),
    ]
    roots = {await add_root([source], store, options) for source in sources}  # type: ignore[list-item]
    assert len(roots) == 1
    assert await read(store, str(roots.pop())) == data


@pytest.mark.parametrize("size", [0, 1, 999, 1000, 1001, 2000, 2001])
async def test_streams_of_any_length_give_the_cid_of_the_file(tmp_path: Path, size: int) -> None:
    data = bytes(size)
    (tmp_path / "f").write_bytes(data)

    async def stream() -> AsyncIterator[bytes]:
        yield b""
        yield data

    options = AddOptions(with_options(UNIXFS_V1_2025, chunker="size-1000"))
    store = MemoryStore()
    assert await add_root([Stream(stream())], store, options) == await add_root([tmp_path / "f"], store, options)


async def test_items_from_a_stream_build_a_tree_with_made_up_parents() -> None:
    async def items() -> AsyncIterator[Item]:
        yield Bytes(b"1", "t/a/one")
        yield Link("a/one", "t/link")
        yield Bytes(b"2", "t/two")
        yield Folder("t/empty")

    store = MemoryStore()
    events = [event async for event in add(items(), store)]
    assert [event.name for event in events] == ["t/a/one", "t/link", "t/two", "t/a", "t/empty", "t"]
    assert await read(store, f"{events[-1].cid}/a/one") == b"1"  # type: ignore[union-attr]


@pytest.mark.parametrize("name", ["../x", "/etc/x", "a//b", "a/./b", "a/../b", "x\0", "y" * 300])
async def test_items_with_names_that_lead_elsewhere_are_refused(name: str) -> None:
    with pytest.raises(BadName):
        await names([Bytes(b"x", name)])


async def test_a_file_cannot_be_a_folder_too() -> None:
    with pytest.raises(CannotAdd, match="both"):
        await names([Bytes(b"1", "t/a"), Bytes(b"1", "t/a/b")])


async def test_a_nameless_file_is_called_by_its_cid() -> None:
    events = [event async for event in add([b"abc"], MemoryStore())]
    assert [(event.name, event.size) for event in events] == [(str(CID.of(b"abc")), 3)]  # type: ignore[union-attr]


async def test_only_hash_stores_nothing(folder: Path) -> None:
    store = CountingStore()
    dry = await add_root([folder], store, AddOptions(only_hash=True))
    assert [page async for page in store.keys()] in ([], [[]])
    assert store.syncs == 0
    assert dry == await add_root([folder], store)


async def test_each_root_is_reported_after_a_sync_of_its_own(folder: Path) -> None:
    store, roots = CountingStore(), 0
    async for event in add([folder, folder / "b.txt"], store):
        assert isinstance(event, Added)
        if event.root:
            roots += 1
            assert store.syncs == roots
    assert roots == 2


async def test_progress_of_big_files_is_reported(tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(bytes(BIG_FILE * 10))
    events = [event async for event in add([tmp_path / "big"], MemoryStore(), AddOptions(progress=True))]
    steps = [event.bytes for event in events if isinstance(event, AddProgress)]
    assert steps and steps == sorted(steps) and steps[-1] <= BIG_FILE * 10


@posix
async def test_symlinks_are_added_as_links_or_followed_when_asked(folder: Path) -> None:
    (folder / "link").symlink_to("b.txt")
    (folder / "dirlink").symlink_to("a")
    store = MemoryStore()
    plain = await add_root([folder], store)
    followed = await add_root([folder], store, AddOptions(scan=ScanOptions(dereference=True)))
    assert await read(store, f"{followed}/link") == b"b.txt"
    assert await read(store, f"{followed}/dirlink/z.txt") == b"a/z.txt"
    assert plain != followed


@posix
async def test_followed_symlinks_that_go_round_are_refused(folder: Path) -> None:
    (folder / "a" / "up").symlink_to("..")
    with pytest.raises(CannotAdd, match="leads back"):
        await names([folder], AddOptions(scan=ScanOptions(dereference=True)))


@posix
async def test_pipes_and_sockets_are_refused_and_named(folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    with pytest.raises(CannotAdd, match="photos/pipe: it is a pipe"):
        await names([folder])
    os.unlink(folder / "pipe")
    previous = os.getcwd()
    os.chdir(folder)
    try:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind("sock")
            with pytest.raises(CannotAdd, match="it is a socket"):
                await names([folder])
    finally:
        os.chdir(previous)


@pytest.mark.parametrize("path", ["no/such/file", "a\0b"])
async def test_what_is_not_there_is_named_in_one_line(path: str) -> None:
    with pytest.raises(CannotAdd) as caught:
        await names([path])
    assert "\n" not in str(caught.value) and "cannot add" in str(caught.value)


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root reads everything")
async def test_an_unreadable_file_is_named(folder: Path) -> None:
    (folder / "b.txt").chmod(0)
    with pytest.raises(CannotAdd, match="b.txt: permission denied"):
        await names([folder])


async def test_a_file_that_grows_while_it_is_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "log"
    path.write_bytes(bytes(5000))
    real = os.fstat

    def smaller(fd: int) -> os.stat_result:
        found = list(real(fd))
        found[6] -= 100
        return os.stat_result(found)

    monkeypatch.setattr("cidery.core.adding.ingest.os.fstat", smaller)
    with pytest.raises(CannotAdd, match="changed size"):
        await names([path])


async def test_folders_too_deep_are_refused() -> None:
    with pytest.raises(TooDeep):
        await names([Bytes(b"", "/".join(["d"] * 1100))])


@posix
async def test_names_that_are_not_utf8_are_kept(tmp_path: Path) -> None:
    folder = tmp_path / "f"
    folder.mkdir()
    (Path(os.fsdecode(os.fsencode(folder) + b"/\xff\xfe"))).write_bytes(b"x")
    store = MemoryStore()
    root = await add_root([folder], store)
    block = store.get_if_ready(root)
    assert block is not None and b"\x12\x02\xff\xfe" in block


async def test_a_cancelled_add_stops_its_threads_before_it_returns(tmp_path: Path) -> None:
    with (tmp_path / "big").open("wb") as file:
        for number in range(8 * BIG_FILE // UNIXFS_V1_2025.chunk_size):
            file.write(number.to_bytes(8, "big"))
            file.seek((number + 1) * UNIXFS_V1_2025.chunk_size)
        file.truncate(8 * BIG_FILE)
    store = CountingStore()
    store.gate.clear()
    task = asyncio.create_task(add_root([tmp_path / "big"], store))
    while not store.writers:
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.sleep(0)
    store.gate.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert store.writers == 0
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("cidery-add")]
    stored = sum([len(page) async for page in store.keys()])
    assert stored < 8 * BIG_FILE // UNIXFS_V1_2025.chunk_size


async def test_an_abandoned_add_frees_its_threads(folder: Path) -> None:
    events = add([folder], MemoryStore())
    await anext(events)
    await events.aclose()  # type: ignore[attr-defined]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("cidery-add")]


async def test_nothing_to_add_is_an_error() -> None:
    with pytest.raises(CannotAdd, match="nothing"):
        await add_root([], MemoryStore())
