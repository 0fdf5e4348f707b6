"""The page of a daemon in a real browser: opened as a user does, with a link of `cidery ui`."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from peers.cidery_daemon import CideryDaemon
from peers.installed import browser_command

PICTURE = """<svg xmlns="http://www.w3.org/2000/svg" width="480" height="320">
<rect width="480" height="320" fill="#7fb2d9"/><circle cx="360" cy="90" r="44" fill="#ffe08a"/>
<path d="M0 260 150 120 270 240 340 180 480 290V320H0z" fill="#3d6b4f"/></svg>"""


@contextmanager
def chromium(name: str = "localhost") -> Iterator[Browser]:
    """Every name but those of this machine leads nowhere: nothing is sent elsewhere. ``name``: is one of them, too."""
    program, env = browser_command()
    with sync_playwright() as driver:
        opened = driver.chromium.launch(
            executable_path=program,
            env=dict(env),
            args=[
                "--no-sandbox",
                f"--host-resolver-rules=MAP {name} 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost, "
                "EXCLUDE *.localhost",
            ],
        )
        yield opened
        opened.close()


def enter(page: Page, daemon: CideryDaemon, room: str = "files") -> None:
    """Open the page by a new link, and go to a room."""
    page.goto(daemon.run("ui", "--no-open").strip())
    visit(page, room)


def visit(page: Page, room: str) -> None:
    page.wait_for_selector("nav a[aria-current=page]")  # after a reload it may still be starting
    page.evaluate("to => { location.hash = to }", f"#/{room}")
    page.wait_for_selector(f"nav a[aria-current=page][href='#/{room.split('/')[0]}']")
    page.wait_for_selector("main h1")


def until(page: Page, script: str, seconds: float = 30.0) -> None:
    """Wait for a script to be true; the policy of the page forbids Playwright's own way, which is eval() there."""
    end = time.monotonic() + seconds
    while not page.evaluate(script):
        assert time.monotonic() < end, script
        page.wait_for_timeout(50)


def base_of(daemon: CideryDaemon) -> str:
    """http://127.0.0.1:PORT of the RPC."""
    parts = (daemon.repo / "api").read_text().strip().split("/")
    return f"http://{parts[2]}:{parts[4]}"


def sample_folder(at: Path) -> Path:
    """A folder as somebody may have it."""
    for name, content in {
        "Holidays/lake.svg": PICTURE.encode(),
        "Holidays/notes.txt": b"Three days at the lake.\n",
        "Letters/2024/to grandmother.md": b"# Dear grandmother\n\nthe pictures are on their way.\n",
        "table.csv": b"name,count\n" + b"apple,3\n" * 400,
        "recording.bin": os.urandom(3_000_000),
    }.items():
        path = at / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return at


def recorded_film(page: Page) -> bytes:
    """A second of WebM, 64 pixels wide, which the browser makes itself."""
    recorded = page.evaluate(
        """async () => {
          const canvas = document.createElement('canvas'), context = canvas.getContext('2d')
          canvas.width = canvas.height = 64
          const recorder = new MediaRecorder(canvas.captureStream(10), {mimeType: 'video/webm'})
          const parts = []
          recorder.ondataavailable = event => parts.push(event.data)
          const stopped = new Promise(resolve => { recorder.onstop = resolve })
          recorder.start()
          for (let at = 0; at < 10; at++) {
            context.fillStyle = `hsl(${at * 36} 90% 50%)`
            context.fillRect(0, 0, 64, 64)
            await new Promise(resolve => setTimeout(resolve, 100))
          }
          recorder.stop()
          await stopped
          return Array.from(new Uint8Array(await new Blob(parts).arrayBuffer()))
        }"""
    )
    return bytes(recorded)
