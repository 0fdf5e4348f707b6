"""Hole punching between nodes of ours over loopback: the exchange, both roles, TCP and QUIC, and what moves."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from peers.cidery_daemon import CideryDaemon
from peers.installed import go_command
from peers.line_peer import LinePeer
from peers.trees import digest, write_file
from peers.waiting import until

Make = Callable[..., CideryDaemon]
TCP, QUIC = "/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1"


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LinePeer]:
    command = go_command("--listen", TCP, "--relay", "default", "--reachability", "public", "--dht", "off")
    with LinePeer(command, tmp_path_factory.mktemp("relay") / "log") as peer:
        yield peer


def _connections(node: CideryDaemon, peer: str) -> list[str]:
    return [line for line in node.run("swarm", "peers").splitlines() if line.endswith(peer)]


@pytest.mark.parametrize("listen", [TCP, QUIC], ids=["tcp", "quic"])
def test_a_relayed_connection_becomes_a_direct_one_and_content_follows(
    cidery: Make, relay: LinePeer, tmp_path: Path, listen: str
) -> None:
    listening = {"Addresses.Swarm": json.dumps([listen])}
    behind = cidery({**listening, "Swarm.RelayClient.StaticRelays": json.dumps([relay.addr])})
    until(lambda: "/p2p-circuit/" in behind.run("id"))
    file = write_file(tmp_path / "file", 4 << 20, seed=31)
    cid = behind.add(file)
    node = cidery(listening)
    node.connect(f"{relay.addr}/p2p-circuit/p2p/{behind.peer_id}")
    node.get(cid, tmp_path / "got")
    assert digest(tmp_path / "got") == digest(file)
    until(lambda: all("/p2p-circuit/" not in one for one in _connections(node, behind.peer_id)))
    assert _connections(node, behind.peer_id) and _connections(behind, node.peer_id)
    told = behind.run("swarm", "addrs", "autonat")
    assert f"Others reach this node through a relay, as {relay.addr}/p2p-circuit." in told
    assert f"Hole punching with {node.peer_id}: " in told and "direct at" in told


def test_hole_punching_is_switched_off_as_in_kubo(cidery: Make, relay: LinePeer) -> None:
    off = {"Swarm.EnableHolePunching": "false"}
    behind = cidery({**off, "Swarm.RelayClient.StaticRelays": json.dumps([relay.addr])})
    until(lambda: "/p2p-circuit/" in behind.run("id"))
    node = cidery(off)
    node.connect(f"{relay.addr}/p2p-circuit/p2p/{behind.peer_id}")
    assert "dcutr" not in node.run("id") and "dcutr" not in behind.run("id")
    assert all("/p2p-circuit/" in one for one in _connections(node, behind.peer_id))
