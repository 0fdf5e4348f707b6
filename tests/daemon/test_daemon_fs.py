"""The fsspec file systems through a running daemon: its repository, its RPC, and its gateway."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

fsspec = pytest.importorskip("fsspec", reason="fsspec is not installed: pip install 'cidery[fs]'")

import cidery  # noqa: E402
import cidery.fs  # noqa: E402
from cidery.fs.options import known_gateways  # noqa: E402
from peers.cidery_daemon import CideryDaemon  # noqa: E402

DATA = os.urandom(5_000_000)


class Served:
    """A daemon with a folder."""

    def __init__(self, daemon: CideryDaemon, folder: Path) -> None:
        self.daemon = daemon
        (folder / "sub").mkdir(parents=True)
        (folder / "a.txt").write_bytes(b"hello")
        (folder / "sub" / "big.bin").write_bytes(DATA)
        self.root = daemon.run("add", "-Qr", str(folder)).strip()
        self.repo = str(daemon.repo)
        self.api = (daemon.repo / "api").read_text().strip()
        self.gateway = (daemon.repo / "gateway").read_text().strip()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("fs")
    with CideryDaemon(folder / "node") as daemon:
        yield Served(daemon, folder / "in")
        cidery.fs.IPFSFileSystem().close()


@pytest.fixture(params=["repo", "rpc", "gateway"])
def fs(served: Served, request: pytest.FixtureRequest) -> cidery.fs.IPFSFileSystem:
    ways = {
        "repo": {"repo": served.repo},
        "rpc": {"via": served.api},
        "gateway": {"via": "gateway", "gateways": served.gateway},
    }
    return cidery.fs.IPFSFileSystem(skip_instance_cache=True, **ways[request.param])


def test_folders_files_and_ranges_are_read_each_way(served: Served, fs: cidery.fs.IPFSFileSystem) -> None:
    root = served.root
    assert fs.find(root) == [f"{root}/a.txt", f"{root}/sub/big.bin"]
    assert fs.cat_file(f"{root}/a.txt") == b"hello" and fs.cat_file(f"{root}/sub/big.bin") == DATA
    before = fs.blocks_read()
    assert fs.cat_file(f"{root}/sub/big.bin", 3_000_000, 3_000_100) == DATA[3_000_000:3_000_100]
    assert fs.blocks_read() - before == 1
    with fs.open(f"{root}/sub/big.bin") as file:
        file.seek(-1_500_000, 2)
        assert file.read() == DATA[-1_500_000:]
    with pytest.raises(FileNotFoundError):
        fs.info(f"{root}/nope")
    with pytest.raises(IsADirectoryError):
        fs.cat_file(f"{root}/sub")


def test_names_are_resolved_each_way(served: Served, fs: cidery.fs.IPFSFileSystem) -> None:
    served.daemon.run("name", "publish", "--allow-offline", f"/ipfs/{served.root}")
    names = cidery.fs.IPNSFileSystem(skip_instance_cache=True, **fs.storage_options)
    assert names.cat_file(f"{served.daemon.peer_id}/a.txt") == b"hello"


def test_a_link_is_one_of_the_daemons_gateway(served: Served) -> None:
    import urllib.request

    fs = cidery.fs.IPFSFileSystem(repo=served.repo)
    with urllib.request.urlopen(fs.sign(f"{served.root}/a.txt"), timeout=30) as answer:
        assert answer.read() == b"hello"


@pytest.mark.parametrize("way", ["repo", "rpc"])
def test_the_daemon_changes_its_mutable_files(served: Served, way: str) -> None:
    options = {"repo": served.repo} if way == "repo" else {"via": served.api}
    fs = cidery.fs.CideryFileSystem(**options)
    fs.makedirs(f"/{way}/folder", exist_ok=True)
    with fs.open(f"/{way}/folder/big", "wb") as file:
        file.write(DATA)
    fs.pipe_file(f"/{way}/small", b"small")
    fs.mv(f"/{way}/small", f"/{way}/folder/moved")
    fs.cp_file(f"/{way}/folder/moved", f"/{way}/copy")
    assert fs.find(f"/{way}") == [f"/{way}/copy", f"/{way}/folder/big", f"/{way}/folder/moved"]
    with fs.open(f"/{way}/copy", "ab") as file:
        file.write(b" and more")
    assert fs.cat_file(f"/{way}/copy") == b"small and more"
    assert served.daemon.run("files", "stat", "--hash", f"/{way}").strip() == fs.cid(f"/{way}")
    assert served.daemon.run("files", "read", f"/{way}/folder/moved") == "small"
    content = cidery.fs.IPFSFileSystem(**options)
    assert content.cat_file(f"{fs.cid(f'/{way}')}/folder/big") == DATA
    with pytest.raises(IsADirectoryError):
        fs.pipe_file(f"/{way}/folder", b"1")
    with pytest.raises(NotADirectoryError):
        fs.pipe_file(f"/{way}/copy/below", b"1")
    with pytest.raises(FileNotFoundError):
        fs.rm(f"/{way}/nothing")
    fs.rm(f"/{way}", recursive=True)
    assert not fs.exists(f"/{way}")


def test_a_gateway_has_no_mutable_files(served: Served) -> None:
    fs = cidery.fs.CideryFileSystem(via="gateway", gateways=served.gateway)
    for use in (lambda: fs.ls("/"), lambda: fs.pipe_file("/a", b"1")):
        with pytest.raises(OSError, match="a gateway has no mutable files"):
            use()


def test_the_environment_names_a_gateway_where_there_is_no_repository(served: Served, tmp_path: Path) -> None:
    program = f"import fsspec, cidery.fs; cidery.fs.register(); print(fsspec.open('ipfs://{served.root}/a.txt').open().read())"

    def run(gateway: str) -> subprocess.CompletedProcess[str]:
        env = {**os.environ, "HOME": str(tmp_path), "CIDERY_PATH": str(tmp_path / "none"), "IPFS_GATEWAY": gateway}
        env.pop("IPFS_PATH", None)
        return subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, timeout=60)

    assert run(served.gateway).stdout == "b'hello'\n"
    told = run("").stderr.strip().splitlines()[-1]
    assert told.startswith("OSError") and "cidery init" in told and "IPFS_GATEWAY" in told


def test_a_repository_asks_gateways_for_what_it_lacks(served: Served, tmp_path: Path) -> None:
    with cidery.open(tmp_path / "repo", profile="test", offline=True) as node:
        own = node.add(b"own")
    fs = cidery.fs.IPFSFileSystem(repo=str(tmp_path / "repo"), gateways=served.gateway)
    assert fs.cat_file(str(own)) == b"own" and fs.cat_file(f"{served.root}/sub/big.bin") == DATA


def test_gateways_are_found_in_the_environment_and_in_the_usual_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("IPFS_PATH", raising=False)
    monkeypatch.setenv("IPFS_GATEWAY", "http://a.example, http://b.example")
    assert known_gateways() == ["http://a.example", "http://b.example"]
    monkeypatch.delenv("IPFS_GATEWAY")
    (tmp_path / ".ipfs").mkdir()
    (tmp_path / ".ipfs" / "gateway").write_text("http://c.example\n")
    assert known_gateways() == ["http://c.example"]
