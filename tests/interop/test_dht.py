"""The DHT with Kubo 0.22, go-libp2p-kad-dht 0.42 and Helia 7 as servers: provide here, find there, and back.

On loopback that is the LAN's.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from peers.cidery_daemon import CideryDaemon
from peers.installed import helia_command
from peers.line_peer import LinePeer
from peers.trees import digest, write_file
from peers.waiting import until

Make = Callable[..., CideryDaemon]
CLIENT = {"Routing.Type": '"dhtclient"'}
SERVER = {"Routing.Type": '"dht"'}
LAN = "/ipfs/lan/kad/1.0.0"


@pytest.fixture
def helia_dht(tmp_path: Path) -> Iterator[LinePeer]:
    with LinePeer(helia_command("--kad", LAN), tmp_path / "helia-dht.log") as peer:
        yield peer


@pytest.fixture(params=["kubo", "go"])
def server(request: pytest.FixtureRequest) -> LinePeer:
    peer: LinePeer = request.getfixturevalue(request.param)
    return peer


@pytest.fixture
def small(tmp_path: Path) -> Path:
    return write_file(tmp_path / "small.bin", 300_000)


def providers(node: CideryDaemon, cid: str) -> set[str]:
    """Peer ids that ``routing findprovs`` names."""
    return set(node.run("routing", "findprovs", cid).split())


def wait_for_server(node: CideryDaemon, peer_id: str) -> None:
    """Return when the peer has its place in the routing table: identify has said that it is a server."""

    def placed() -> bool:
        stats = json.loads(node.run("stats", "dht", "lan", "--enc=json"))
        return any(peer["ID"] == peer_id for bucket in stats["Buckets"] for peer in bucket["Peers"])

    until(placed)


def test_a_peer_stores_our_record_and_gives_it_to_another_cidery(
    cidery: Make, server: LinePeer, small: Path, tmp_path: Path
) -> None:
    owner, reader = cidery(CLIENT), cidery(CLIENT)
    for node in (owner, reader):
        node.connect(server.addr)
        wait_for_server(node, server.peer_id)
    cid = owner.add(small)
    owner.run("provide", "once", cid)
    assert owner.peer_id in providers(reader, cid)
    reader.get(cid, tmp_path / "got")
    assert digest(tmp_path / "got") == digest(small)


@pytest.mark.parametrize("name", ["kubo", "new_go"])
def test_a_peer_finds_what_we_provide_at_another_cidery(
    cidery: Make, name: str, small: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    peer: LinePeer = request.getfixturevalue(name)
    owner, between = cidery(CLIENT), cidery(SERVER)
    owner.connect(between.addr)
    cid = owner.add(small)
    owner.run("provide", "once", cid)
    assert peer.ask("connect", between.addr)["rc"] == 0
    assert peer.ask("get", cid, str(tmp_path / "got"))["rc"] == 0
    assert digest(tmp_path / "got") == digest(small)


def test_what_a_peer_adds_is_found_through_us(cidery: Make, server: LinePeer, tmp_path: Path) -> None:
    between, reader = cidery(SERVER), cidery(CLIENT)
    assert server.ask("connect", between.addr)["rc"] == 0
    wait_for_server(between, server.peer_id)
    reader.connect(between.addr)
    cid = server.ask("add", str(write_file(tmp_path / "theirs.bin", 200_001)))["cid"]
    reader.get(cid, tmp_path / "got")
    assert digest(tmp_path / "got") == digest(tmp_path / "theirs.bin")
    assert server.peer_id in providers(reader, cid)


def test_a_go_and_cidery_find_peers_through_each_other(cidery: Make, go: LinePeer) -> None:
    between, client = cidery(SERVER), cidery(CLIENT)
    assert go.ask("connect", between.addr)["rc"] == 0
    wait_for_server(between, go.peer_id)
    client.connect(between.addr)
    assert go.addr.split("/p2p/")[0] in client.run("routing", "findpeer", go.peer_id)
    assert client.addr.split("/p2p/")[0] in go.ask("findpeer", client.peer_id)["addrs"]


def test_helia_and_cidery_find_what_the_other_provides(
    cidery: Make, helia_dht: LinePeer, small: Path, tmp_path: Path
) -> None:
    owner, reader = cidery(SERVER), cidery(CLIENT)
    helia_dht.ask("dial", owner.addr)
    wait_for_server(owner, helia_dht.peer_id)
    reader.connect(helia_dht.addr)
    cid = owner.add(small)
    owner.run("provide", "once", cid)
    assert owner.peer_id in [one["id"] for one in helia_dht.ask("findprovs", cid)["providers"]]
    assert owner.peer_id in providers(reader, cid)
    reader.get(cid, tmp_path / "got")
    assert digest(tmp_path / "got") == digest(small)
    theirs = helia_dht.ask("add", str(write_file(tmp_path / "theirs.bin", 200_002)))["cid"]
    helia_dht.ask("provide", theirs)
    assert helia_dht.peer_id in providers(owner, theirs)


def test_helia_and_cidery_find_peers_through_each_other(cidery: Make, helia_dht: LinePeer) -> None:
    server, client = cidery(SERVER), cidery(CLIENT)
    helia_dht.ask("dial", server.addr)
    wait_for_server(server, helia_dht.peer_id)
    client.connect(server.addr)
    assert client.run("routing", "findpeer", helia_dht.peer_id).strip() in helia_dht.addr
    found = helia_dht.ask("findpeer", client.peer_id)["addrs"]
    assert any(addr.split("/p2p/")[0] in client.addr for addr in found)
