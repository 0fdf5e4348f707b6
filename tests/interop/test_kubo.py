"""Files and folders to and from Kubo 0.22."""

from collections.abc import Callable
from pathlib import Path

from peers.cidery_daemon import CideryDaemon
from peers.line_peer import LinePeer
from peers.trees import digest

Make = Callable[..., CideryDaemon]


def test_cidery_gets_a_file_from_kubo(cidery: Make, kubo: LinePeer, a_file: Path, tmp_path: Path) -> None:
    cid = kubo.ask("add", str(a_file))["cid"]
    node = cidery()
    node.connect(kubo.addr)
    node.get(cid, tmp_path / "got")
    assert digest(tmp_path / "got") == digest(a_file)


def test_cidery_gets_a_tree_from_kubo(cidery: Make, kubo: LinePeer, a_tree: Path, tmp_path: Path) -> None:
    cid = kubo.ask("add", str(a_tree))["cid"]
    node = cidery()
    node.connect(kubo.addr)
    node.get(cid, tmp_path / "got")
    assert digest(tmp_path / "got") == digest(a_tree)


def test_kubo_gets_a_file_from_cidery(cidery: Make, kubo: LinePeer, a_file: Path, tmp_path: Path) -> None:
    node = cidery()
    cid = node.add(a_file)
    assert kubo.ask("connect", node.addr)["rc"] == 0
    assert kubo.ask("get", cid, str(tmp_path / "got"))["rc"] == 0
    assert digest(tmp_path / "got") == digest(a_file)


def test_kubo_gets_a_tree_from_cidery(cidery: Make, kubo: LinePeer, a_tree: Path, tmp_path: Path) -> None:
    node = cidery()
    cid = node.add(a_tree)
    assert kubo.ask("connect", node.addr)["rc"] == 0
    assert kubo.ask("get", cid, str(tmp_path / "got"))["rc"] == 0
    assert digest(tmp_path / "got") == digest(a_tree, links_as_text=True)
