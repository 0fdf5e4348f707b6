"""IPNS with Helia 7 over the DHT, on loopback the LAN's: publish here, resolve there, and back."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from peers.cidery_daemon import CideryDaemon
from peers.installed import helia_command
from peers.line_peer import LinePeer, PeerFailed
from peers.trees import write_file

Make = Callable[..., CideryDaemon]
SERVER = {"Routing.Type": '"dht"'}
LAN = "/ipfs/lan/kad/1.0.0"


@pytest.fixture
def helia_dht(tmp_path: Path) -> Iterator[LinePeer]:
    with LinePeer(helia_command("--kad", LAN), tmp_path / "helia-dht.log") as peer:
        yield peer


@pytest.mark.parametrize("kind", ["ed25519", "rsa"])
def test_helia_resolves_what_we_publish(cidery: Make, helia_dht: LinePeer, tmp_path: Path, kind: str) -> None:
    node = cidery(SERVER)
    node.connect(helia_dht.addr)
    cid = node.add(write_file(tmp_path / "page", 1000))
    node.run("key", "gen", "site", "-t", kind)
    name = node.run("name", "publish", "-Q", "-k", "site", f"/ipfs/{cid}").strip()
    found = helia_dht.ask("resolve", node.run("key", "ls", "-l", "--ipns-base=base32").splitlines()[1].split()[0])
    assert found["value"] in (f"/ipfs/{cid}", cid)
    assert name in node.run("key", "ls", "-l")


def test_we_resolve_what_helia_publishes(cidery: Make, helia_dht: LinePeer, tmp_path: Path) -> None:
    node = cidery(SERVER)
    node.connect(helia_dht.addr)
    cid = node.add(write_file(tmp_path / "page", 1000))
    name = helia_dht.ask("publish", cid)["name"]
    assert node.run("name", "resolve", name).strip() == f"/ipfs/{cid}"
    assert node.run("resolve", f"/ipns/{name}").strip() == f"/ipfs/{cid}"


def test_a_followed_name_outlives_its_owner(cidery: Make, helia_dht: LinePeer, tmp_path: Path) -> None:
    follower, owner, reader = cidery(SERVER), cidery(SERVER), cidery(SERVER)
    owner.connect(follower.addr)
    cid = owner.add(write_file(tmp_path / "page", 1000))
    name = owner.run("name", "publish", "-Q", f"/ipfs/{cid}").strip()
    follower.run("name", "follow", name)
    owner.close()
    reader.connect(follower.addr)
    assert reader.run("name", "resolve", name).strip() == f"/ipfs/{cid}"
    assert name in follower.run("name", "ls")


def test_a_name_without_a_record_is_said_to_have_none(cidery: Make) -> None:
    one, two = cidery(SERVER), cidery(SERVER)
    one.connect(two.addr)
    with pytest.raises(PeerFailed, match="nobody else has one"):
        one.run("name", "resolve", "k51qzi5uqu5dlmit2tuwdvnx4sbnyqgmvbxftl0eo3f33wwtb9gr7yozae9kpw")
