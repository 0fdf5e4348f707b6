"""QUIC with real peers, both directions: connect, identify, ping, Bitswap, certificates, and peers that go away."""

import json
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from peers import installed
from peers.cidery_daemon import CideryDaemon
from peers.line_peer import LinePeer, PeerFailed
from peers.trees import digest, write_file

Make = Callable[..., CideryDaemon]
QUIC = "/ip4/127.0.0.1/udp/0/quic-v1"
ONLY_QUIC = {"Addresses.Swarm": json.dumps([QUIC])}
BOTH = {"Addresses.Swarm": json.dumps(["/ip4/127.0.0.1/tcp/0", QUIC])}
LARGE = 64 * 1024 * 1024


def _kubo(folder: Path) -> list[str]:
    return installed.kubo_command(folder / "repo", "--listen", QUIC)


def _go(folder: Path) -> list[str]:
    command = getattr(installed, "go_command", None)
    if command is None:
        pytest.skip("there is no Go peer here")
    made: list[str] = command("--listen", QUIC)
    return made


@pytest.fixture(scope="module", params=[_kubo, _go], ids=["kubo", "go"])
def peer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LinePeer]:
    """One that listens on QUIC and on nothing else."""
    folder = tmp_path_factory.mktemp("quic-peer")
    with LinePeer(request.param(folder), folder / "log") as made:
        yield made


def test_cidery_dials_and_is_seen_as_it_is(cidery: Make, peer: LinePeer) -> None:
    node = cidery(ONLY_QUIC)
    assert "/quic-v1/p2p/" in node.addr
    node.connect(peer.addr)
    assert f"{peer.addr}" in node.run("swarm", "peers")
    assert "Pong received" in node.run("ping", "-n", "2", peer.peer_id)
    told = json.loads(node.run("id", peer.peer_id))
    assert any("/quic-v1" in addr for addr in told["Addresses"])


def test_a_peer_dials_cidery(cidery: Make, peer: LinePeer) -> None:
    node = cidery(ONLY_QUIC)
    peer.ask("connect", node.addr)
    line = next(one for one in node.run("swarm", "peers").splitlines() if peer.peer_id in one)
    assert re.match(r"/ip4/127\.0\.0\.1/udp/\d+/quic-v1/p2p/", line)
    assert "Pong received" in node.run("ping", "-n", "2", peer.peer_id)


def test_a_large_file_goes_both_ways(cidery: Make, peer: LinePeer, tmp_path: Path) -> None:
    node = cidery(ONLY_QUIC)
    theirs, ours = write_file(tmp_path / "theirs", LARGE, seed=21), write_file(tmp_path / "ours", LARGE, seed=22)
    cid = peer.ask("add", str(theirs))["cid"]
    node.connect(peer.addr)
    node.get(cid, tmp_path / "got")
    assert digest(tmp_path / "got") == digest(theirs)
    cid = node.add(ours)
    peer.ask("get", cid, str(tmp_path / "got-too"))
    assert digest(tmp_path / "got-too") == digest(ours)
    assert all("/quic-v1" in line for line in node.run("swarm", "peers").splitlines())


def test_a_peer_with_another_key_is_refused_by_name(cidery: Make, peer: LinePeer) -> None:
    node, other = cidery(ONLY_QUIC), cidery(ONLY_QUIC)
    wrong = peer.addr.rpartition("/p2p/")[0] + f"/p2p/{other.peer_id}"
    with pytest.raises(PeerFailed, match=f"the peer at this address is {peer.peer_id}"):
        node.connect(wrong)


def test_a_node_on_both_is_reached_by_either(cidery: Make) -> None:
    node, by_quic, by_tcp = cidery(BOTH), cidery(ONLY_QUIC), cidery()
    tcp, quic = sorted(node.run("swarm", "addrs", "listen").split())
    assert "/tcp/" in tcp and quic.endswith("/quic-v1")
    by_quic.connect(f"{quic}/p2p/{node.peer_id}")
    by_tcp.connect(f"{tcp}/p2p/{node.peer_id}")
    assert "/quic-v1" in by_quic.run("swarm", "peers") and "/tcp/" in by_tcp.run("swarm", "peers")
    addresses = json.loads(node.run("id"))["Addresses"]
    assert {tcp, quic} <= {addr.rpartition("/p2p/")[0] for addr in addresses}


def test_a_private_network_neither_dials_nor_listens_on_quic(cidery: Make) -> None:
    node = cidery(BOTH, swarm_key="/key/swarm/psk/1.0.0/\n/base16/\n" + os.urandom(32).hex() + "\n")
    assert "quic" not in node.run("swarm", "addrs", "listen")
    outside = cidery(ONLY_QUIC)
    with pytest.raises(PeerFailed, match="no transport here"):
        node.connect(outside.addr)


def test_quic_is_switched_off_as_in_kubo(cidery: Make) -> None:
    node = cidery({**BOTH, "Swarm.Transports.Network.QUIC": "false"})
    assert "quic" not in node.run("swarm", "addrs", "listen")


def test_a_fetch_goes_on_by_tcp_when_quic_is_cut(cidery: Make, tmp_path: Path) -> None:
    first, second, reader = cidery(ONLY_QUIC), cidery(), cidery(ONLY_QUIC)
    file = write_file(tmp_path / "file", LARGE, seed=23)
    cid = first.add(file)
    assert second.add(file) == cid
    reader.connect(first.addr)
    reader.connect(second.addr)
    first.signal(9)
    reader.get(cid, tmp_path / "got")
    assert digest(tmp_path / "got") == digest(file)
