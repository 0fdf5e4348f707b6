"""The web page of a real daemon in a real browser, as people use it."""

import hashlib
import json
import os
import re
import time
import urllib.error
import urllib.request
import wave
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Response, expect

from peers.cidery_daemon import CideryDaemon
from peers.installed import BROWSER, require
from peers.pinning_service import PinningService
from peers.waiting import until as comes_true
from peers.web_page import base_of, chromium, enter, recorded_film, sample_folder, until, visit

ROOMS = ("files", "get", "pins", "names", "explore", "peers", "jobs", "settings", "status")
ROWS = 100_000
SMALL_FILES = 4000
MAX_WEIGHT = 150_000
"""Bytes over the wire for every file of the page."""
WAIT = 30_000
PAPER = b"""%PDF-1.4
1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj
2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj
3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 300 100]/Contents 4 0 R/Resources<</Font<</F 5 0 R>>>>>>endobj
4 0 obj<</Length 36>>stream
BT /F 24 Tf 20 40 Td (A paper) Tj ET
endstream endobj
5 0 obj<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>endobj
trailer<</Root 1 0 R>>
%%EOF
"""
TOPMOST = """Number([...document.querySelectorAll('.row')].find(row =>
  row.getBoundingClientRect().top >= document.querySelector('.rows').getBoundingClientRect().top - 24).ariaPosInSet)"""
"""Number of the first row in view."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as opened:
        yield opened


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[CideryDaemon]:
    with CideryDaemon(tmp_path / "node") as node:
        yield node


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    with browser.new_context(accept_downloads=True) as context:
        made = context.new_page()
        made.set_default_timeout(15_000)
        wrong: list[str] = []
        made.on("pageerror", lambda error: wrong.append(str(error)))
        made.on("console", lambda said: wrong.append(said.text) if _is_refused(said.text) else None)
        yield made
        assert wrong == []


def _is_refused(said: str) -> bool:
    """Whether our own policy stopped the page; that it stops others from framing it is a test's aim."""
    return "Content Security Policy" in said and not said.startswith("Framing")


def drop(page: Page, folder: Path) -> None:
    """Give the page a whole folder, as its button does."""
    page.set_input_files("input[type=file][webkitdirectory]", str(folder))


def test_a_newcomer_adds_shares_opens_unpins_removes_and_collects_a_folder(
    daemon: CideryDaemon, browser: Browser, page: Page, tmp_path: Path
) -> None:
    folder = sample_folder(tmp_path / "My pictures")
    cid = daemon.run("add", "-r", "-H", "-Q", "--only-hash", str(folder)).strip()
    enter(page, daemon)
    expect(page.get_by_text("Nothing here yet")).to_be_visible()
    drop(page, folder)
    expect(page.get_by_role("link", name="My pictures")).to_be_visible(timeout=WAIT)
    assert daemon.run("files", "stat", "--hash", "/My pictures").strip() == cid, "what the command line makes of it"

    page.get_by_role("button", name="Actions for My pictures").click()
    page.get_by_role("button", name="Share", exact=True).click()
    page.get_by_role("button", name="Pin and announce").click()
    expect(page.get_by_role("button", name="Pin and announce")).to_have_count(0)
    assert cid in daemon.run("pin", "ls", "--type=recursive", "--names")
    page.wait_for_selector("dialog .card")
    assert "Routing.Type is none" in page.inner_text("dialog .checks"), "it says honestly that nobody finds it"
    assert page.get_by_role("textbox", name="Link for any browser").input_value() == f"https://dweb.link/ipfs/{cid}"

    with browser.new_context() as elsewhere:
        visitor = elsewhere.new_page()
        visitor.goto(str(page.get_attribute("#open-here", "href")))
        expect(visitor.get_by_role("link", name="table.csv").first).to_be_visible()
        assert f"{cid}.ipfs.localhost" in visitor.url, "content has an origin of its own"

    page.keyboard.press("Escape")
    visit(page, "pins")
    page.get_by_role("button", name="Unpin My pictures").click()
    expect(page.get_by_text("Nothing is pinned")).to_be_visible()
    visit(page, "files")
    page.get_by_role("button", name="Actions for My pictures").click()
    page.get_by_role("button", name="Remove").click()
    expect(page.get_by_role("link", name="My pictures")).to_have_count(0)
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_role("link", name="My pictures")).to_be_visible()
    assert daemon.run("files", "stat", "--hash", "/My pictures").strip() == cid

    assert freed(page, daemon) > 5
    visit(page, "files")
    page.get_by_role("button", name="Actions for My pictures").click()
    page.get_by_role("button", name="Remove").click()
    expect(page.get_by_role("link", name="My pictures")).to_have_count(0)
    comes_true(lambda: freed(page, daemon) <= 1)  # the last seconds are spared; the empty root of the files may stay


def freed(page: Page, daemon: CideryDaemon) -> int:
    """How many blocks are left by "Free space"."""
    visit(page, "status")
    page.get_by_role("button", name="Free space").click()
    page.get_by_role("button", name="Remove it").click()
    expect(page.get_by_role("dialog")).to_have_count(0, timeout=WAIT)
    expect(page.get_by_text("Freed ")).to_be_visible()
    return int(json.loads(daemon.run("repo", "stat", "--enc=json"))["NumObjects"])


def test_sharing_says_that_it_is_announced_as_soon_as_it_is(browser: Browser, page: Page, tmp_path: Path) -> None:
    config = {"Routing.Type": '"dhtserver"', "Routing.LoopbackAddressesOnLanDHT": "true"}
    with CideryDaemon(tmp_path / "a", config) as one, CideryDaemon(tmp_path / "b", config) as two:
        two.connect(one.addr)
        folder = sample_folder(tmp_path / "some") / "Letters"
        cid = one.run("add", "-r", "-Q", "--pin=false", str(folder)).strip()
        one.run("files", "cp", f"/ipfs/{cid}", "/Letters")
        enter(page, one)
        page.get_by_role("button", name="Actions for Letters").click()
        page.get_by_role("button", name="Share", exact=True).click()
        announced = page.locator(".checks li", has_text="Announced")
        expect(announced.get_by_role("img", name="no")).to_be_visible(timeout=WAIT)
        page.get_by_role("button", name="Pin and announce").click()
        expect(announced.get_by_role("img", name="yes")).to_be_visible(timeout=60_000)
        expect(announced).to_contain_text("1 peer")


def test_what_is_shared_can_be_kept_at_a_pinning_service(daemon: CideryDaemon, page: Page, tmp_path: Path) -> None:
    cid = daemon.add(sample_folder(tmp_path / "some") / "Letters")
    daemon.run("files", "cp", f"/ipfs/{cid}", "/Letters")
    enter(page, daemon)
    share = page.get_by_role("button", name="Share", exact=True)
    page.get_by_role("button", name="Actions for Letters").click()
    share.click()
    expect(page.get_by_text("Can others open it now?")).to_be_visible()
    expect(page.get_by_text("Keep it elsewhere, too")).to_have_count(0)
    page.keyboard.press("Escape")
    with CideryDaemon(tmp_path / "keeper") as keeper, PinningService(keeper) as service:
        daemon.run("pin", "remote", "service", "add", "my friend", service.endpoint, service.key)
        page.get_by_role("button", name="Actions for Letters").click()
        share.click()
        expect(page.get_by_text("does not keep it")).to_be_visible()
        page.get_by_role("button", name="Keep it at my friend", exact=True).click()
        expect(page.get_by_text("keeps it")).to_be_visible(timeout=WAIT)
        assert cid in keeper.run("pin", "ls", "--type=recursive")
        page.get_by_role("button", name="No longer keep it at my friend").click()
        expect(page.get_by_text("does not keep it")).to_be_visible()
        assert daemon.run("pin", "remote", "ls", "--service=my friend").strip() == ""


def test_entries_are_made_renamed_moved_shown_and_saved(daemon: CideryDaemon, page: Page, tmp_path: Path) -> None:
    root = daemon.add(sample_folder(tmp_path / "some"))
    daemon.run("files", "cp", f"/ipfs/{root}/Holidays", "/Holidays")
    daemon.run("files", "cp", f"/ipfs/{root}/table.csv", "/table.csv")
    enter(page, daemon)
    page.get_by_role("button", name="New folder").click()
    page.get_by_label("Name").fill("Box #1")
    page.get_by_role("button", name="Make").click()
    expect(page.get_by_role("link", name="Box #1")).to_be_visible()

    page.get_by_role("button", name="table.csv", exact=True).click()
    expect(page.locator(".preview pre")).to_contain_text("apple,3")
    with page.expect_download() as saved:
        page.get_by_role("link", name="Download", exact=True).click()
    assert saved.value.suggested_filename == "table.csv"
    assert Path(saved.value.path()).read_bytes() == (tmp_path / "some/table.csv").read_bytes()
    page.get_by_role("button", name="Rename").click()
    page.locator("#ask").fill("fruit.csv")
    page.get_by_role("dialog").get_by_role("button", name="Rename").click()
    page.get_by_role("button", name="Actions for fruit.csv").click()
    page.get_by_role("button", name="Move", exact=True).click()
    page.locator("#ask").fill("/Box #1")
    page.get_by_role("dialog").get_by_role("button", name="Move").click()
    expect(page.get_by_text("Moved to /Box #1")).to_be_visible()
    assert daemon.run("files", "ls", "/Box #1").split() == ["fruit.csv"]
    page.get_by_role("link", name="Box #1").click()
    expect(page.get_by_role("button", name="fruit.csv", exact=True)).to_be_visible()

    visit(page, "files/Holidays")
    page.get_by_role("button", name="lake.svg", exact=True).click()
    until(page, "document.querySelector('.preview img')?.naturalWidth > 0")
    page.keyboard.press("Escape")
    visit(page, "files")
    page.get_by_role("button", name="Actions for Holidays").click()
    for name, suffix in (("Download as TAR", ".tar"), ("Download as CAR", ".car")):
        with page.expect_download() as saved:
            page.get_by_role("link", name=name).click()
        assert saved.value.suggested_filename == f"Holidays{suffix}" and Path(saved.value.path()).stat().st_size > 500


def test_films_sound_and_papers_are_shown_before_anything_is_saved(
    daemon: CideryDaemon, page: Page, tmp_path: Path
) -> None:
    seconds, rate = 600, 8000
    with wave.open(str(tmp_path / "speech.wav"), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(1)
        sound.setframerate(rate)
        sound.writeframes(os.urandom(rate) * seconds)
    page.goto(base_of(daemon).replace("127.0.0.1", "localhost") + "/webui")
    (tmp_path / "film.webm").write_bytes(recorded_film(page))
    (tmp_path / "paper.pdf").write_bytes(PAPER)
    for name in ("speech.wav", "film.webm", "paper.pdf"):
        daemon.run("files", "cp", f"/ipfs/{daemon.add(tmp_path / name)}", f"/{name}")
    asked: list[str] = []
    types: dict[str, str] = {}
    page.on("request", lambda one: asked.append(one.headers.get("range", "")))
    page.on("response", lambda one: types.update({one.url.rpartition("=")[2]: one.headers.get("content-type", "")}))
    enter(page, daemon)

    page.get_by_role("button", name="speech.wav", exact=True).click()
    until(page, f"Math.abs(document.querySelector('.preview audio')?.duration - {seconds}) < 1")
    page.evaluate(f"void (document.querySelector('.preview audio').currentTime = {seconds - 60})")
    until(page, "!document.querySelector('.preview audio').seeking")
    begun = [int(one.removeprefix("bytes=").partition("-")[0]) for one in asked if one.startswith("bytes=")]
    assert max(begun) > rate * seconds / 2, f"the second half was asked for by itself: {asked}"
    page.keyboard.press("Escape")

    page.get_by_role("button", name="film.webm", exact=True).click()
    until(page, "document.querySelector('.preview video')?.videoWidth == 64")
    page.evaluate(
        "void (document.querySelector('.preview video').muted = true, document.querySelector('.preview video').play())"
    )
    until(page, "document.querySelector('.preview video').ended")
    page.evaluate("void (document.querySelector('.preview video').currentTime = 0.2)")
    until(page, "!document.querySelector('.preview video').seeking")
    page.keyboard.press("Escape")

    with page.expect_response(lambda one: one.url.endswith("filename=paper.pdf")):
        page.get_by_role("button", name="paper.pdf", exact=True).click()
    assert (types["speech.wav"], types["film.webm"], types["paper.pdf"]) == (
        "audio/wav",
        "video/webm",
        "application/pdf",
    )


def test_several_entries_are_moved_and_removed_at_once(daemon: CideryDaemon, page: Page) -> None:
    for name in "abcd":
        daemon.run("files", "mkdir", f"/{name}")
    enter(page, daemon)
    for name in "ab":
        page.get_by_role("checkbox", name=f"Choose {name}").check()
    page.get_by_role("group", name="2 chosen").get_by_role("button", name="Move", exact=True).click()
    page.locator("#ask").fill("/d/e")
    page.get_by_role("dialog").get_by_role("button", name="Move").click()
    expect(page.get_by_role("link", name="a", exact=True)).to_have_count(0)
    assert daemon.run("files", "ls", "/d/e").split() == ["a", "b"]
    for name in "cd":
        page.get_by_role("checkbox", name=f"Choose {name}").check()
    page.get_by_role("button", name="Remove").click()
    expect(page.get_by_text("Nothing here yet")).to_be_visible()
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_role("link", name="d", exact=True)).to_be_visible()
    assert daemon.run("files", "ls").split() == ["c", "d"] and daemon.run("files", "ls", "/d/e").split() == ["a", "b"]


def test_what_is_dropped_on_the_page_is_added_to_the_folder_shown(daemon: CideryDaemon, page: Page) -> None:
    daemon.run("files", "mkdir", "/here")
    enter(page, daemon, "files/here")
    expect(page.get_by_text("This folder is empty")).to_be_visible()
    page.evaluate(
        """() => { const dataTransfer = new DataTransfer()
        dataTransfer.items.add(new File(['dropped'], 'a b+%.txt')); dataTransfer.items.add(new File([], 'empty.txt'))
        for (const kind of ['dragenter', 'dragover', 'drop'])
          document.querySelector('.empty').dispatchEvent(new DragEvent(kind, {dataTransfer, bubbles: true})) }"""
    )
    expect(page.get_by_text("Stored 2 files")).to_be_visible(timeout=WAIT)
    assert daemon.run("files", "ls", "/here").splitlines() == ["a b+%.txt", "empty.txt"]
    assert daemon.run("files", "read", "/here/a b+%.txt") == "dropped"


def test_a_name_that_is_taken_gets_a_number(daemon: CideryDaemon, page: Page, tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    enter(page, daemon)
    for content in ("one", "two"):
        file.write_text(content)
        page.set_input_files("input[type=file]:not([webkitdirectory])", str(file))
        expect(page.get_by_text("Stored 1 file")).to_have_count(1 if content == "one" else 2, timeout=WAIT)
    assert [daemon.run("files", "read", path) for path in ("/a.txt", "/a (2).txt")] == ["one", "two"]


def test_an_upload_survives_a_killed_daemon(daemon: CideryDaemon, page: Page, tmp_path: Path) -> None:
    daemon.close()
    port = base_free_port(daemon)
    daemon.start()
    file = _large(tmp_path)
    enter(page, daemon)
    _send_slowly(page, file)
    daemon.signal(9)
    expect(page.get_by_text("the upload goes on when it is back")).to_be_visible(timeout=WAIT)
    daemon.close()
    daemon.start()
    assert base_of(daemon).endswith(port)
    expect(page.get_by_text("were there already")).to_be_visible(timeout=WAIT)
    expect(page.get_by_text("Stored 1 file")).to_be_visible(timeout=60_000)
    _check_stored(daemon, file)


def test_an_upload_goes_on_after_a_reload_with_the_same_files(daemon: CideryDaemon, page: Page, tmp_path: Path) -> None:
    file = _large(tmp_path)
    enter(page, daemon)
    _send_slowly(page, file)
    page.on("dialog", lambda asked: asked.accept())
    page.reload()
    visit(page, "jobs")
    expect(page.get_by_text("add the same files again to go on")).to_be_visible(timeout=WAIT)
    visit(page, "files")
    expect(page.get_by_text("The upload of large.bin broke off")).to_be_visible()
    page.set_input_files("input[type=file]:not([webkitdirectory])", str(file))
    expect(page.get_by_text("were there already")).to_be_visible(timeout=WAIT)
    expect(page.get_by_text("Stored 1 file")).to_be_visible(timeout=60_000)
    _check_stored(daemon, file)


def test_many_small_files_go_in_parts_and_survive_a_killed_daemon(
    daemon: CideryDaemon, page: Page, tmp_path: Path
) -> None:
    tree = tmp_path / "many"
    for count in range(SMALL_FILES):
        file = tree / str(count % 40) / f"{count}.bin"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(os.urandom(5000))
        os.utime(file, (1_700_000_000, 1_700_000_000))
    daemon.close()
    base_free_port(daemon)
    daemon.start()
    enter(page, daemon)
    asked: list[str] = []
    page.on("request", lambda sent: asked.append(sent.url) if "/add?" in sent.url else None)
    _at_a_rate(page, 8 << 20)
    drop(page, tree)
    until(page, "document.querySelector('.tray progress')?.value > 10 * 2 ** 20")  # the first part is stored
    daemon.signal(9)
    expect(page.get_by_text("the upload goes on when it is back")).to_be_visible(timeout=WAIT)
    daemon.close()
    daemon.start()
    expect(page.get_by_text("were there already")).to_be_visible(timeout=WAIT)
    expect(page.get_by_text("Stored 4,000 files")).to_be_visible(timeout=60_000)
    only = daemon.run("add", "-r", "-Q", "--only-hash", str(tree)).strip()
    assert daemon.run("files", "stat", "--hash", "/many").strip() == only, "what the command line makes of it"
    assert ["more-follows" in url for url in asked] == [True] * (len(asked) - 1) + [False]
    assert 3 <= len(asked) <= 6, "parts of some MB, not a request for each file"


def test_a_file_that_changes_while_it_waits_is_named(daemon: CideryDaemon, page: Page, tmp_path: Path) -> None:
    enter(page, daemon)
    file = tmp_path / "diary.txt"
    file.write_text("Monday")
    page.route("**/jobs/known?*", lambda route: (file.write_text("Monday, Tuesday"), route.continue_()))
    page.set_input_files("input[type=file]:not([webkitdirectory])", str(file))
    expect(page.get_by_text("diary.txt cannot be read: it was changed or removed")).to_be_visible(timeout=WAIT)
    page.get_by_role("group", name="Upload of diary.txt").get_by_role("button", name="Cancel").click()


def test_a_cancelled_upload_leaves_nothing(daemon: CideryDaemon, page: Page, tmp_path: Path) -> None:
    enter(page, daemon)
    _send_slowly(page, _large(tmp_path))
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_text("Cancelled: large.bin")).to_be_visible()
    expect(page.locator(".tray progress")).to_have_count(0)
    end = time.monotonic() + 20
    while "Upload of large.bin" in daemon.run("jobs", "ls") and time.monotonic() < end:
        page.wait_for_timeout(200)
    assert "Upload of large.bin" not in daemon.run("jobs", "ls") and daemon.run("files", "ls") == ""


def _large(folder: Path) -> Path:
    file = folder / "large.bin"
    with file.open("wb") as out:
        for _ in range(192):
            out.write(os.urandom(1 << 20))
    old = time.time() - 60  # a file that changes while it is added is never gone on with
    os.utime(file, (old, old))
    return file


def _send_slowly(page: Page, file: Path) -> None:
    """Begin an upload on a line of 24 MiB/s; returns when a third of it is sent."""
    _at_a_rate(page, 24 << 20)
    page.set_input_files("input[type=file]:not([webkitdirectory])", str(file))
    until(page, "document.querySelector('.tray progress')?.value > 64 * 2 ** 20")


def _at_a_rate(page: Page, upload: int) -> None:
    """Slow the uploads of a page down to so many bytes a second."""
    session = page.context.new_cdp_session(page)
    session.send("Network.enable")
    slow = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": upload}
    session.send("Network.emulateNetworkConditions", slow)


def _check_stored(daemon: CideryDaemon, file: Path) -> None:
    read = hashlib.sha256(urllib.request.urlopen(_content(daemon, f"/{file.name}")).read())
    assert read.digest() == hashlib.sha256(file.read_bytes()).digest()
    only = daemon.run("add", "-Q", "--only-hash", str(file)).strip()
    assert daemon.run("files", "stat", "--hash", f"/{file.name}").strip() == only, "what the command line makes of it"


def base_free_port(daemon: CideryDaemon) -> str:
    """Give the daemon an RPC port that stays the same over restarts; returns it."""
    import socket

    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    daemon.run("config", "Addresses.API", f"/ip4/127.0.0.1/tcp/{port}")
    return f":{port}"


def _content(daemon: CideryDaemon, path: str) -> str:
    cid = daemon.run("files", "stat", "--hash", path).strip()
    return f"{(daemon.repo / 'gateway').read_text().strip()}/ipfs/{cid}"


def test_a_folder_of_100000_entries_opens_at_once_and_scrolls(daemon: CideryDaemon, page: Page, tmp_path: Path) -> None:
    big = tmp_path / "big"
    big.mkdir()
    for count in range(ROWS):
        (big / f"{count:06}.txt").touch()
    daemon.run("files", "cp", f"/ipfs/{daemon.add(big)}", "/big")
    enter(page, daemon)
    began = time.monotonic()
    visit(page, "files/big")
    page.wait_for_selector(".row")
    assert time.monotonic() - began < 10
    assert page.locator(".row").count() < 100, "a window"
    until(
        page,
        """(() => { const box = document.querySelector('.rows'); box.scrollTop = box.scrollHeight
        return [...document.querySelectorAll('.row')].some(row => row.ariaPosInSet == '100000') })()""",
        90,
    )
    expect(page.get_by_text("100,000 entries")).to_be_visible()
    page.evaluate("document.querySelector('.rows').scrollTop /= 2")
    until(page, f"Math.abs({TOPMOST} - 50000) < 100")  # the bar stands for the whole list
    row = page.evaluate(TOPMOST)
    page.evaluate("document.querySelector('.rows').scrollTop += 48")
    until(page, f"{TOPMOST} == {row + 1}")  # a small step is one of rows
    assert page.evaluate("document.querySelector('.window').offsetHeight") < 10_000_000, "no browser cuts it off"
    frames = page.evaluate(
        """async () => { const box = document.querySelector('.rows'), end = performance.now() + 2000
        let frames = 0; while (performance.now() < end) { box.scrollTop = (frames * 7919) % box.scrollHeight
          await new Promise(requestAnimationFrame); frames++ } return frames / 2 }"""
    )
    assert frames > 15, f"{frames} frames a second"


def test_content_is_found_pinned_added_and_explained(daemon: CideryDaemon, page: Page, tmp_path: Path) -> None:
    (tmp_path / "far.txt").write_text("from far away")
    with CideryDaemon(tmp_path / "far") as far:
        cid = far.add(tmp_path / "far.txt")
        daemon.connect(far.addr)
        enter(page, daemon, "get")
        page.get_by_label("CID, path").fill(f"https://dweb.link/ipfs/{cid}?x=1")
        page.get_by_role("button", name="Find").click()
        expect(page.get_by_text("13 B")).to_be_visible(timeout=WAIT)
        page.get_by_role("button", name="Fetch all and pin").click()
        expect(page.get_by_text("Pinned")).to_be_visible(timeout=WAIT)
        page.get_by_role("button", name="Add to files").click()
        page.locator("#ask").fill("/got/far.txt")
        page.get_by_role("dialog").get_by_role("button", name="Add to files").click()
        expect(page.get_by_text("Added to the files as /got/far.txt")).to_be_visible()
        assert daemon.run("files", "read", "/got/far.txt") == "from far away"
        page.get_by_role("button", name="Why is it so?").click()
        expect(page.locator("main table")).to_contain_text("whole, 1 block")
        visit(page, f"explore/{cid}")
        expect(page.locator("main pre")).to_contain_text("66 72 6f 6d")
        visit(page, f"get//ipfs/{cid}")
        with page.expect_download() as saved:
            page.get_by_role("link", name="Download", exact=True).click()
        assert Path(saved.value.path()).read_text() == "from far away"
        with page.expect_download() as saved:
            page.get_by_role("link", name="Download as CAR").click()
        assert saved.value.suggested_filename == f"{cid}.car"


def test_a_pin_in_the_background_is_seen_to_come(daemon: CideryDaemon, page: Page, tmp_path: Path) -> None:
    (tmp_path / "later.txt").write_text("it comes later")
    with CideryDaemon(tmp_path / "far") as far:
        cid = far.add(tmp_path / "later.txt")
        page.set_viewport_size({"width": 390, "height": 844})
        enter(page, daemon, "pins")
        page.get_by_role("button", name="Add a pin").click()
        page.get_by_label("CID, path").fill(cid)
        page.get_by_label("Name (optional)").fill("later")
        page.get_by_label("Days to keep it").fill("3")
        page.get_by_role("button", name="Pin", exact=True).click()
        waiting = page.locator("main .notice", has_text="later")
        expect(waiting).to_contain_text(re.compile("Waiting|Being fetched|Failed"))
        daemon.connect(far.addr)
        expect(page.get_by_role("button", name="Unpin later")).to_be_visible(timeout=WAIT)
        expect(waiting).to_have_count(0)
        expect(page.locator(".row .sub")).to_contain_text("until")


def test_the_network_room_shows_what_came_from_whom_the_dht_and_the_budgets(
    browser: Browser, page: Page, tmp_path: Path
) -> None:
    (tmp_path / "large").write_bytes(os.urandom(2_000_000))
    with CideryDaemon(tmp_path / "far") as far, CideryDaemon(tmp_path / "near") as near:
        near.connect(far.addr)
        near.run("get", far.add(tmp_path / "large"), "-o", str(tmp_path / "got"))
        enter(page, near, "peers")
        row = page.locator("main tr", has_text=far.peer_id[-10:])
        expect(row.locator("td").nth(4)).to_have_text(re.compile(r"2\.[0-2] MB"))
        expect(row.locator("td").nth(5)).to_contain_text("kB")
        expect(page.get_by_text("1 by TCP")).to_be_visible()
        expect(page.get_by_role("img", name="Bandwidth of the last day")).to_be_visible()
        expect(page.get_by_text("Routing is switched off: set Routing.Type")).to_be_visible()
        expect(page.get_by_role("row", name="connections 1", exact=False).first).to_contain_text("192")
    config = {"Routing.Type": '"dhtserver"', "Routing.LoopbackAddressesOnLanDHT": "true"}
    with CideryDaemon(tmp_path / "server", config) as one, CideryDaemon(tmp_path / "other", config) as other:
        other.connect(one.addr)
        with browser.new_context() as context:
            shown = context.new_page()
            enter(shown, one, "peers")
            local = shown.locator("main tr", has_text="local networks")
            expect(local).to_contain_text("serves it", timeout=WAIT)
            expect(local.locator("td").nth(2)).to_have_text("1", timeout=WAIT)


def test_a_folder_is_dragged_in_from_a_file_manager(daemon: CideryDaemon, page: Page, tmp_path: Path) -> None:
    folder = sample_folder(tmp_path / "My pictures")
    (folder / "nothing in it").mkdir()
    cid = daemon.run("add", "-r", "-H", "-Q", "--only-hash", str(folder)).strip()
    enter(page, daemon)
    expect(page.get_by_text("Nothing here yet")).to_be_visible()
    drag_in(page, folder, 600, 220)
    expect(page.get_by_role("link", name="My pictures")).to_be_visible(timeout=WAIT)
    assert daemon.run("files", "stat", "--hash", "/My pictures").strip() == cid


def test_a_file_may_be_dropped_anywhere_and_never_takes_the_place_of_the_page(
    daemon: CideryDaemon, page: Page, tmp_path: Path
) -> None:
    (tmp_path / "a.txt").write_text("a")
    (tmp_path / "b.txt").write_text("b")
    enter(page, daemon)
    drag_in(page, tmp_path / "a.txt", 600, 690)
    expect(page.get_by_role("button", name="a.txt", exact=True)).to_be_visible(timeout=WAIT)
    visit(page, "status")
    expect(page.get_by_role("heading", name="Status")).to_be_visible()
    drag_in(page, tmp_path / "b.txt", 600, 300)
    visit(page, "files")
    expect(page.get_by_role("button", name="a.txt", exact=True)).to_be_visible()  # the room is there
    drag_in(page, tmp_path / "b.txt", 60, 600)
    expect(page.get_by_role("button", name="b.txt", exact=True)).to_be_visible(timeout=WAIT)
    assert daemon.run("files", "ls").split() == ["a.txt", "b.txt"]


def drag_in(page: Page, path: Path, x: int, y: int) -> None:
    """Drop a file or folder of the disk onto a point of the page, as the system's file manager does."""
    driver = page.context.new_cdp_session(page)
    data = {"items": [], "files": [str(path)], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        driver.send("Input.dispatchDragEvent", {"type": kind, "x": x, "y": y, "data": data})


def test_what_goes_wrong_in_a_dialog_is_said_in_it(daemon: CideryDaemon, page: Page) -> None:
    enter(page, daemon, "names")
    page.get_by_role("button", name="Use a domain").click()
    page.get_by_label("Your domain").fill("example.org")
    page.get_by_role("button", name="Check").click()
    said = page.get_by_role("dialog").get_by_text("_dnslink.example.org cannot be looked up")
    expect(said).to_be_visible(timeout=WAIT)
    page.get_by_role("dialog").get_by_role("button", name="Close").last.click()
    expect(said).to_have_count(0)
    expect(page.get_by_role("dialog")).to_be_visible()


def test_the_shortest_cid_is_one_and_an_error_is_said_once(daemon: CideryDaemon, page: Page) -> None:
    enter(page, daemon, "explore/bafkqaaa")
    expect(page.get_by_text("identity")).to_be_visible()
    visit(page, "get/example.org")
    expect(page.get_by_role("alert")).to_contain_text("_dnslink.example.org")
    page.wait_for_load_state("networkidle")
    expect(page.get_by_role("alert")).to_have_count(1)


def test_settings_are_checked_and_saved_and_names_published(daemon: CideryDaemon, page: Page) -> None:
    enter(page, daemon, "settings")
    page.get_by_label("Search settings").fill("StorageMax")
    field = page.locator("[id='set-Datastore.StorageMax']")
    field.fill("lots")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("alert")).to_contain_text("Datastore.StorageMax")
    field.fill("20GB")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Saved Datastore.StorageMax")).to_be_visible()
    assert daemon.run("config", "Datastore.StorageMax").strip() == "20GB"
    key = json.loads((daemon.repo / "config").read_text())["Identity"]["PrivKey"]
    field.fill("")
    page.get_by_role("button", name="Save").click()
    expect(field).to_have_attribute("placeholder", "not set")
    expect(page.get_by_role("button", name="Save")).to_have_count(0)
    config = json.loads((daemon.repo / "config").read_text())
    assert "StorageMax" not in config["Datastore"] and config["Identity"]["PrivKey"] == key

    daemon.run("files", "mkdir", "/site")
    visit(page, "names")
    page.get_by_role("button", name="New key").click()
    page.locator("#ask").fill("site")
    page.get_by_role("button", name="Make").click()
    page.locator(".card", has_text="site").get_by_role("button", name="Publish").click()
    page.locator("#ask").fill("/site")
    page.get_by_role("dialog").get_by_role("button", name="Publish").click()
    cid = daemon.run("files", "stat", "--hash", "/site").strip()
    expect(page.locator(".card", has_text=cid)).to_be_visible()
    key = next(line.split()[0] for line in daemon.run("key", "ls", "-l").splitlines() if line.endswith("site"))
    assert daemon.run("name", "resolve", "--offline", key).strip() == f"/ipfs/{cid}"


def test_without_a_link_the_page_says_how_to_get_in_and_nothing_else(daemon: CideryDaemon, page: Page) -> None:
    base = base_of(daemon)
    page.goto(f"{base}/webui")
    expect(page.get_by_text("cidery ui")).to_be_visible()
    assert page.locator("nav").count() == 0
    call = "async () => (await fetch('/api/v0/config/show', {method: 'POST'})).status"
    assert page.evaluate(call) == 401, "a page of this origin has no rights of its own"
    link = daemon.run("ui", "--no-open").strip()
    page.goto(link)
    page.wait_for_selector("nav")
    assert "ticket" not in page.url
    page.evaluate("sessionStorage.clear()")
    page.goto("about:blank")
    page.goto(link)
    expect(page.get_by_text("this link was opened already")).to_be_visible()


def test_the_way_to_the_official_page_says_what_is_missing(daemon: CideryDaemon, page: Page) -> None:
    page.goto(f"{base_of(daemon)}/webui-official")
    expect(page.get_by_role("status")).to_contain_text("cidery ui")
    enter(page, daemon)
    page.goto(f"{base_of(daemon)}/webui-official")
    expect(page.get_by_text("The node neither has the official page nor finds it")).to_be_visible(timeout=WAIT)
    assert page.evaluate("localStorage.getItem('ipfsApi')") is None


def test_a_link_of_the_system_opens_its_content(daemon: CideryDaemon, page: Page) -> None:
    enter(page, daemon)
    other = page.context.new_page()
    other.goto(f"{base_of(daemon)}/webui?open=ipfs%3A%2F%2Fbafkqad3imvwgy3zamzzg63jajfiemuy")
    expect(other.get_by_text("File · ")).to_be_visible()
    for route, room in (("ipfs/bafkqaaa", "Get"), ("explore/ipfs/bafkqaaa", "Explore"), ("diagnostics", "Status")):
        other.goto(f"{base_of(daemon)}/webui#/{route}")
        expect(other.get_by_role("heading", name=room)).to_be_visible()
        expect(other.get_by_role("alert")).to_have_count(0)
    other.goto(f"{base_of(daemon)}/webui#/files/100%")
    expect(other.get_by_role("alert")).to_contain_text("/100%: file does not exist")


def test_the_page_can_be_installed_as_an_application_that_takes_ipfs_links(daemon: CideryDaemon, page: Page) -> None:
    enter(page, daemon)
    driver = page.context.new_cdp_session(page)
    found = driver.send("Page.getAppManifest")
    assert found["errors"] == [] and driver.send("Page.getInstallabilityErrors")["installabilityErrors"] == []
    assert {one["protocol"] for one in json.loads(found["data"])["protocol_handlers"]} == {"ipfs", "ipns"}


def test_names_of_any_letters_are_shown_and_saved_and_run_nothing(
    daemon: CideryDaemon, page: Page, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("content")
    cid = daemon.add(tmp_path / "file")
    names = [
        "<img src=x onerror=window.ran=1>",
        '"><script>window.ran=1<',
        "a#b?c%2fd",
        "line\nbreak",
        "javascript:alert(1)",
    ]
    for name in names:
        daemon.run("files", "cp", f"/ipfs/{cid}", f"/{name}")
    daemon.run("pin", "add", "--name", names[0], cid)
    enter(page, daemon)
    expect(page.locator(".row button.name")).to_have_count(len(names))
    for at in range(len(names)):
        page.locator(".row button.name").nth(at).click()
        with page.expect_download() as saved:
            page.get_by_role("link", name="Download", exact=True).click()
        assert Path(saved.value.path()).read_text() == "content"
        page.keyboard.press("Escape")
        expect(page.get_by_role("dialog")).to_have_count(0)
    visit(page, "pins")
    expect(page.get_by_role("button", name=names[0], exact=True)).to_be_visible()
    assert page.evaluate("window.ran") is None


def test_another_tab_gets_in_through_an_open_one(daemon: CideryDaemon, page: Page) -> None:
    enter(page, daemon)
    other = page.context.new_page()
    other.goto(f"{base_of(daemon)}/webui#/status")
    expect(other.get_by_role("heading", name="Status")).to_be_visible()


def test_pages_of_other_origins_get_no_session_and_cannot_frame_the_page(
    daemon: CideryDaemon, page: Page, tmp_path: Path
) -> None:
    ticket = daemon.run("ui", "--no-open").strip().partition("ticket=")[2]
    (tmp_path / "hostile.html").write_text("<title>hostile</title>")
    cid = daemon.add(tmp_path / "hostile.html")
    base = base_of(daemon)
    gateway = (daemon.repo / "gateway").read_text().strip()
    page.goto(f"{gateway.replace('127.0.0.1', 'localhost')}/ipfs/{cid}?filename=hostile.html")
    assert page.title() == "hostile"
    how = json.dumps({"method": "POST", "headers": {"Authorization": f"Ticket {ticket}"}})
    session = f"fetch('{base}/webui/session', {how}).then(answer => answer.text(), () => 'refused')"
    assert page.evaluate(session) == "refused"
    framed = f"""() => new Promise(done => {{ const frame = document.createElement('iframe'); frame.src = '{base}/webui'
        frame.onload = () => {{ try {{ done(frame.contentDocument ? 'read' : 'opaque') }} catch {{ done('opaque') }} }}
        document.body.append(frame) }})"""
    assert page.evaluate(framed) == "opaque"
    rebound = urllib.request.Request(f"{base}/webui", headers={"Host": "evil.example"})
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(rebound)


def test_the_page_is_light_asks_nobody_else_and_shows_soon(daemon: CideryDaemon, page: Page) -> None:
    answers: list[Response] = []
    page.on("response", lambda one: answers.append(one))
    enter(page, daemon)
    shown = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
    for room in ROOMS:
        visit(page, room)
        page.wait_for_load_state("networkidle")
    hosts = {one.url.split("/")[2] for one in answers}
    assert hosts == {base_of(daemon).split("//")[1]}
    weight = sum(
        one.request.sizes()["responseBodySize"] for one in answers if "/webui" in one.url and one.status == 200
    )
    print(f"weight {weight} bytes, first view {shown:.0f} ms")
    assert 10_000 < weight < MAX_WEIGHT


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_screen_readers_find_no_serious_fault(
    daemon: CideryDaemon, browser: Browser, tmp_path: Path, scheme: str
) -> None:
    axe = BROWSER / "node_modules" / "axe-core" / "axe.min.js"
    require(axe.exists(), "axe-core")
    root = daemon.add(sample_folder(tmp_path / "some"))
    daemon.run("files", "cp", f"/ipfs/{root}", "/some")
    with browser.new_context(color_scheme=scheme) as context:
        page = context.new_page()
        enter(page, daemon)
        page.evaluate(axe.read_text())
        found: dict[str, list[str]] = {}
        for room in (*ROOMS, f"get/{root}", f"explore/{root}", "files/some"):
            visit(page, room)
            page.wait_for_load_state("networkidle")
            found[room] = _serious(page)
        visit(page, "files/some")
        page.get_by_role("button", name="table.csv", exact=True).click()
        page.wait_for_selector(".preview pre")
        found["entry"] = _serious(page)
        page.get_by_role("button", name="Share", exact=True).click()
        page.wait_for_selector("dialog .card")
        found["share"] = _serious(page)
        assert {room: faults for room, faults in found.items() if faults} == {}


def test_every_room_fits_a_phone(daemon: CideryDaemon, browser: Browser, tmp_path: Path) -> None:
    root = daemon.add(sample_folder(tmp_path / "some"))
    daemon.run("pin", "add", "--name", "a name of many words", root)
    daemon.run("files", "cp", f"/ipfs/{root}", "/some")
    with browser.new_context(viewport={"width": 360, "height": 640}) as context:
        page = context.new_page()
        enter(page, daemon)
        for room in (*ROOMS, f"get/{root}", f"explore/{root}", "files/some"):
            visit(page, room)
            page.wait_for_load_state("networkidle")
            over = """[...document.querySelectorAll('main *')].filter(one => !one.closest('.scroll') &&
                one.getBoundingClientRect().right > innerWidth + 1).map(one => one.outerHTML.slice(0, 99))"""
            assert page.evaluate(over) == [], room
            assert page.evaluate("document.documentElement.scrollWidth") <= 360


def _serious(page: Page) -> list[str]:
    result = page.evaluate("axe.run()")
    return [
        f"{one['id']}: {json.dumps([node['html'][:120] for node in one['nodes'][:3]])}"
        for one in result["violations"]
        if one["impact"] in ("serious", "critical")
    ]


def test_the_page_is_used_by_the_keyboard_alone(daemon: CideryDaemon, page: Page) -> None:
    daemon.run("files", "mkdir", "/folder")
    enter(page, daemon)
    page.wait_for_selector(".row")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.keyboard.press("Enter")
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.getAttribute('aria-label')") == "Actions for folder":
            break
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
