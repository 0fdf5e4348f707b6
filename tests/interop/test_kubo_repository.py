"""Importing the repository of a real Kubo 0.22, with tables and logs that LevelDB itself wrote."""

import hashlib
import json
import shutil
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from cidery.identity.keys import PrivateKey
from cidery.ipld import dag_cbor
from cidery.kubo.leveldb import LevelDb
from cidery.multiformats.cid import CID
from cidery.repo.keystore import Keystore
from peers.cidery_daemon import CideryDaemon
from peers.installed import kubo_command, require
from peers.line_peer import LinePeer, PeerFailed
from peers.trees import digest

Make = Callable[..., CideryDaemon]


def state_of(tree: Path) -> dict[str, tuple[int, int, int, str]]:
    """Of every file and folder: time of change, mode, size, hash."""
    found = {}
    for path in sorted([tree, *tree.rglob("*")]):
        info = path.lstat()
        sum = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        found[str(path)] = (info.st_mtime_ns, info.st_mode, info.st_size, sum)
    return found


def leveldb() -> Any:
    require(find_spec("plyvel") is not None, "LevelDB (plyvel)")
    return import_module("plyvel")


@pytest.fixture
def kubo_repo(tmp_path: Path, a_tree: Path) -> tuple[Path, dict[str, str]]:
    """A repository that Kubo made, stopped; and the CIDs that it added: of a tree and of a file."""
    repo = tmp_path / "kubo"
    (tmp_path / "file").write_bytes(b"a file of Kubo's" * 100_000)
    with LinePeer(kubo_command(repo), tmp_path / "kubo.log") as peer:
        cids = {
            "tree": peer.ask("add", str(a_tree))["cid"],
            "file": peer.ask("add", str(tmp_path / "file"))["cid"],
        }
    # The second start turns the log of the first into a table.
    with LinePeer(kubo_command(repo), tmp_path / "kubo.log") as peer:
        cids["peer"] = peer.peer_id
    assert list((repo / "datastore").glob("*.ldb"))
    return repo, cids


def test_data_pins_and_settings_of_kubo_come_over(
    cidery: Make, kubo_repo: tuple[Path, dict[str, str]], a_tree: Path, tmp_path: Path
) -> None:
    repo, cids = kubo_repo
    Keystore(repo / "keystore").put("site", PrivateKey.generate_ed25519(lambda n: b"\x01" * n))
    before = state_of(repo)
    node = cidery()
    node.close()
    said = node.run("repo", "import-kubo", str(repo))
    assert state_of(repo) == before
    assert "keys:          1 imported" in said and "left out:      0 " in said
    pinned = node.run("pin", "ls", "--type=recursive", "-q").split()
    assert {cids["tree"], cids["file"]} <= set(pinned)
    node.run("get", "-o", str(tmp_path / "got"), cids["tree"])
    assert digest(tmp_path / "got") == digest(a_tree)
    node.run("pin", "verify")
    node.run("repo", "verify")
    again = node.run("repo", "import-kubo", str(repo))
    assert "blocks:        0 imported" in again and "pins:          0 imported" in again
    assert state_of(repo) == before
    assert node.run("id", "-f=<id>") != cids["peer"]


def test_a_running_kubo_is_not_imported(cidery: Make, kubo: LinePeer, tmp_path: Path) -> None:
    node = cidery()
    node.close()
    with pytest.raises(PeerFailed, match="Kubo is running on .*; stop it"):
        node.run("repo", "import-kubo", str(kubo.log.parent / "repo"))


def test_mutable_files_and_thousands_of_pins_that_leveldb_compacted(
    cidery: Make, kubo_repo: tuple[Path, dict[str, str]], tmp_path: Path
) -> None:
    repo, cids = kubo_repo
    plyvel = leveldb()
    tree = CID.parse(cids["tree"])
    database = plyvel.DB(str(repo / "datastore"), write_buffer_size=1 << 16, max_file_size=1 << 20)
    database.put(b"/local/filesroot", tree.encode())
    names = {}
    for number in range(3000):
        cid = CID.of(b"block %d" % number, 0x55)
        names[str(cid)] = f"pin {number}"
        value = dag_cbor.encode({"cid": cid.encode(), "mode": 0, "name": f"pin {number}"})
        database.put(b"/pins/pin/%032x" % number, value)
        if number % 3 == 0:
            database.put(b"/pins/pin/gone%d" % number, value)
            database.delete(b"/pins/pin/gone%d" % number)
    database.close()
    database = plyvel.DB(str(repo / "datastore"))
    expected = dict(database.iterator())
    database.close()
    with LevelDb.open(repo / "datastore") as ours:
        assert dict(ours.scan(b"")) == expected
    before = state_of(repo)
    node = cidery()
    node.close()
    with pytest.raises(PeerFailed, match="3000 things could not be imported"):  # no block of these pins is there
        node.run("repo", "import-kubo", str(repo))
    assert state_of(repo) == before
    pins = json.loads(node.run("pin", "ls", "--type=recursive", "--names", "--enc=json"))["Keys"]
    assert {cid: pin["Name"] for cid, pin in pins.items() if pin["Name"]} == names
    listed = [line.split(maxsplit=2)[2].rstrip("/") for line in node.run("ls", cids["tree"]).splitlines()]
    assert listed and sorted(listed) == sorted(node.run("files", "ls", "/").splitlines())


def test_the_identity_of_kubo_is_taken_when_asked(
    cidery: Make, kubo_repo: tuple[Path, dict[str, str]], tmp_path: Path
) -> None:
    repo, cids = kubo_repo
    shutil.copytree(repo, tmp_path / "copy")
    node = cidery()
    node.close()
    node.run("repo", "import-kubo", "--identity", "--config=false", str(tmp_path / "copy"))
    assert node.run("id", "-f=<id>").strip() == cids["peer"]
