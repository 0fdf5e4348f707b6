"""Private networks with real peers that have the same swarm.key, another one, or none."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from peers.cidery_daemon import CideryDaemon
from peers.installed import go_command, helia_command, kubo_command
from peers.line_peer import LinePeer, PeerFailed
from peers.trees import digest, write_file

Make = Callable[..., CideryDaemon]
KEY, OTHER_KEY = "5c" * 32, "a3" * 32
SMALL = 3 * 1024 * 1024
REFUSED_SECONDS = 20.0
"""Longest time until a peer outside the network is given up: a command's start, and the wait for a dial."""


def swarm_key(key: str) -> str:
    """The file, as Kubo's tools write it."""
    return f"/key/swarm/psk/1.0.0/\n/base16/\n{key}\n"


@pytest.fixture(scope="module")
def private_kubo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LinePeer]:
    folder = tmp_path_factory.mktemp("private-kubo")
    with LinePeer(kubo_command(folder / "repo", "--swarm-key", KEY), folder / "log") as peer:
        yield peer


@pytest.fixture(scope="module")
def private_go(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LinePeer]:
    command = go_command("--swarm-key", KEY)
    with LinePeer(command, tmp_path_factory.mktemp("private-go") / "log", {"LIBP2P_FORCE_PNET": "1"}) as peer:
        yield peer


@pytest.fixture(scope="module")
def private_helia(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LinePeer]:
    folder = tmp_path_factory.mktemp("private-helia")
    with LinePeer(helia_command("--swarm-key", KEY), folder / "log") as peer:
        yield peer


@pytest.mark.parametrize("name", ["private_kubo", "private_go"])
def test_cidery_dials_a_peer_with_the_same_key_and_gets_a_file(
    cidery: Make, name: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    peer: LinePeer = request.getfixturevalue(name)
    file = write_file(tmp_path / "file", SMALL, seed=21)
    cid = peer.ask("add", str(file))["cid"]
    node = cidery(swarm_key=swarm_key(KEY))
    node.connect(peer.addr)
    node.get(cid, tmp_path / "got")
    assert digest(tmp_path / "got") == digest(file)


@pytest.mark.parametrize("name", ["private_kubo", "private_go"])
def test_a_peer_with_the_same_key_dials_cidery_and_gets_a_file(
    cidery: Make, name: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    peer: LinePeer = request.getfixturevalue(name)
    file = write_file(tmp_path / "file", SMALL, seed=22)
    node = cidery(swarm_key=swarm_key(KEY))
    cid = node.add(file)
    assert peer.ask("connect", node.addr)["rc"] == 0
    assert peer.ask("get", cid, str(tmp_path / "got"))["rc"] == 0
    assert digest(tmp_path / "got") == digest(file)


def test_cidery_dials_a_helia_with_the_same_key_and_gets_a_file(
    cidery: Make, private_helia: LinePeer, tmp_path: Path
) -> None:
    file = write_file(tmp_path / "file", SMALL, seed=23)
    cid = private_helia.ask("add", str(file))["cid"]
    node = cidery(swarm_key=swarm_key(KEY))
    node.connect(private_helia.addr)
    node.get(cid, tmp_path / "got")
    assert digest(tmp_path / "got") == digest(file)


def test_a_helia_with_the_same_key_dials_cidery_and_gets_a_file(
    cidery: Make, private_helia: LinePeer, tmp_path: Path
) -> None:
    file = write_file(tmp_path / "file", SMALL, seed=24)
    node = cidery(swarm_key=swarm_key(KEY))
    cid = node.add(file)
    private_helia.ask("dial", node.addr)
    private_helia.ask("cat", cid, str(tmp_path / "got"))
    assert digest(tmp_path / "got") == digest(file)


@pytest.mark.parametrize("key", ["", swarm_key(OTHER_KEY)], ids=["none", "another"])
@pytest.mark.parametrize("peer", ["private_kubo", "private_go", "private_helia"])
def test_cidery_without_the_key_is_refused_by_a_private_peer(
    cidery: Make, request: pytest.FixtureRequest, peer: str, key: str
) -> None:
    private: LinePeer = request.getfixturevalue(peer)
    node = cidery(swarm_key=key)
    began = time.monotonic()
    with pytest.raises(PeerFailed, match="cannot reach peer"):
        node.connect(private.addr)
    assert time.monotonic() - began < REFUSED_SECONDS
    assert private.peer_id not in node.run("swarm", "peers")


@pytest.mark.parametrize("peer", ["kubo", "helia"])
def test_cidery_in_a_private_network_refuses_to_stay_with_a_public_peer_and_says_why(
    cidery: Make, request: pytest.FixtureRequest, peer: str
) -> None:
    public: LinePeer = request.getfixturevalue(peer)
    node = cidery(swarm_key=swarm_key(KEY))
    began = time.monotonic()
    with pytest.raises(PeerFailed, match=r"swarm\.key"):
        node.connect(public.addr)
    assert time.monotonic() - began < REFUSED_SECONDS
    assert public.peer_id not in node.run("swarm", "peers")


@pytest.mark.parametrize("peer", ["kubo", "helia", "private_kubo", "private_helia"])
def test_a_peer_without_the_key_cannot_dial_a_private_cidery(
    cidery: Make, request: pytest.FixtureRequest, peer: str
) -> None:
    stranger: LinePeer = request.getfixturevalue(peer)
    node = cidery(swarm_key=swarm_key(OTHER_KEY))
    began = time.monotonic()
    assert not dialled(stranger, node.addr)
    assert time.monotonic() - began < REFUSED_SECONDS
    assert stranger.peer_id not in node.run("swarm", "peers")


def dialled(peer: LinePeer, addr: str) -> bool:
    """Whether a Kubo or a Helia could connect."""
    try:
        return peer.ask("connect", addr)["rc"] == 0
    except PeerFailed:
        pass  # a Helia knows another word
    try:
        peer.ask("dial", addr)
    except PeerFailed:
        return False
    return True
