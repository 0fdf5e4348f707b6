"""Clients of the gateway that others wrote: @helia/verified-fetch, ipfsspec, and curl."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from peers.cidery_daemon import CideryDaemon
from peers.installed import require, verified_fetch_command
from peers.line_peer import LinePeer
from peers.trees import write_file

SIZE = 3_000_000


class Served:
    """A daemon, what it serves, and that with another one that has nothing but a line to the first."""

    def __init__(self, owner: CideryDaemon, node: CideryDaemon, folder: Path) -> None:
        self.url = (node.repo / "gateway").read_text().strip()
        tree = folder / "tree"
        (tree / "sub").mkdir(parents=True)
        self.content = write_file(tree / "sub" / "big.bin", SIZE).read_bytes()
        (tree / "hello.txt").write_text("hello\n")
        self.tree = owner.add(tree)
        self.file = owner.run("resolve", f"/ipfs/{self.tree}/sub/big.bin").strip().removeprefix("/ipfs/")
        (folder / "value.json").write_text('{"at": [1, 2.5, null], "said": "hello"}')
        put = ("dag", "put", "--store-codec", "dag-json", "--input-codec", "dag-json", str(folder / "value.json"))
        self.value = owner.run(*put).strip()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("clients")
    with CideryDaemon(folder / "owner") as owner, CideryDaemon(folder / "node") as node:
        node.connect(owner.addr)
        yield Served(owner, node, folder)


@pytest.fixture(scope="module")
def verified_fetch(served: Served, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LinePeer]:
    log = tmp_path_factory.mktemp("verified-fetch") / "log"
    with LinePeer(verified_fetch_command(served.url), log) as peer:
        yield peer


def test_verified_fetch_gets_a_file_and_verifies_it(served: Served, verified_fetch: LinePeer, tmp_path: Path) -> None:
    got = verified_fetch.ask("fetch", f"ipfs://{served.file}", str(tmp_path / "got"))
    assert got["status"] == 200
    assert (tmp_path / "got").read_bytes() == served.content


def test_verified_fetch_follows_a_path_and_reads_a_part(
    served: Served, verified_fetch: LinePeer, tmp_path: Path
) -> None:
    url = f"ipfs://{served.tree}/sub/big.bin"
    verified_fetch.ask("fetch", f"ipfs://{served.tree}/hello.txt", str(tmp_path / "hello"))
    assert (tmp_path / "hello").read_text() == "hello\n"
    got = verified_fetch.ask("fetch", url, str(tmp_path / "part"), {"Range": "bytes=1000000-1000099"})
    assert (got["status"], got["range"]) == (206, f"bytes 1000000-1000099/{SIZE}")
    assert (tmp_path / "part").read_bytes() == served.content[1_000_000:1_000_100]


def test_verified_fetch_reads_dag_json(served: Served, verified_fetch: LinePeer) -> None:
    got = verified_fetch.ask("json", f"ipfs://{served.value}")
    assert got["value"] == {"at": [1, 2.5, None], "said": "hello"}


@pytest.fixture(scope="module")
def filesystem(served: Served) -> Any:
    ipfsspec = pytest.importorskip("ipfsspec", reason="ipfsspec is not installed: run make peers")
    return ipfsspec.AsyncIPFSFileSystem(gateway_addr=served.url, skip_instance_cache=True)


def test_ipfsspec_lists_a_directory_and_knows_its_files(served: Served, filesystem: Any) -> None:
    assert set(filesystem.ls(served.tree, detail=False)) == {f"{served.tree}/hello.txt", f"{served.tree}/sub"}
    kinds = {entry["name"].rpartition("/")[2]: entry["type"] for entry in filesystem.ls(served.tree, detail=True)}
    assert kinds == {"hello.txt": "file", "sub": "directory"}
    assert filesystem.info(f"{served.tree}/sub/big.bin")["size"] == SIZE
    assert not filesystem.exists(f"{served.tree}/sub/other.bin")


def test_ipfsspec_opens_and_reads_and_seeks(served: Served, filesystem: Any) -> None:
    assert filesystem.cat(f"{served.tree}/hello.txt") == b"hello\n"
    with filesystem.open(f"{served.tree}/sub/big.bin") as file:
        file.seek(2_000_001)
        assert file.read(500) == served.content[2_000_001:2_000_501]
        file.seek(-10, os.SEEK_END)
        assert file.read() == served.content[-10:]
    assert filesystem.cat_file(served.file, start=5, end=15) == served.content[5:15]


class Curl:
    """The answer to one command line."""

    def __init__(self, *words: str) -> None:
        require(shutil.which("curl") is not None, "curl")
        done = subprocess.run(["curl", "-sS", "-i", *words], capture_output=True, timeout=60, check=True)
        head, _, self.body = done.stdout.partition(b"\r\n\r\n")
        status, *lines = head.decode("latin-1").split("\r\n")
        self.status = int(status.split()[1])
        self.headers = {name.lower(): text.strip() for name, _, text in (line.partition(":") for line in lines)}


@pytest.mark.parametrize(
    ("wanted", "first", "last"),
    [("1000000-1000099", 1_000_000, 1_000_099), ("-500", SIZE - 500, SIZE - 1), ("2999000-", 2_999_000, SIZE - 1)],
)
def test_curl_gets_a_part(served: Served, wanted: str, first: int, last: int) -> None:
    got = Curl("-r", wanted, f"{served.url}/ipfs/{served.file}")
    assert (got.status, got.headers["content-range"]) == (206, f"bytes {first}-{last}/{SIZE}")
    assert got.body == served.content[first : last + 1]


def test_curl_gets_several_parts_at_once(served: Served) -> None:
    got = Curl("-r", "0-9,1500000-1500009,-10", f"{served.url}/ipfs/{served.file}")
    assert got.status == 206
    kind, _, boundary = got.headers["content-type"].partition("; boundary=")
    assert kind == "multipart/byteranges"
    parts = got.body.split(f"--{boundary.strip(chr(34))}".encode())[1:-1]
    bodies = [part.partition(b"\r\n\r\n")[2].removesuffix(b"\r\n") for part in parts]
    assert bodies == [served.content[:10], served.content[1_500_000:1_500_010], served.content[-10:]]


def test_curl_goes_on_where_it_was_interrupted(served: Served, tmp_path: Path) -> None:
    target = tmp_path / "file"
    target.write_bytes(served.content[:1_234_567])
    command = ["curl", "-sS", "-C", "-", "-o", str(target), "-w", "%{http_code} %{size_download}"]
    done = subprocess.run([*command, f"{served.url}/ipfs/{served.file}"], capture_output=True, timeout=60, check=True)
    assert done.stdout.split() == [b"206", str(SIZE - 1_234_567).encode()]
    assert target.read_bytes() == served.content


def test_curl_asks_for_the_head_and_whether_it_has_changed(served: Served) -> None:
    url = f"{served.url}/ipfs/{served.tree}/sub/big.bin"
    head = Curl("-I", url)
    assert (head.status, head.headers["content-length"], head.body) == (200, str(SIZE), b"")
    assert head.headers["etag"] == f'"{served.file}"' and head.headers["accept-ranges"] == "bytes"
    again = Curl("-H", f"If-None-Match: {head.headers['etag']}", url)
    assert (again.status, again.body) == (304, b"")
    assert Curl("-H", 'If-None-Match: "other"', "-r", "0-1", url).status == 206
