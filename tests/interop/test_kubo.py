"""Files and folders to and from Kubo 0.22, and what the newest one is made of: go-libp2p 0.51 with boxo 0.43."""

from collections.abc import Callable
from pathlib import Path

import pytest

from peers.cidery_daemon import CideryDaemon
from peers.line_peer import LinePeer
from peers.trees import digest

Make = Callable[..., CideryDaemon]


@pytest.fixture(params=["kubo", "go"])
def holder(request: pytest.FixtureRequest) -> LinePeer:
    peer: LinePeer = request.getfixturevalue(request.param)
    return peer


@pytest.fixture(params=["kubo", "new_go"])
def reader(request: pytest.FixtureRequest) -> LinePeer:
    """Kubo makes other CIDs than we do; the Go one must not have added the same."""
    peer: LinePeer = request.getfixturevalue(request.param)
    return peer


def test_cidery_gets_a_file(cidery: Make, holder: LinePeer, a_file: Path, tmp_path: Path) -> None:
    cid = holder.ask("add", str(a_file))["cid"]
    node = cidery()
    node.connect(holder.addr)
    node.get(cid, tmp_path / "got")
    assert digest(tmp_path / "got") == digest(a_file)


def test_cidery_gets_a_tree(cidery: Make, holder: LinePeer, a_tree: Path, tmp_path: Path) -> None:
    cid = holder.ask("add", str(a_tree))["cid"]
    node = cidery()
    node.connect(holder.addr)
    node.get(cid, tmp_path / "got")
    assert digest(tmp_path / "got") == digest(a_tree)


def test_a_file_is_fetched_from_cidery(cidery: Make, reader: LinePeer, a_file: Path, tmp_path: Path) -> None:
    node = cidery()
    cid = node.add(a_file)
    assert reader.ask("connect", node.addr)["rc"] == 0
    assert reader.ask("get", cid, str(tmp_path / "got"))["rc"] == 0
    assert digest(tmp_path / "got") == digest(a_file)


def test_a_tree_is_fetched_from_cidery(
    cidery: Make, reader: LinePeer, a_tree: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    node = cidery()
    cid = node.add(a_tree)
    assert reader.ask("connect", node.addr)["rc"] == 0
    assert reader.ask("get", cid, str(tmp_path / "got"))["rc"] == 0
    as_text = "kubo" in reader.log.parts[-2]  # its old release writes links so
    assert digest(tmp_path / "got") == digest(a_tree, links_as_text=as_text)
