"""Connect, identify and ping, dialled by either side. Kubo's identity is an RSA key, the others' are Ed25519."""

import json
from collections.abc import Callable

import pytest

from peers.cidery_daemon import CideryDaemon
from peers.line_peer import LinePeer

Make = Callable[..., CideryDaemon]
PEERS = ["kubo", "go", "helia", "pylibp2p"]
EXPECTED = {"/ipfs/id/1.0.0", "/ipfs/id/push/1.0.0", "/ipfs/ping/1.0.0", "/ipfs/bitswap/1.2.0"}
"""What Cidery says it speaks."""


def dial(peer: LinePeer, addr: str) -> None:
    """Have a peer dial, whatever it calls that."""
    command = "dial" if "helia" in peer.log.parts[-2] else "connect"
    assert peer.ask(command, addr).get("rc", 0) == 0


@pytest.mark.parametrize("name", PEERS)
def test_cidery_dials_identifies_and_pings(name: str, cidery: Make, request: pytest.FixtureRequest) -> None:
    peer: LinePeer = request.getfixturevalue(name)
    node = cidery()
    node.connect(peer.addr)
    said = json.loads(node.run("id", peer.peer_id))
    assert said["ID"] == peer.peer_id
    assert "/ipfs/ping/1.0.0" in said["Protocols"]
    assert peer.addr in said["Addresses"]
    assert node.run("ping", "-n", "2", peer.peer_id).count("Pong received") == 2


@pytest.mark.parametrize("name", PEERS)
def test_cidery_identifies_and_pings_who_dialled_it(name: str, cidery: Make, request: pytest.FixtureRequest) -> None:
    peer: LinePeer = request.getfixturevalue(name)
    node = cidery()
    dial(peer, node.addr)
    said = json.loads(node.run("id", peer.peer_id))
    assert "/ipfs/ping/1.0.0" in said["Protocols"]
    assert peer.addr in said["Addresses"]
    assert node.run("ping", "-n", "2", peer.peer_id).count("Pong received") == 2


@pytest.mark.parametrize("dialled_by", ["cidery", "peer"])
@pytest.mark.parametrize("name", ["go", "helia", "pylibp2p"])
def test_a_peer_identifies_and_pings_cidery(
    name: str, dialled_by: str, cidery: Make, request: pytest.FixtureRequest
) -> None:
    peer: LinePeer = request.getfixturevalue(name)
    node = cidery()
    if dialled_by == "peer":
        dial(peer, node.addr)
    else:
        node.connect(peer.addr)
    said = peer.ask("identified", node.peer_id)
    assert set(said["protocols"]) >= EXPECTED
    assert any(addr.startswith(node.addr.rpartition("/p2p/")[0]) for addr in said["addrs"])
    assert peer.ask("ping", node.peer_id)["ok"]
