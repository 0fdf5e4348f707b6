"""TLS with peers that do not speak Noise, and with nodes of ours that do not."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from peers.cidery_daemon import CideryDaemon
from peers.installed import go_command, helia_command, kubo_command
from peers.line_peer import LinePeer
from peers.trees import digest, write_file

Make = Callable[..., CideryDaemon]
NO_NOISE = {"Swarm.Transports.Security.Noise": "false"}
NO_TLS = {"Swarm.Transports.Security.TLS": "false"}
SMALL = 3 * 1024 * 1024


@pytest.fixture(scope="module")
def tls_kubo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LinePeer]:
    folder = tmp_path_factory.mktemp("tls-kubo")
    with LinePeer(kubo_command(folder / "repo", "--tls-only"), folder / "log") as peer:
        yield peer


@pytest.fixture(scope="module")
def tls_go(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LinePeer]:
    with LinePeer(go_command("--security", "tls"), tmp_path_factory.mktemp("tls-go") / "log") as peer:
        yield peer


@pytest.fixture(scope="module")
def tls_helia(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LinePeer]:
    folder = tmp_path_factory.mktemp("tls-helia")
    with LinePeer(helia_command("--security", "tls"), folder / "log") as peer:
        yield peer


def test_cidery_dials_a_kubo_that_speaks_tls_only(cidery: Make, tls_kubo: LinePeer, tmp_path: Path) -> None:
    file = write_file(tmp_path / "file", SMALL, seed=11)
    cid = tls_kubo.ask("add", str(file))["cid"]
    node = cidery()
    node.connect(tls_kubo.addr)
    node.get(cid, tmp_path / "got")
    assert digest(tmp_path / "got") == digest(file)


def test_a_kubo_that_speaks_tls_only_dials_cidery(cidery: Make, tls_kubo: LinePeer, tmp_path: Path) -> None:
    file = write_file(tmp_path / "file", SMALL, seed=12)
    node = cidery()
    cid = node.add(file)
    assert tls_kubo.ask("connect", node.addr)["rc"] == 0
    assert tls_kubo.ask("get", cid, str(tmp_path / "got"))["rc"] == 0
    assert digest(tmp_path / "got") == digest(file)


def test_a_go_that_speaks_tls_only_and_cidery_dial_each_other(cidery: Make, tls_go: LinePeer) -> None:
    dialling, dialled = cidery(), cidery()
    dialling.connect(tls_go.addr)
    assert "Pong received" in dialling.run("ping", "-n", "1", tls_go.peer_id)
    said = tls_go.ask("connect", dialled.addr)
    assert said["security"].startswith("/tls/") and said["muxer"] == "/yamux/1.0.0"
    assert tls_go.ask("ping", dialled.peer_id)["ok"]


def test_a_helia_that_speaks_tls_only_dials_cidery(cidery: Make, tls_helia: LinePeer) -> None:
    node = cidery()
    assert tls_helia.ask("dial", node.addr)["security"].startswith("/tls/")
    assert tls_helia.ask("ping", node.peer_id)["ok"]


def test_cidery_dials_a_helia_that_speaks_tls_only(cidery: Make, tls_helia: LinePeer) -> None:
    node = cidery()
    node.connect(tls_helia.addr)
    assert "Pong received" in node.run("ping", "-n", "1", tls_helia.peer_id)


@pytest.mark.parametrize("name", ["kubo", "go"])
@pytest.mark.parametrize("config", [NO_NOISE, NO_TLS], ids=["tls", "noise"])
def test_cidery_with_one_of_the_two_and_a_peer_dial_each_other(
    cidery: Make, name: str, config: dict[str, str], request: pytest.FixtureRequest
) -> None:
    peer: LinePeer = request.getfixturevalue(name)
    dialling, dialled = cidery(config), cidery(config)
    dialling.connect(peer.addr)
    assert peer.ask("connect", dialled.addr)["rc"] == 0
    assert peer.peer_id in dialling.run("swarm", "peers")
    assert peer.peer_id in dialled.run("swarm", "peers")


def test_two_nodes_with_nothing_in_common_say_so(cidery: Make) -> None:
    from peers.line_peer import PeerFailed

    with pytest.raises(PeerFailed, match="cannot reach peer"):
        cidery(NO_NOISE).connect(cidery(NO_TLS).addr)
