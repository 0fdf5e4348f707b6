"""The web page in Chromium, on a real daemon: its weight and speed, an idle page, uploads, a million entries.

    python bench/webui.py [--rows 1000000] [--mib 4096] [--files 20000] [--seconds 20]

Prints each figure beside its bar; exits 1 if one is missed. Chromium draws its frames without a graphics card.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
from playwright.sync_api import Browser, Page

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from peers.cidery_daemon import CideryDaemon
from peers.web_page import chromium, enter, until, visit

ROOMS = ("files", "get", "pins", "names", "explore", "peers", "jobs", "settings", "status")
WEIGHT, FIRST_VIEW, IDLE, FRAMES, RATE, MEMORY, TIMES = 150, 300, 1.0, 55, 60, 200, 2.0
"""Bars: kB, ms, percent of a core, frames a second, percent of the command line's rate, MB, times a bare read."""
WAIT = 600.0
SCROLL = """async seconds => {
  const box = document.querySelector('.rows'), took = [], began = performance.now()
  let before = began
  while (before - began < seconds * 1000) {
    box.scrollTop += 40 + 2000 * (took.length % 50 === 49)
    await new Promise(requestAnimationFrame)
    const now = performance.now()
    took.push(now - before)
    before = now
  }
  took.sort((a, b) => a - b)
  return { rate: took.length / seconds, late: took[Math.floor(took.length * 0.95)] }
}"""
FIRST_SEEN = """new MutationObserver((_, seen) => {
  if (document.querySelector('main h1')) { window.firstSeen = performance.now(); seen.disconnect() }
}).observe(document, { childList: true, subtree: true })"""
missed: list[str] = []


def tell(what: str, value: float, unit: str, bar: float | None = None, *, least: bool = False) -> None:
    """Print a figure; ``least``: the bar is a minimum."""
    wrong = bar is not None and (value < bar if least else value > bar)
    if wrong:
        missed.append(what)
    aim = f"  (bar: {'at least' if least else 'at most'} {bar:g} {unit}{', MISSED' if wrong else ''})" if bar else ""
    print(f"{what}: {value:,.1f} {unit}{aim}", flush=True)


def weight(browser: Browser, daemon: CideryDaemon) -> None:
    with browser.new_context() as context:
        page = context.new_page()
        session = context.new_cdp_session(page)
        session.send("Network.enable")
        bodies: list[float] = []
        session.on("Network.loadingFinished", lambda done: bodies.append(done["encodedDataLength"]))
        enter(page, daemon)
        for room in ROOMS:
            visit(page, room)
            page.wait_for_timeout(200)
        tell("all rooms over the wire, answers of the RPC included", sum(bodies) / 1000, "kB", WEIGHT)
        page.add_init_script(FIRST_SEEN)
        took = []
        for _ in range(7):
            page.goto("about:blank")
            page.goto(f"http://127.0.0.1:{_port(daemon)}/webui#/files")
            page.wait_for_selector("main h1")
            took.append(page.evaluate("firstSeen - performance.getEntriesByType('navigation')[0].responseStart"))
        tell("first view after the daemon answers", statistics.median(took), "ms", FIRST_VIEW)


def _port(daemon: CideryDaemon) -> str:
    return (daemon.repo / "api").read_text().strip().split("/")[4]


def cpu(pid: int) -> float:
    used = psutil.Process(pid).cpu_times()
    return float(used.user + used.system)


def idle(page: Page, daemon: CideryDaemon, seconds: float) -> None:
    for room in ("files", "peers", "status"):
        visit(page, room)
        page.wait_for_timeout(1500)
        before = cpu(daemon.pid)
        page.wait_for_timeout(seconds * 1000)
        tell(f"daemon with an idle page at {room}", (cpu(daemon.pid) - before) / seconds * 100, "% of a core", IDLE)


def tab_memory() -> float:
    """MB of the largest renderer, its own pages."""
    sizes = [
        one.memory_full_info().uss
        for one in psutil.Process().children(recursive=True)
        if "--type=renderer" in one.cmdline()
    ]
    return max(sizes) / 1e6


async def million(repo: Path, count: int) -> str:
    """A sharded folder; its CID."""
    import cidery
    from cidery.core.adding.ingest import Batch
    from cidery.unixfs.directory import DirectoryEntry, directory
    from cidery.unixfs.importer import leaf
    from cidery.unixfs.profile import UNIXFS_V1_2025

    async with cidery.Node(repo, offline=True) as node:
        child, block = leaf(UNIXFS_V1_2025, b"x")
        batch = Batch(node.api.blocks)
        batch.put(block)
        entries = [DirectoryEntry(f"file-{number:08}.txt", child.cid, child.tsize) for number in range(count)]
        root = directory(UNIXFS_V1_2025, entries, batch.put).cid
        batch.flush()
        await node.api.blocks.sync()
        return str(root)


def rows(page: Page, count: int) -> None:
    began = time.perf_counter()
    visit(page, "files/big")
    page.wait_for_selector(".row")
    tell(f"a folder of {count:,} entries: first rows", (time.perf_counter() - began) * 1000, "ms")
    first = page.evaluate(SCROLL, 3)
    tell("scrolling while rows come", first["rate"], "frames/s", FRAMES, least=True)
    began = time.perf_counter()
    until(
        page,
        f"""(() => {{ const box = document.querySelector('.rows'); box.scrollTop = box.scrollHeight
        return [...document.querySelectorAll('.row')].some(row => row.ariaPosInSet == '{count}') }})()""",
        WAIT,
    )
    tell("to the last row", time.perf_counter() - began, "s")
    page.evaluate("document.querySelector('.rows').scrollTop /= 2")
    page.wait_for_timeout(300)
    seen = page.evaluate(SCROLL, 5)
    tell("scrolling in the middle of all", seen["rate"], "frames/s", FRAMES, least=True)
    tell("19 of 20 frames within", seen["late"], "ms")
    tell("memory of the tab with all rows", tab_memory(), "MB")


def upload(page: Page, daemon: CideryDaemon, place: Path, mib: int) -> None:
    file = place / "large.bin"
    with file.open("wb") as out:
        for _ in range(mib):
            out.write(os.urandom(1 << 20))
    took = timed(lambda: daemon.run("add", "-Q", "--pin=false", str(file), seconds=WAIT))
    daemon.run("repo", "gc", "-q")
    visit(page, "files")
    most = 0.0
    began = time.perf_counter()
    page.set_input_files("input[type=file]:not([webkitdirectory])", str(file))
    while "Stored" not in page.inner_text(".tray"):
        most = max(most, tab_memory())
        page.wait_for_timeout(200)
    mine = time.perf_counter() - began
    print(f"upload of {mib:,} MiB: {mib / mine:,.0f} MiB/s; cidery add: {mib / took:,.0f} MiB/s")
    tell("of the command line's rate", took / mine * 100, "%", RATE, least=True)
    tell("most memory of the tab meanwhile", most, "MB", MEMORY)
    file.unlink()


def timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def small(page: Page, daemon: CideryDaemon, place: Path, count: int) -> None:
    tree = place / "many"
    for number in range(count):
        file = tree / str(number // 500) / f"{number}.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(os.urandom(500 + number % 3000))
        os.utime(file, (1_700_000_000, 1_700_000_000))
    took = timed(lambda: daemon.run("add", "-rQ", "--pin=false", str(tree), seconds=WAIT))
    daemon.run("repo", "gc", "-q")
    visit(page, "files")
    page.reload()
    page.wait_for_selector("main h1")
    page.evaluate(
        """() => { const made = document.createElement('input')
        Object.assign(made, { type: 'file', id: 'floor', webkitdirectory: true }); document.body.append(made) }"""
    )
    page.set_input_files("#floor", str(tree))
    floor = page.evaluate(
        """async () => { const began = performance.now(), files = [...document.getElementById('floor').files]
        for (const one of files) if (one.size < 0) throw one
        for (let at = 0; at < files.length; at += 128) await new Blob(files.slice(at, at + 128)).arrayBuffer()
        document.getElementById('floor').remove()
        return (performance.now() - began) / 1000 }"""
    )
    page.set_input_files("input[type=file][webkitdirectory]", str(tree))
    began = time.perf_counter()
    until(page, "document.querySelector('.tray').innerText.includes('Stored')", WAIT)
    mine = time.perf_counter() - began
    print(
        f"upload of {count:,} small files: {mine:.1f} s; cidery add: {took:.1f} s; Chromium reading them: {floor:.1f} s"
    )
    tell("times the command line", mine / took, "")
    tell("times what Chromium alone takes to read them", mine / floor, "", TIMES)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--mib", type=int, default=4096)
    parser.add_argument("--files", type=int, default=20_000)
    parser.add_argument("--seconds", type=float, default=20.0, help="of watching an idle page")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, CideryDaemon(Path(folder) / "node") as daemon, chromium() as browser:
        weight(browser, daemon)
        with browser.new_context() as context:
            page = context.new_page()
            enter(page, daemon)
            idle(page, daemon, options.seconds)
            upload(page, daemon, Path(folder), options.mib)
            small(page, daemon, Path(folder), options.files)
        daemon.close()
        with ThreadPoolExecutor(1) as thread:  # Playwright's loop is this thread's
            root = thread.submit(asyncio.run, million(daemon.repo, options.rows)).result()
        daemon.start()
        daemon.run("files", "cp", f"/ipfs/{root}", "/big")
        with browser.new_context() as context:
            page = context.new_page()
            enter(page, daemon)
            rows(page, options.rows)
    if missed:
        print(f"missed: {'; '.join(missed)}")
    return bool(missed)


if __name__ == "__main__":
    sys.exit(main())
