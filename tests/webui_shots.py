"""Pictures of every room of the web page, in light, dark and phone width, into out/ui/: `make ui`, to be looked at."""

import shutil
import sys
import tempfile
import time
from pathlib import Path

from playwright.sync_api import Page

from cidery.libp2p.protocols.bandwidth_day import EVERY, KEPT, BandwidthDay, Spell
from peers.cidery_daemon import CideryDaemon
from peers.pinning_service import PinningService
from peers.web_page import chromium, enter, sample_folder, until, visit

OUT = Path(__file__).resolve().parents[1] / "out" / "ui"
ROOMS = ("files", "get", "pins", "names", "explore", "peers", "jobs", "settings", "status")
LOOKS = {
    "light": {"color_scheme": "light", "viewport": {"width": 1280, "height": 800}},
    "dark": {"color_scheme": "dark", "viewport": {"width": 1280, "height": 800}},
    "phone": {"color_scheme": "light", "viewport": {"width": 390, "height": 844}},
}


def main() -> None:
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as folder, chromium() as browser:
        here = Path(folder)
        with CideryDaemon(here / "one") as one, CideryDaemon(here / "two") as two:
            one.close()
            (one.repo / "meta" / "bandwidth-day").write_bytes(a_day())
            one.start()
            two.connect(one.addr)
            root = one.add(sample_folder(here / "Pictures"))
            one.run("files", "cp", f"/ipfs/{root}", "/Pictures")
            for name in ("Holidays", "Letters", "table.csv", "recording.bin"):
                one.run("files", "cp", f"/ipfs/{root}/{name}", f"/{name}")
            one.run("pin", "add", "--name", "Pictures", root)
            one.run("key", "gen", "my-site")
            one.run("name", "publish", "--key", "my-site", "--allow-offline", f"/ipfs/{root}")
            with PinningService(two) as service:
                one.run("pin", "remote", "service", "add", "my other computer", service.endpoint, service.key)
                for look, how in LOOKS.items():
                    with browser.new_context(**how) as context:
                        shoot(context.new_page(), one, look, root)
    print(f"{len(list(OUT.iterdir()))} pictures in {OUT}")


def a_day() -> bytes:
    """The bandwidth of a day with a busy evening."""
    now = int(time.time()) // EVERY
    spells = [Spell(now - KEPT + at + 1, 40_000_000 // (1 + abs(at - 200)), 9_000_000 * (at % 7)) for at in range(KEPT)]
    return BandwidthDay(spells).encode()


def shoot(page: Page, daemon: CideryDaemon, look: str, root: str) -> None:
    page.goto(f"http://{'/'.join(daemon.run('ui', '--no-open').split('/')[2:3])}/webui")
    page.wait_for_selector("#enter:not([hidden])")
    page.screenshot(path=OUT / f"enter-{look}.png")
    enter(page, daemon)
    for room in ROOMS:
        place = {"get": f"get/{root}", "explore": f"explore/{root}"}.get(room, room)
        visit(page, place)
        page.wait_for_timeout(700)
        page.screenshot(path=OUT / f"{room}-{look}.png")
    visit(page, "files/Holidays")
    page.click("button.name:has-text('lake.svg')")
    until(page, "document.querySelector('.preview img')?.naturalWidth > 0")
    page.screenshot(path=OUT / f"entry-{look}.png")
    page.click("dialog button:has-text('Share')")
    page.wait_for_selector("dialog .card")
    page.screenshot(path=OUT / f"share-{look}.png")


if __name__ == "__main__":
    sys.exit(main())
