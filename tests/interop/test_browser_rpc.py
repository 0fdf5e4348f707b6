"""Pages of other origins in a real browser, against the RPC of a real daemon: they can neither read nor write."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from peers.cidery_daemon import CideryDaemon
from peers.installed import browser_command

SECRET = "what-only-its-owner-reads"
WAYS_OUT = """
const api = path => BASE + '/api/v0/' + path
const said = async made => {
  try { const answer = await made; return (await answer.text()) || answer.type } catch (error) { return 'refused' }
}
const loaded = (tag, url, key = 'src') => new Promise(done => {
  const element = document.createElement(tag)
  element.onload = () => done('loaded'); element.onerror = () => done('refused')
  element[key] = url; if (tag == 'link') element.rel = 'stylesheet'
  document.body.append(element)
})
const framed = (action, fields, enctype, sandbox) => new Promise(done => {
  const frame = document.createElement('iframe')
  const send = 'onload = () => setTimeout(() => document.forms[0].submit())'
  let loads = 0
  frame.onload = () => {
    if (++loads < 2) return
    try { done(frame.contentDocument.body.innerText) } catch (error) { done('refused') }
  }
  if (sandbox) frame.sandbox = 'allow-scripts allow-forms'
  frame.srcdoc = `<form method=post enctype="${enctype}" action="${action}">${fields}</form><script>${send}</script>`
  document.body.append(frame)
})
const fields = 'application/x-www-form-urlencoded', parts = 'multipart/form-data'
const upload = () => { const body = new FormData(); body.append('file', new Blob(['stolen'])); return body }
const socket = () => new Promise(done => {
  const made = new WebSocket(api('id').replace('http', 'ws'))
  made.onopen = () => done('open'); made.onerror = () => done('refused')
})
const events = () => new Promise(done => {
  const made = new EventSource(api('id'))
  made.onopen = () => done('open'); made.onerror = () => { made.close(); done('refused') }
})
const read = how => said(fetch(api('files/read?arg=/secret'), {method: 'POST', ...how}))
const write = (name, how) => said(fetch(api('files/write?create=true&arg=' + name), {method: 'POST', ...how}))
const made = (name, how) => said(fetch(api('files/mkdir?arg=' + name), {method: 'POST', ...how}))
const shadow = "<textarea name=file>x</textarea>"
"""
READS = {
    "fetch": "read({})",
    "fetch without a referrer": "read({referrerPolicy: 'no-referrer'})",
    "fetch without CORS": "read({mode: 'no-cors'})",
    "fetch with a header": "read({headers: {'X-Requested-With': 'x'}})",
    "fetch by GET": "read({method: 'GET'})",
    "the metrics": "said(fetch(BASE + '/debug/metrics/prometheus'))",
    "a form": "framed(api('files/read?arg=/secret'), '', fields, false)",
    "an event source": "events()",
    "a web socket": "socket()",
    "a script": "loaded('script', api('files/read?arg=/secret'))",
    "a script of the metrics": "loaded('script', BASE + '/debug/metrics/prometheus')",
    "an image": "loaded('img', api('cat?arg=' + PIXEL))",
    "a style sheet": "loaded('link', api('files/read?arg=/secret'), 'href')",
}
WRITES = {
    "fetch": "made('/evil1', {})",
    "fetch without CORS": "made('/evil2', {mode: 'no-cors'})",
    "fetch by PUT": "made('/evil3', {method: 'PUT'})",
    "an upload": "write('/evil4', {body: upload()})",
    "an upload without CORS": "write('/evil5', {body: upload(), mode: 'no-cors'})",
    "a form": "framed(api('files/mkdir'), '<input name=arg value=/evil6>', fields, false)",
    "a form without an origin": "framed(api('files/mkdir'), '<input name=arg value=/evil7>', fields, true)",
    "a form of parts": "framed(api('files/write?arg=/evil8&create=true'), shadow, parts, false)",
    "a form of parts without an origin": "framed(api('files/write?arg=/evil9&create=true'), shadow, parts, true)",
    "a beacon": "Promise.resolve(String(navigator.sendBeacon(api('files/mkdir?arg=/evil10'))))",
    "a beacon that shuts down": "Promise.resolve(String(navigator.sendBeacon(api('shutdown'))))",
    "an image": "loaded('img', api('files/mkdir?arg=/evil11'))",
    "a script": "loaded('script', api('shutdown'))",
}
MARKS = (SECRET, "cidery_", "opened", "open", "loaded")
"""What an answer of a read contains if it got through."""


class _Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = b"<!doctype html><meta charset=utf-8><title>page</title><body>"
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def _served() -> ThreadingHTTPServer:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


@pytest.fixture(scope="module")
def hostile() -> Iterator[int]:
    """The port of pages that nobody allowed."""
    server = _served()
    yield server.server_port
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def friendly() -> Iterator[int]:
    """The port of pages that the config allows."""
    server = _served()
    yield server.server_port
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Every name leads to this machine: as after a change of an attacker's DNS, and nothing is sent elsewhere."""
    program, env = browser_command()
    with sync_playwright() as driver:
        opened = driver.chromium.launch(
            executable_path=program,
            env=dict(env),
            args=["--no-sandbox", "--host-resolver-rules=MAP * 127.0.0.1, EXCLUDE 127.0.0.1"],
        )
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory, friendly: int) -> Iterator[CideryDaemon]:
    folder = tmp_path_factory.mktemp("rpc")
    allowed = json.dumps({"Access-Control-Allow-Origin": [f"http://127.0.0.1:{friendly}"]})
    with CideryDaemon(folder / "node", {"API.HTTPHeaders": allowed}) as node:
        (folder / "secret").write_text(SECRET)
        node.run("files", "write", "-e", "/secret", str(folder / "secret"))
        yield node


@pytest.fixture(scope="module")
def rpc(daemon: CideryDaemon) -> int:
    parts = (daemon.repo / "api").read_text().strip().split("/")
    return int(parts[parts.index("tcp") + 1])


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    with browser.new_context() as context:
        yield context.new_page()


@pytest.fixture(scope="module")
def pixel(daemon: CideryDaemon, tmp_path_factory: pytest.TempPathFactory) -> str:
    image = tmp_path_factory.mktemp("pixel") / "pixel.gif"
    image.write_bytes(bytes.fromhex("47494638396101000100800000000000ffffff2c00000000010001000002024401003b"))
    return daemon.add(image)


def _try(page: Page, base: str, pixel: str, attempt: str) -> str:
    script = f"(async () => {{ const BASE = '{base}', PIXEL = '{pixel}'; {WAYS_OUT}; return await {attempt} }})()"
    return str(page.evaluate(script))


def _state(daemon: CideryDaemon) -> list[str]:
    return [daemon.run(*words) for words in (("files", "ls"), ("pin", "ls"), ("config", "show"), ("key", "ls"))]


def _names(rpc: int) -> list[str]:
    return [f"http://127.0.0.1:{rpc}", f"http://localhost:{rpc}"]


@pytest.mark.parametrize("way", READS)
def test_a_page_of_another_origin_reads_nothing(
    daemon: CideryDaemon, rpc: int, hostile: int, page: Page, pixel: str, way: str
) -> None:
    for here in (f"http://127.0.0.1:{hostile}", f"http://evil.example:{hostile}"):
        page.goto(f"{here}/")
        for base in _names(rpc):
            said = _try(page, base, pixel, READS[way])
            assert not [mark for mark in MARKS if mark in said], f"{here} read by {way}: {said}"


@pytest.mark.parametrize("way", WRITES)
def test_a_page_of_another_origin_changes_nothing(
    daemon: CideryDaemon, rpc: int, hostile: int, page: Page, pixel: str, way: str
) -> None:
    before = _state(daemon)
    for here in (f"http://127.0.0.1:{hostile}", f"http://evil.example:{hostile}"):
        page.goto(f"{here}/")
        for base in _names(rpc):
            _try(page, base, pixel, WRITES[way])
    assert _state(daemon) == before
    assert daemon.run("id"), "it still runs"


def test_a_page_whose_name_was_led_to_this_machine_gets_nothing(
    daemon: CideryDaemon, rpc: int, page: Page, pixel: str
) -> None:
    base = f"http://evil.example:{rpc}"  # to the browser the page and the RPC are one origin
    before = _state(daemon)
    answer = page.goto(f"{base}/api/v0/id")
    assert answer is not None and answer.status == 403
    for way in (*READS.values(), *WRITES.values()):
        said = _try(page, base, pixel, way)
        assert not [mark for mark in (SECRET, "cidery_", "open", "loaded") if mark in said], way
    assert _state(daemon) == before


def test_a_page_that_the_config_allows_reads_and_writes(
    daemon: CideryDaemon, rpc: int, friendly: int, page: Page, pixel: str
) -> None:
    page.goto(f"http://127.0.0.1:{friendly}/")
    base = f"http://127.0.0.1:{rpc}"
    for way in ("fetch", "fetch without a referrer", "fetch with a header"):
        assert _try(page, base, pixel, READS[way]) == SECRET
    _try(page, base, pixel, WRITES["fetch"])
    _try(page, base, pixel, WRITES["an upload"])
    _try(page, base, pixel, WRITES["a form"])
    assert {"evil1", "evil4", "evil6"} <= set(daemon.run("files", "ls").split())
    assert daemon.run("files", "read", "/evil4") == "stolen"
