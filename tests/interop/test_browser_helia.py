"""Helia in a page of a browser fetches straight from a node, by WebSocket on the port of TCP, and provides to one.

What a page provides is fetched through a relay that knows it (its peering list, so without limits), for a page can be
dialled nowhere. Over a limited connection nothing is fetched.
"""

import hashlib
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from playwright.sync_api import sync_playwright

from peers.cidery_daemon import CideryDaemon
from peers.installed import browser_command, helia_page
from peers.waiting import until

LISTEN = "/ip4/127.0.0.1/tcp/0"
SIZE = 3_000_000
HOP = "/libp2p/circuit/relay/0.2.0/hop"
QUIET = ["--no-sandbox", "--disable-background-networking", "--proxy-server=127.0.0.1:9"]
"""Nothing but loopback, which no proxy is used for."""


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def site(tmp_path: Path) -> Iterator[str]:
    """A page with Helia in it, of a web server on this machine."""
    folder = tmp_path / "site"
    folder.mkdir()
    helia_page(folder / "helia.js")
    (folder / "index.html").write_text("<!doctype html><title>page</title><script src=helia.js></script>")
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://localhost:{server.server_port}/"
        server.shutdown()
        thread.join()


def test_a_page_fetches_a_large_file(cidery: Callable[..., CideryDaemon], site: str, a_file: Path) -> None:
    node = cidery({"Addresses.Swarm": f'["{LISTEN}", "{LISTEN}/ws"]'})
    cid = node.add(a_file)
    addr = node.addr.replace("/p2p/", "/ws/p2p/")
    program, env = browser_command()
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, env=dict(env), args=QUIET)
        page = browser.new_page()
        page.goto(site)
        got = page.evaluate("([addr, cid]) => helia.fetchFile(addr, cid)", [addr, cid])
        browser.close()
    assert got["sha256"] == hashlib.sha256(a_file.read_bytes()).hexdigest()
    assert got["security"] == "/noise"


def test_what_a_page_provides_is_fetched_through_a_relay(
    cidery: Callable[..., CideryDaemon], site: str, tmp_path: Path
) -> None:
    relay, node = cidery({"Addresses.Swarm": f'["{LISTEN}", "{LISTEN}/ws"]'}), cidery()
    by_ws = relay.addr.replace("/p2p/", "/ws/p2p/")
    program, env = browser_command()
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, env=dict(env), args=QUIET)
        page = browser.new_page()
        page.goto(site)
        peer = page.evaluate("() => helia.begin()")
        relay.run("swarm", "peering", "add", f"/p2p/{peer}")
        until(lambda: HOP in relay.run("id"))
        addrs = page.evaluate("relay => helia.reserve(relay)", by_ws)
        assert any("/p2p-circuit" in addr for addr in addrs)
        added = page.evaluate("bytes => helia.addRandom(bytes)", SIZE)
        node.connect(f"{relay.addr}/p2p-circuit/p2p/{peer}")
        node.get(added["cid"], tmp_path / "got")
        seen = page.evaluate("() => helia.connections()")
        browser.close()
    assert hashlib.sha256((tmp_path / "got").read_bytes()).hexdigest() == added["sha256"]
    (made,) = [one for one in seen if one["peer"] == node.peer_id]
    assert not made["limited"] and "/p2p-circuit" in made["addr"]
