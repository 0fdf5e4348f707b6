"""Files and folders to and from Helia 7. The symlinks of the tree are put and read by Helia's own UnixFS classes."""

from collections.abc import Callable
from pathlib import Path

from peers.cidery_daemon import CideryDaemon
from peers.line_peer import LinePeer
from peers.trees import digest

Make = Callable[..., CideryDaemon]


def test_cidery_gets_a_file_from_helia(cidery: Make, helia: LinePeer, a_file: Path, tmp_path: Path) -> None:
    cid = helia.ask("add", str(a_file))["cid"]
    node = cidery()
    node.connect(helia.addr)
    node.get(cid, tmp_path / "got")
    assert digest(tmp_path / "got") == digest(a_file)


def test_cidery_gets_a_tree_from_helia(cidery: Make, helia: LinePeer, a_tree: Path, tmp_path: Path) -> None:
    cid = helia.ask("adddir", str(a_tree))["cid"]
    node = cidery()
    node.connect(helia.addr)
    node.get(cid, tmp_path / "got")
    assert digest(tmp_path / "got") == digest(a_tree)


def test_helia_gets_a_file_from_cidery(cidery: Make, new_helia: LinePeer, a_file: Path, tmp_path: Path) -> None:
    node = cidery()
    cid = node.add(a_file)
    new_helia.ask("dial", node.addr)
    new_helia.ask("cat", cid, str(tmp_path / "got"))
    assert digest(tmp_path / "got") == digest(a_file)


def test_helia_gets_a_tree_from_cidery(cidery: Make, new_helia: LinePeer, a_tree: Path, tmp_path: Path) -> None:
    node = cidery()
    cid = node.add(a_tree)
    new_helia.ask("dial", node.addr)
    new_helia.ask("catdir", cid, str(tmp_path / "got"))
    assert digest(tmp_path / "got") == digest(a_tree)
