import asyncio
import os
import stat
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from cidery.blockstore.interface import Durability
from cidery.blockstore.memory import MemoryStore
from cidery.core.adding.add import AddOptions, add_root
from cidery.core.adding.items import ScanOptions
from cidery.core.getting.get import GetProgress, get, part_key
from cidery.core.getting.target import (
    PART_SUFFIX,
    CannotWrite,
    InTheWay,
    Target,
    UnsafeName,
    check_safe_name,
    part_name,
)
from cidery.core.session import NotStored, StoreSession
from cidery.ipld import dag_pb
from cidery.ipld.block import Block
from cidery.multiformats.cid import CID
from cidery.multiformats.multicodec import DAG_PB
from cidery.unixfs.data import NodeType, UnixFSData
from cidery.unixfs.directory import DirectoryEntry, directory
from cidery.unixfs.importer import leaf, symlink
from cidery.unixfs.layout import Child
from cidery.unixfs.metadata import Mtime
from cidery.unixfs.profile import UNIXFS_V0_2015, UNIXFS_V1_2025, with_options

pytestmark = pytest.mark.skipif(os.name == "nt", reason="POSIX trees")
SMALL = with_options(UNIXFS_V1_2025, chunker="size-65536", max_links=4)


class CountingSession(StoreSession):
    """Counts the blocks that are asked for."""

    def __init__(self, store: MemoryStore) -> None:
        super().__init__(store)
        self.asked: list[CID] = []

    def get_if_ready(self, cid: CID) -> bytes | None:
        self.asked.append(cid)
        return super().get_if_ready(cid)


@pytest.fixture(autouse=True, params=["descriptors", "paths"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test runs twice: with directory descriptors, and as on platforms without them."""
    if request.param == "paths":
        monkeypatch.setattr("cidery.core.getting.target._DIR_FDS", False)


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


async def fetch(root: CID, store: MemoryStore, out: Path) -> GetProgress:
    steps = [step async for step in get(root, StoreSession(store), out)]
    assert steps[-1].done
    return steps[-1]


async def put(store: MemoryStore, *blocks: Block) -> CID:
    await store.put_many(blocks, kept=True, durability=Durability.VISIBLE)
    return blocks[-1].cid


async def evil(store: MemoryStore, entries: Sequence[tuple[str, Child]]) -> CID:
    """A directory with links that directory() would refuse to write, in the given order."""
    links = [dag_pb.Link(child.cid, name, child.tsize) for name, child in entries]
    encoded = dag_pb.encode(links, UnixFSData(NodeType.DIRECTORY).encode())
    return await put(store, Block(CID.of(encoded, DAG_PB), encoded))


async def text(store: MemoryStore, data: bytes = b"evil") -> Child:
    child, block = leaf(UNIXFS_V1_2025, data)
    await put(store, block)
    return child


async def link(store: MemoryStore, target: str) -> Child:
    child, block = symlink(UNIXFS_V1_2025, target)
    await put(store, block)
    return child


async def folder(store: MemoryStore, entries: Sequence[tuple[str, Child]]) -> Child:
    blocks: list[Block] = []
    child = directory(
        UNIXFS_V1_2025, [DirectoryEntry(name, one.cid, one.tsize) for name, one in entries], blocks.append
    )
    await put(store, blocks[-1])
    return child


def snapshot(root: Path) -> dict[str, object]:
    found: dict[str, object] = {}
    for path in sorted(root.rglob("*")):
        name = str(path.relative_to(root))
        found[name] = os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else None
    return found


def make_tree(root: Path) -> Path:
    (root / "sub" / "deep").mkdir(parents=True)
    (root / "empty").mkdir()
    (root / "big").write_bytes(os.urandom(3_000_000))
    (root / "sub" / "small").write_text("small")
    (root / "sub" / "nothing").touch()
    (root / "sub" / "deep" / "link").symlink_to("../small")
    (root / "outside").symlink_to("/etc/passwd")
    (root / "broken").symlink_to("no/where")
    return root


@pytest.mark.parametrize("recipe", [SMALL, UNIXFS_V0_2015])
async def test_a_tree_comes_back_as_it_was(store: MemoryStore, tmp_path: Path, out: Path, recipe) -> None:  # type: ignore[no-untyped-def]
    source = make_tree(tmp_path / "in")
    root = await add_root([source], store, AddOptions(recipe))
    done = await fetch(root, store, out)
    assert snapshot(out) == snapshot(source)
    assert (done.written, done.reused) == (3_000_005, 0)
    assert not list(tmp_path.rglob(f"*{PART_SUFFIX}"))


async def test_single_files_and_links_are_written_under_the_target_name(store: MemoryStore, out: Path) -> None:
    await fetch((await text(store, b"x")).cid, store, out)
    assert out.read_bytes() == b"x"
    await fetch((await link(store, "to")).cid, store, out)
    assert os.readlink(out) == "to"
    await fetch((await text(store, b"")).cid, store, out)
    assert not out.is_symlink() and out.read_bytes() == b""


async def test_modes_and_times_are_restored(store: MemoryStore, tmp_path: Path, out: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    (source / "f").write_text("x")
    (source / "f").chmod(0o640)
    (source / "s").symlink_to("f")
    for name in ("f", "s"):
        os.utime(source / name, ns=(1_600_000_000_000_000_005,) * 2, follow_symlinks=False)
    source.chmod(0o750)
    os.utime(source, (1_500_000_000,) * 2)
    options = AddOptions(UNIXFS_V0_2015, ScanOptions(preserve_mode=True, preserve_mtime=True))
    await fetch(await add_root([source], store, options), store, out)
    assert stat.S_IMODE(out.stat().st_mode) == 0o750 and out.stat().st_mtime == 1_500_000_000
    assert stat.S_IMODE((out / "f").stat().st_mode) == 0o640
    assert (out / "f").stat().st_mtime_ns == (out / "s").lstat().st_mtime_ns == 1_600_000_000_000_000_005


async def test_set_user_id_is_not_restored_and_absurd_times_do_no_harm(store: MemoryStore, out: Path) -> None:
    child, block = leaf(UNIXFS_V0_2015, b"x", 0o6755, Mtime((1 << 63) - 1, 999_999_999))
    await put(store, block)
    await fetch(child.cid, store, out)
    assert stat.S_IMODE(out.stat().st_mode) == 0o755


@pytest.mark.parametrize("name", ["..", ".", "", "../escaped", "/escaped", "a/../../escaped", "x\0y"])
async def test_names_that_lead_elsewhere_are_refused(store: MemoryStore, tmp_path: Path, out: Path, name: str) -> None:
    root = await evil(store, [(name, await text(store))])
    with pytest.raises(UnsafeName, match="refused to write"):
        await fetch(root, store, out)
    assert [path for path in tmp_path.rglob("*") if path != out] == []


async def test_a_folder_with_an_evil_name_is_refused_too(store: MemoryStore, tmp_path: Path, out: Path) -> None:
    root = await evil(store, [("..", await folder(store, [("escaped", await text(store))]))])
    with pytest.raises(UnsafeName):
        await fetch(root, store, out)
    assert not (tmp_path / "escaped").exists()


@pytest.mark.parametrize(
    "name",
    [
        "a\\b",
        "..\\x",
        "c:x",
        "NUL",
        "nul.txt",
        "COM1",
        "lpt9.log",
        "CON ",
        "x.",
        "x ",
        "a\x01b",
        "a:b",
        "what?",
        "CONIN$",
    ],
)
def test_names_with_a_meaning_on_windows_are_refused_there(name: str) -> None:
    check_safe_name(name, windows=False)
    with pytest.raises(UnsafeName):
        check_safe_name(name, windows=True)


async def test_nothing_is_written_through_a_link_of_the_same_tree(
    store: MemoryStore, tmp_path: Path, out: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    root = await evil(
        store,
        [
            ("x", await link(store, str(outside))),
            ("x", await folder(store, [("pwned", await text(store))])),
            ("y", await folder(store, [("z", await link(store, "../../outside"))])),
        ],
    )
    await fetch(root, store, out)
    assert list(outside.iterdir()) == []
    assert os.readlink(out / "x") == str(outside)


async def test_nothing_is_written_through_a_link_that_is_in_the_target(
    store: MemoryStore, tmp_path: Path, out: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("mine")
    out.mkdir()
    (out / "sub").symlink_to(outside)
    (out / "file").symlink_to(outside / "file")
    root = await folder(store, [("file", await text(store))])
    await fetch(root.cid, store, out)
    assert (outside / "file").read_text() == "mine"
    assert not (out / "file").is_symlink() and (out / "file").read_bytes() == b"evil"
    nested = await folder(store, [("sub", root)])
    with pytest.raises(InTheWay, match="something that is not a directory"):
        await fetch(nested.cid, store, out)
    assert snapshot(outside) == {"file": b"mine"}


async def test_a_part_file_that_is_a_link_is_not_written_through(store: MemoryStore, tmp_path: Path, out: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    root = await add_root([os.urandom(200_000)], store, AddOptions(SMALL))
    (tmp_path / part_name(out.name, part_key(root))).symlink_to(tmp_path / "mine")
    with pytest.raises(CannotWrite):
        await fetch(root, store, out)
    assert (tmp_path / "mine").read_text() == "mine"


async def test_a_directory_in_the_way_of_a_file_is_named(store: MemoryStore, out: Path) -> None:
    (out / "x").mkdir(parents=True)
    root = await folder(store, [("x", await text(store))])
    with pytest.raises(InTheWay, match="a directory is there"):
        await fetch(root.cid, store, out)


async def test_other_files_in_the_target_are_left_alone(store: MemoryStore, out: Path) -> None:
    out.mkdir()
    (out / "mine").write_text("mine")
    await fetch((await folder(store, [("x", await text(store))])).cid, store, out)
    assert snapshot(out) == {"mine": b"mine", "x": b"evil"}


@pytest.mark.parametrize("recipe", [SMALL, with_options(SMALL, raw_leaves=False)])
async def test_a_second_run_reads_no_leaf_and_writes_nothing(
    store: MemoryStore,
    tmp_path: Path,
    out: Path,
    recipe,  # type: ignore[no-untyped-def]
) -> None:
    root = await add_root([make_tree(tmp_path / "in")], store, AddOptions(recipe))
    await fetch(root, store, out)
    before = {path: path.lstat().st_ino for path in out.rglob("*")}
    session = CountingSession(store)
    last = [step async for step in get(root, session, out)][-1]
    assert last.reused == last.written == 3_000_005
    assert {path: path.lstat().st_ino for path in out.rglob("*")} == before
    if recipe.raw_leaves:
        assert all(cid.codec == DAG_PB for cid in session.asked)
    assert len(session.asked) < 30


async def test_a_stopped_file_goes_on_where_it_was(store: MemoryStore, out: Path) -> None:
    data = os.urandom(3_000_000)
    root = await add_root([data], store, AddOptions(SMALL))
    leaves = [CID.of(data[at : at + 65536]) for at in range(0, len(data), 65536)]
    held = store.get_if_ready(leaves[30])
    await store.delete_many([leaves[30]])
    with pytest.raises(NotStored):
        await fetch(root, store, out)
    assert not out.exists()
    parts = list(out.parent.glob(f".*{PART_SUFFIX}"))
    assert len(parts) == 1
    os.truncate(parts[0], 20 * 65536)
    assert held is not None
    await put(store, Block(leaves[30], held))
    session = CountingSession(store)
    async for _ in get(root, session, out):
        pass
    assert out.read_bytes() == data
    assert set(leaves[:20]).isdisjoint(session.asked)
    assert set(leaves[20:]) <= set(session.asked)
    assert list(out.parent.iterdir()) == [out]


async def test_damage_in_an_older_copy_is_found_and_only_that_is_fetched(store: MemoryStore, out: Path) -> None:
    data = os.urandom(1_000_000)
    root = await add_root([data], store, AddOptions(SMALL))
    out.write_bytes(data[:100_000] + bytes([data[100_000] ^ 1]) + data[100_001:] + b"and more")
    done = await fetch(root, store, out)
    assert out.read_bytes() == data
    assert done.reused == 1_000_000 - 65536


async def test_a_file_that_became_longer_is_cut(store: MemoryStore, out: Path) -> None:
    data = os.urandom(500_000)
    root = await add_root([data], store, AddOptions(SMALL))
    out.write_bytes(data + b"tail")
    await fetch(root, store, out)
    assert out.read_bytes() == data


async def test_a_cancelled_get_leaves_nothing_that_looks_whole(store: MemoryStore, tmp_path: Path, out: Path) -> None:
    root = await add_root([make_tree(tmp_path / "in")], store, AddOptions(SMALL))

    class Stalling(StoreSession):
        reads = 0

        def get_if_ready(self, cid: CID) -> bytes | None:
            return None

        async def get(self, cid: CID) -> bytes:
            self.reads += 1
            if self.reads > 40:
                await asyncio.Event().wait()
            return await super().get(cid)

    session = Stalling(store)

    async def run() -> None:
        async for _ in get(root, session, out):
            pass

    task = asyncio.create_task(run())
    while session.reads <= 40:
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not (out / "big").exists()
    await fetch(root, store, out)
    assert snapshot(out) == snapshot(tmp_path / "in")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root writes everywhere")
async def test_a_target_without_permission_is_named(store: MemoryStore, tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0o500)
    with pytest.raises(CannotWrite, match="permission denied"):
        await fetch((await text(store)).cid, store, tmp_path / "closed" / "out")


async def test_a_target_below_a_file_is_named(store: MemoryStore, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(CannotWrite, match="cannot write"):
        await fetch((await text(store)).cid, store, tmp_path / "file" / "out")


async def test_the_root_directory_is_no_target(store: MemoryStore) -> None:
    with pytest.raises(UnsafeName):
        await fetch((await text(store)).cid, store, Path("/"))


async def test_descriptors_do_not_leak(store: MemoryStore, tmp_path: Path, out: Path) -> None:
    if not Path("/proc/self/fd").exists():
        pytest.skip("no /proc here")
    root = await add_root([make_tree(tmp_path / "in")], store, AddOptions(SMALL))
    await fetch(root, store, out)
    before = len(os.listdir("/proc/self/fd"))
    await fetch(root, store, out)
    bad = await evil(store, [("a", await text(store)), ("..", await text(store))])
    with pytest.raises(UnsafeName):
        await fetch(bad, store, out)
    assert len(os.listdir("/proc/self/fd")) == before


def test_the_same_content_under_two_names_is_written_at_the_same_time_without_mixing(tmp_path):
    one, other = Target(tmp_path / "one"), Target(tmp_path / "other")
    (first, _), (second, _) = one.open_part((), "CID"), other.open_part((), "CID")
    os.write(first, b"first")
    os.write(second, b"second")
    one.commit_part((), "CID", first)
    other.commit_part((), "CID", second)
    assert (tmp_path / "one").read_bytes() == b"first" and (tmp_path / "other").read_bytes() == b"second"


def test_two_that_write_one_file_do_not_mix_the_second_is_told(tmp_path):
    if sys.platform == "win32":
        pytest.skip("no locks of this kind")
    one, other = Target(tmp_path / "file"), Target(tmp_path / "file")
    fd, _ = one.open_part((), "CID")
    with pytest.raises(CannotWrite, match="another command is writing it"):
        other.open_part((), "CID")
    one.commit_part((), "CID", fd)
    os.close(other.open_part((), "CID")[0])
