"""Helia in a page of a browser fetches straight from a node, over the WebSocket on the port of TCP."""

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

LISTEN = "/ip4/127.0.0.1/tcp/0"
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
