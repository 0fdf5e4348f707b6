"""The file systems over an embedded repository: ranges, folders, symlinks, errors, hostile content, names."""

import asyncio
import errno
import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

fsspec = pytest.importorskip("fsspec", reason="fsspec is not installed: pip install 'cidery[fs]'")
from hypothesis import given  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

import cidery  # noqa: E402
import cidery.fs  # noqa: E402
from cidery.blockstore.interface import Durability  # noqa: E402
from cidery.fs.node_cache import Recent  # noqa: E402
from cidery.ipld import dag_pb  # noqa: E402
from cidery.ipld.block import Block  # noqa: E402
from cidery.multiformats.cid import CID  # noqa: E402
from cidery.multiformats.multicodec import DAG_PB  # noqa: E402
from cidery.unixfs.data import NodeType, UnixFSData  # noqa: E402

cidery.fs.register()
DATA = os.urandom(300_000) * 11
"""Several blocks of every profile."""
IPFS = cidery.fs.IPFSFileSystem


class Repo:
    """A repository with some content."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.fs = IPFS(repo=str(path))
        self.mutable = cidery.fs.CideryFileSystem(repo=str(path))
        source = path.parent / "in"
        (source / "sub" / "deep").mkdir(parents=True)
        (source / "a.txt").write_bytes(b"hello")
        (source / "big.bin").write_bytes(DATA)
        (source / "empty").write_bytes(b"")
        (source / "odd %20 name#?.txt").write_bytes(b"odd")
        (source / "sub" / "deep" / "x").write_bytes(b"x")
        (source / "sub" / "up").symlink_to("../a.txt")
        (source / "folder-link").symlink_to("sub")
        (source / "round").symlink_to("round")
        (source / "out").symlink_to("../../../etc/passwd")
        (source / "absolute").symlink_to("/etc/passwd")
        with cidery.open(path, profile="test,unixfs-v0-2015", offline=True) as node:
            self.root = str(node.add(source))

    def put(self, *blocks: Block) -> None:
        async def put() -> None:
            async with cidery.Node(self.path, offline=True) as node:
                await node.api.store.put_many(blocks, kept=True, durability=Durability.DURABLE)

        asyncio.run(put())


@pytest.fixture(scope="module")
def repo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Repo]:
    made = Repo(tmp_path_factory.mktemp("content") / "repo")
    yield made
    made.fs.close()


def test_a_folder_is_listed_with_sizes_types_and_cids(repo: Repo) -> None:
    found = {one["name"].rpartition("/")[2]: one for one in repo.fs.ls(repo.root)}
    assert found["big.bin"]["size"] == len(DATA) and found["big.bin"]["type"] == "file"
    assert found["sub"]["type"] == "directory" and found["sub"]["size"] == 0
    assert found["folder-link"]["type"] == "directory" and found["folder-link"]["islink"]
    assert found["out"]["type"] == found["round"]["type"] == "other"
    for name in ("a.txt", "big.bin", "sub"):
        assert repo.fs.info(f"{repo.root}/{name}") == found[name]
    assert repo.fs.ls(f"ipfs://{repo.root}/", detail=False) == sorted(f"{repo.root}/{name}" for name in found)


@given(
    st.one_of(st.none(), st.integers(-4_000_000, 4_000_000)), st.one_of(st.none(), st.integers(-4_000_000, 4_000_000))
)
def test_every_range_is_that_of_a_slice(repo: Repo, start: int | None, end: int | None) -> None:
    assert repo.fs.cat_file(f"{repo.root}/big.bin", start, end) == DATA[start:end]


def test_ranges_come_from_the_segments_once_the_blocks_are_checked(repo: Repo) -> None:
    path = f"{repo.root}/big.bin"
    assert repo.fs.cat_file(path) == DATA
    with repo.fs.open(path) as file:
        file.seek(1_000_000)
        assert file.read(700_000) == DATA[1_000_000:1_700_000]
        file.seek(-5, 2)
        assert file.read() == DATA[-5:] and file.read() == b""


def test_a_range_reads_only_the_blocks_on_its_way(tmp_path: Path) -> None:
    with cidery.open(tmp_path / "repo", profile="test", offline=True) as node:  # blocks of 1 MiB
        path = str(node.add(DATA))
    fs = IPFS(repo=str(tmp_path / "repo"))
    assert fs.cat_file(path, 1_500_000, 1_500_010) == DATA[1_500_000:1_500_010]
    assert fs.blocks_read() == 2  # the root, and one part
    assert fs.cat_ranges([path, path], [0, 2_097_140], [10, 2_097_160]) == [DATA[:10], DATA[2_097_140:2_097_160]]
    assert fs.blocks_read() == 5  # of the second range, there are bytes in two
    fs.close()


def test_names_are_taken_as_they_are(repo: Repo) -> None:
    assert repo.fs.cat_file(f"{repo.root}/odd %20 name#?.txt") == b"odd"
    with fsspec.open(f"ipfs://{repo.root}/sub/../a.txt", repo=str(repo.path)) as file:
        assert file.read() == b"hello"
    assert repo.root.startswith("Qm") and IPFS._strip_protocol(f"ipfs://{repo.root}") == repo.root
    assert IPFS._strip_protocol(f"/ipfs/{repo.root}/a/") == f"{repo.root}/a"


def test_symlinks_are_followed_inside_the_tree_only(repo: Repo) -> None:
    assert repo.fs.cat_file(f"{repo.root}/sub/up") == b"hello"
    assert repo.fs.cat_file(f"{repo.root}/folder-link/deep/x") == b"x"
    with pytest.raises(OSError) as round_and_round:
        repo.fs.cat_file(f"{repo.root}/round")
    assert round_and_round.value.errno == errno.ELOOP
    for name in ("out", "absolute"):
        with pytest.raises(FileNotFoundError, match="symlink"):
            repo.fs.cat_file(f"{repo.root}/{name}")


def test_a_tree_is_saved_with_get(repo: Repo, tmp_path: Path) -> None:
    repo.fs.get(f"{repo.root}/sub", str(tmp_path / "sub"), recursive=True)
    assert (tmp_path / "sub" / "deep" / "x").read_bytes() == b"x" and (tmp_path / "sub" / "up").read_bytes() == b"hello"
    repo.fs.get_file(f"{repo.root}/big.bin", str(tmp_path / "big"))
    assert (tmp_path / "big").read_bytes() == DATA


def test_errors_are_those_of_a_file_system(repo: Repo) -> None:
    root, fs = repo.root, repo.fs
    for path in (f"{root}/nope", f"{root}/sub/nope/deeper", "no-cid", f"{root}/../.."):
        with pytest.raises(FileNotFoundError):
            fs.info(path)
        assert not fs.exists(path)
    with pytest.raises(NotADirectoryError):
        fs.info(f"{root}/a.txt/below")
    for read in (fs.cat_file, fs.open):
        with pytest.raises(IsADirectoryError):
            read(f"{root}/sub")
    with pytest.raises(FileNotFoundError, match="every CID is a root"):
        fs.ls("")
    absent = CID.of(b"nobody has this")
    with pytest.raises(OSError, match="not stored here") as missing:
        fs.cat_file(str(absent))
    assert not isinstance(missing.value, FileNotFoundError)


def test_content_cannot_be_written(repo: Repo) -> None:
    path = f"{repo.root}/new"
    for write in (
        lambda: repo.fs.pipe_file(path, b"1"),
        lambda: repo.fs.open(path, "wb"),
        lambda: repo.fs.rm(f"{repo.root}/a.txt"),
        lambda: repo.fs.mkdir(path),
        lambda: repo.fs.makedirs(path, exist_ok=True),
        lambda: repo.fs.cp_file(f"{repo.root}/a.txt", path),
        lambda: repo.fs.put_file(__file__, path),
    ):
        with pytest.raises(OSError, match="cidery:///folder") as refused:
            write()
        assert refused.value.errno == errno.EROFS


def test_a_folder_of_very_many_entries_is_listed_and_searched(repo: Repo) -> None:
    names = [f"entry-{number:05}.txt" for number in range(6000)]
    source = repo.path.parent / "many"
    source.mkdir()
    for name in names:
        (source / name).write_text(name)
    with cidery.open(repo.path, offline=True) as node:
        root = str(node.add(source))
    fresh = IPFS(repo=str(repo.path), skip_instance_cache=True)
    assert fresh.cat_file(f"{root}/{names[4321]}") == names[4321].encode()
    assert fresh.ls(root, detail=False) == [f"{root}/{name}" for name in names]
    with pytest.raises(FileNotFoundError):
        fresh.info(f"{root}/entry-99999.txt")


def test_keys_are_cids_and_links_lead_to_the_same_bytes(repo: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    path = f"{repo.root}/a.txt"
    assert repo.fs.ukey(path) == repo.fs.checksum(path) == repo.fs.cid(path) == repo.fs.info(path)["cid"]
    with pytest.raises(OSError, match="IPFS_GATEWAY"):
        repo.fs.sign(path)
    assert repo.fs.modified(path).year == 1970


def test_file_systems_and_files_survive_pickling(repo: Repo) -> None:
    again = pickle.loads(pickle.dumps(repo.fs))
    assert again.cat_file(f"{repo.root}/a.txt") == b"hello"
    with repo.fs.open(f"{repo.root}/big.bin") as file:
        file.seek(10)
        copy = pickle.loads(pickle.dumps(file))
    assert copy.tell() == 10 and copy.read(5) == DATA[10:15]


def test_a_file_that_lies_about_its_size_is_an_error(repo: Repo) -> None:
    leaf = CID.of(b"12345")
    data = UnixFSData(NodeType.FILE, None, 1 << 60, (1 << 60,)).encode()
    node = dag_pb.encode((dag_pb.Link(leaf, "", 5),), data)
    root = CID.of(node, DAG_PB)
    repo.put(Block(leaf, b"12345"), Block(root, node))
    assert repo.fs.info(str(root))["size"] == 1 << 60
    for start, end in ((0, 10), (None, None), (1 << 40, (1 << 40) + 1)):
        with pytest.raises(OSError, match="its parent says"):
            repo.fs.cat_file(str(root), start, end)


def test_a_folder_with_names_that_lead_out_of_it_is_not_listed(repo: Repo, tmp_path: Path) -> None:
    leaf = CID.of(b"evil")
    folder = dag_pb.encode((dag_pb.Link(leaf, "../../evil", 4),), UnixFSData(NodeType.DIRECTORY).encode())
    root = CID.of(folder, DAG_PB)
    repo.put(Block(leaf, b"evil"), Block(root, folder))
    with pytest.raises(OSError, match="no path can name"):
        repo.fs.get(str(root), str(tmp_path / "in" / "out"), recursive=True)
    assert not (tmp_path / "evil").exists()


def test_a_damaged_block_is_an_error(repo: Repo) -> None:
    data = os.urandom(5000)
    with cidery.open(repo.path, offline=True) as node:
        cid = node.add(data)
    for segment in (repo.path / "blocks").glob("*.car"):
        at = segment.read_bytes().find(data)
        if at >= 0:
            with segment.open("r+b") as file:
                file.seek(at + 100)
                file.write(bytes([data[100] ^ 1]))
    repo.fs.close()  # what was read before in this process is believed
    with pytest.raises(OSError, match="damaged"):
        repo.fs.cat_file(str(cid))


def test_what_is_denied_is_not_read(repo: Repo) -> None:
    lists = repo.path / "denylists"
    lists.mkdir(exist_ok=True)
    (lists / "own.deny").write_text(f"/ipfs/{repo.root}/a.txt\n")
    repo.fs.close()
    try:
        with pytest.raises(PermissionError):
            repo.fs.cat_file(f"{repo.root}/a.txt", 0, 3)
        assert repo.fs.cat_file(f"{repo.root}/sub/deep/x") == b"x"
    finally:
        (lists / "own.deny").unlink()
        repo.fs.close()


def test_a_name_is_resolved_and_then_believed_for_a_while(repo: Repo) -> None:
    fs = cidery.fs.IPNSFileSystem(repo=str(repo.path))
    with cidery.open(repo.path, offline=True) as node:
        name = node.peer_id()
    with pytest.raises(FileNotFoundError):
        fs.info(name)
    done = run(repo, "name", "publish", "--allow-offline", f"/ipfs/{repo.root}/sub")
    assert name_of(done) != ""
    for way in (name, name_of(done)):
        assert fs.cat_file(f"{way}/deep/x") == b"x"
    with fsspec.open(f"ipns://{name}/up", repo=str(repo.path)) as file:
        run(repo, "name", "publish", "--allow-offline", f"/ipfs/{repo.root}")
        assert file.read() == b"hello" and fs.exists(f"{name}/deep/x")


def run(repo: Repo, *words: str) -> str:
    command = [sys.executable, "-m", "cidery", *words]
    return subprocess.run(
        command, env={**os.environ, "CIDERY_PATH": str(repo.path)}, check=True, capture_output=True, text=True
    ).stdout


def name_of(text: str) -> str:
    """Of `Published to NAME: /ipfs/...`."""
    return text.split()[2].rstrip(":")


def test_recent_values_are_bounded_by_their_weight() -> None:
    recent: Recent[str] = Recent(10)
    recent.put("a", "A", 6)
    recent.put("b", "B", 4)
    assert recent.get("a") == "A"
    recent.put("c", "C", 4)  # b is the one used longest ago
    assert recent.get("b") is None and recent.get("a") == "A" and recent.get("c") == "C"
    recent.put("d", "D", 11)
    assert recent.get("d") is None and recent.get("a") == "A"
