"""Sites, media and storage in a real browser, through the gateway of a real daemon."""

import io
import math
import struct
import wave
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from peers.cidery_daemon import CideryDaemon
from peers.installed import browser_command
from peers.web_page import recorded_film

RATE = 8000
SECONDS = 600
"""Of the sound: 9.6 MB, of which the browser asks for parts."""
INDEX = """<!doctype html><title>site</title><link rel="stylesheet" href="style.css">
<p id="said">nothing</p><img src="pixel.gif" alt=""><script src="js/app.js"></script>"""
APP = """fetch('data.json').then(answer => answer.json()).then(value => {
  document.getElementById('said').textContent = value.said })"""
PIXEL = bytes.fromhex("47494638396101000100800000000000ffffff2c00000000010001000002024401003b")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    program, env = browser_command()
    with sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=program, env=dict(env), args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CideryDaemon]:
    with CideryDaemon(tmp_path_factory.mktemp("browser") / "node") as node:
        yield node


@pytest.fixture(scope="module")
def gateway(daemon: CideryDaemon) -> str:
    return f"localhost:{urlsplit((daemon.repo / 'gateway').read_text()).port}"


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    with browser.new_context() as context:
        yield context.new_page()


def write(folder: Path, files: dict[str, str | bytes]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


def test_a_site_of_many_files_loads_on_a_host_of_its_own(
    daemon: CideryDaemon, gateway: str, page: Page, tmp_path: Path
) -> None:
    files: dict[str, str | bytes] = {"index.html": INDEX, "js/app.js": APP, "pixel.gif": PIXEL}
    files |= {"style.css": "p { color: rgb(1, 2, 3) }", "data.json": '{"said": "hello"}'}
    cid = daemon.add(write(tmp_path / "site", files))
    asked: list[str] = []
    page.on("request", lambda one: asked.append(urlsplit(one.url).netloc))
    answer = page.goto(f"http://{gateway}/ipfs/{cid}/")
    assert answer is not None and answer.ok
    assert page.url == f"http://{cid}.ipfs.{gateway}/"
    page.wait_for_function("document.getElementById('said').textContent == 'hello'")
    assert page.evaluate("getComputedStyle(document.getElementById('said')).color") == "rgb(1, 2, 3)"
    assert page.evaluate("document.querySelector('img').naturalWidth") == 1
    assert set(asked) <= {gateway, f"{cid}.ipfs.{gateway}"}


def test_another_site_cannot_read_what_a_site_stored(
    daemon: CideryDaemon, gateway: str, page: Page, tmp_path: Path
) -> None:
    first = daemon.add(write(tmp_path / "first", {"index.html": "<p>first"}))
    second = daemon.add(write(tmp_path / "second", {"index.html": "<p>second"}))
    page.goto(f"http://{gateway}/ipfs/{first}/")
    page.evaluate("localStorage.setItem('secret', 'x'); document.cookie = 'secret=x'")
    assert page.evaluate("localStorage.getItem('secret')") == "x"
    page.goto(f"http://{gateway}/ipfs/{second}/")
    assert page.evaluate("localStorage.getItem('secret')") is None
    assert page.evaluate("document.cookie") == ""
    page.goto(f"http://{gateway}/ipfs/{first}/")
    assert page.evaluate("localStorage.getItem('secret')") == "x", "it is still its own"


def test_addresses_that_a_site_does_not_have_lead_where_it_says(
    daemon: CideryDaemon, gateway: str, page: Page, tmp_path: Path
) -> None:
    rules = "/old/* /new/:splat 301\n/* /index.html 200\n"
    files: dict[str, str | bytes] = {"index.html": "<p>app", "new/a.html": "<p>new", "_redirects": rules}
    cid = daemon.add(write(tmp_path / "app", files))
    page.goto(f"http://{gateway}/ipfs/{cid}/some/route?x=1")
    assert page.inner_text("p") == "app" and page.url == f"http://{cid}.ipfs.{gateway}/some/route?x=1"
    page.goto(f"http://{gateway}/ipfs/{cid}/old/a.html")
    assert page.inner_text("p") == "new" and page.url == f"http://{cid}.ipfs.{gateway}/new/a.html"


def sound() -> bytes:
    """A tone as WAV."""
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setparams((1, 2, RATE, 0, "NONE", ""))
        second = struct.pack(f"<{RATE}h", *(int(9000 * math.sin(at / 5)) for at in range(RATE)))
        file.writeframes(second * SECONDS)
    return out.getvalue()


def test_a_film_plays_from_where_a_person_jumps_to(
    daemon: CideryDaemon, gateway: str, page: Page, tmp_path: Path
) -> None:
    markup = "<!doctype html><video id=v src=tone.wav muted controls preload=metadata></video>"
    cid = daemon.add(write(tmp_path / "film", {"index.html": markup, "tone.wav": sound()}))
    ranges: list[str] = []
    page.on("request", lambda one: ranges.append(one.headers.get("range", "")))
    page.goto(f"http://{gateway}/ipfs/{cid}/")
    page.wait_for_function("document.getElementById('v').readyState >= 1")
    assert abs(page.evaluate("document.getElementById('v').duration") - SECONDS) < 1
    page.evaluate(f"v = document.getElementById('v'); v.currentTime = {SECONDS - 60}; v.play()")
    page.wait_for_function(f"v.currentTime > {SECONDS - 60}.2 && !v.seeking")
    starts = [int(one.removeprefix("bytes=").partition("-")[0]) for one in ranges if one.startswith("bytes=")]
    assert max(starts) > SECONDS * RATE, f"the second half was asked for by itself: {ranges}"


def test_a_film_recorded_in_the_browser_plays_by_its_looks(
    daemon: CideryDaemon, gateway: str, page: Page, tmp_path: Path
) -> None:
    blank = daemon.add(write(tmp_path / "blank", {"index.html": ""}))
    page.goto(f"http://{gateway}/ipfs/{blank}/")
    (tmp_path / "film").write_bytes(recorded_film(page))
    cid = daemon.add(tmp_path / "film")
    page.set_content(f"<video id=v src='http://{cid}.ipfs.{gateway}/' muted autoplay></video>")
    page.wait_for_function("document.getElementById('v').ended && document.getElementById('v').videoWidth == 64")


def test_a_listing_leads_through_its_folders_and_asks_nobody_else(
    daemon: CideryDaemon, gateway: str, page: Page, tmp_path: Path
) -> None:
    names = ["a file.txt", "źdźbło & <b>.txt", "100%.txt", "?x#y.txt"]
    files: dict[str, str | bytes] = {f"folder/{name}": name for name in names} | {"folder/pixel.gif": PIXEL}
    cid = daemon.add(write(tmp_path / "tree", files))
    asked: list[str] = []
    problems: list[str] = []
    page.on("request", lambda one: asked.append(urlsplit(one.url).netloc))
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    page.goto(f"http://{gateway}/ipfs/{cid}/")
    page.get_by_role("link", name="folder", exact=True).click()
    assert page.url == f"http://{cid}.ipfs.{gateway}/folder/"
    for name in names:
        page.get_by_role("link", name=name, exact=True).click()
        assert page.inner_text("body") == name
        page.go_back()
    page.get_by_role("link", name="..", exact=True).click()
    assert page.url == f"http://{cid}.ipfs.{gateway}/"
    assert set(asked) <= {gateway, f"{cid}.ipfs.{gateway}", ""}
    assert problems == []


def test_links_of_ipfs_are_opened_here_if_a_person_wants_that(
    daemon: CideryDaemon, gateway: str, page: Page, tmp_path: Path
) -> None:
    trouble: list[str] = []
    page.on("console", lambda one: trouble.append(one.text))
    page.on("pageerror", lambda one: trouble.append(str(one)))
    page.goto(f"http://{gateway}/")
    for scheme in ("ipfs", "ipns"):
        page.click(f"button[value={scheme}]")
        page.wait_for_function(
            "document.getElementById('said').textContent == 'The browser may ask whether you want this.'"
        )
    assert not trouble, "the policy lets the script run, and the browser takes scheme and address"
    cid = daemon.add(write(tmp_path / "linked", {"a b.html": "<p>linked"}))
    # where the browser then sends a click
    page.goto(f"http://{gateway}/ipfs/?uri=ipfs%3A%2F%2F{cid}%2Fa%2520b.html")
    assert page.inner_text("p") == "linked" and page.url == f"http://{cid}.ipfs.{gateway}/a%20b.html"
