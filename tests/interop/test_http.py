"""HTTP with Helia 7 as a client of our gateway and routing API, and our client with a server of plain files."""

import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from peers.cidery_daemon import CideryDaemon
from peers.installed import helia_http_command
from peers.line_peer import LinePeer, PeerFailed
from peers.trees import digest, write_file

Make = Callable[..., CideryDaemon]
SERVER = {"Routing.Type": '"dht"'}


def url(node: CideryDaemon) -> str:
    """Of its gateway."""
    return (node.repo / "gateway").read_text().strip()


@contextmanager
def helia_of(node: CideryDaemon, folder: Path) -> Iterator[LinePeer]:
    """A Helia without libp2p that knows nothing but the gateway's port of ``node``."""
    with LinePeer(helia_http_command("--gateway", url(node), "--router", url(node)), folder / "helia-http.log") as peer:
        yield peer


@pytest.mark.parametrize("profile", ["unixfs-v1-2025", "unixfs-v0-2015"])
def test_helia_gets_a_file_block_by_block_from_our_gateway(cidery: Make, tmp_path: Path, profile: str) -> None:
    node, file = cidery(), write_file(tmp_path / "file", 5_000_000)
    cid = node.run("add", "-Q", "--cid-profile", profile, str(file)).strip()
    with helia_of(node, tmp_path) as helia:
        helia.ask("cat", cid, str(tmp_path / "got"))
    assert digest(tmp_path / "got") == digest(file)


def test_helia_gets_through_our_gateway_what_another_node_has(cidery: Make, tmp_path: Path) -> None:
    owner, node, file = cidery(), cidery(), write_file(tmp_path / "file", 3_000_000)
    node.connect(owner.addr)
    with helia_of(node, tmp_path) as helia:
        helia.ask("cat", owner.add(file), str(tmp_path / "got"))
    assert digest(tmp_path / "got") == digest(file)


def test_what_nobody_has_is_an_error_at_helia(cidery: Make, tmp_path: Path) -> None:
    node = cidery({"Gateway.NoFetch": "true"})
    with helia_of(node, tmp_path) as helia, pytest.raises(PeerFailed, match="Unable to fetch|not found|NotFound"):
        helia.ask("cat", "bafkreifzjut3te7nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e", str(tmp_path / "got"))


def test_helia_finds_providers_and_their_addresses_in_our_routing_api(cidery: Make, tmp_path: Path) -> None:
    server, owner = cidery(SERVER), cidery({"Routing.Type": '"dhtclient"'})
    owner.connect(server.addr)
    cid = owner.add(write_file(tmp_path / "file", 100_000))
    owner.run("provide", "once", cid)
    with helia_of(server, tmp_path) as helia:
        providers = {found["id"]: found["addrs"] for found in helia.ask("findprovs", cid)["providers"]}
        assert owner.addr.rpartition("/p2p/")[0] in providers[owner.peer_id]
        assert owner.addr.rpartition("/p2p/")[0] in helia.ask("findpeer", owner.peer_id)["addrs"]


def test_names_go_through_our_routing_api_both_ways(cidery: Make, tmp_path: Path) -> None:
    server, node = cidery(SERVER), cidery(SERVER)
    node.connect(server.addr)
    cid = node.add(write_file(tmp_path / "page", 1000))
    name = node.run("name", "publish", "-Q", f"/ipfs/{cid}").strip()
    with helia_of(server, tmp_path) as helia:
        assert helia.ask("resolve", name)["value"] in (cid, f"/ipfs/{cid}")
        published = helia.ask("publish", cid)["name"]
    assert node.run("name", "resolve", published).strip() == f"/ipfs/{cid}"


@contextmanager
def files_over_http(folder: Path) -> Iterator[str]:
    """A server of files that knows nothing of IPFS; its URL."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_blocks_that_lie_as_files_on_a_web_server_are_gateway_enough_for_us(cidery: Make, tmp_path: Path) -> None:
    owner, file = cidery(), write_file(tmp_path / "file", 5_000_000)
    cid = owner.add(file)
    blocks = tmp_path / "www" / "ipfs"
    blocks.mkdir(parents=True)
    for one in [cid, *owner.run("refs", "-r", "-u", cid).split()]:
        with urllib.request.urlopen(f"{url(owner)}/ipfs/{one}?format=raw") as answer:
            (blocks / one).write_bytes(answer.read())
    owner.close()
    with files_over_http(tmp_path / "www") as server:
        reader = cidery({"HTTPRetrieval.Gateways": f'["{server}"]'})
        reader.get(cid, tmp_path / "got")
    assert digest(tmp_path / "got") == digest(file)


def test_a_reader_that_is_connected_to_nobody_gets_a_tree_from_the_gateway_of_another(
    cidery: Make, a_tree: Path, tmp_path: Path
) -> None:
    owner = cidery()
    cid = owner.add(a_tree)
    reader = cidery({"HTTPRetrieval.Gateways": f'["{url(owner)}"]'})
    reader.get(cid, tmp_path / "got")
    assert digest(tmp_path / "got") == digest(a_tree)
    assert reader.run("swarm", "peers") == ""
