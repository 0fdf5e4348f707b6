"""IPFS Companion, the add-on itself, in Chromium on a real daemon.

It is in no registry: these tests run when IPFS_COMPANION names its built folder `add-on` (CONTRIBUTING.md), with a
Chromium that takes extensions: the system's, or the one that COMPANION_CHROMIUM names.
"""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from playwright.sync_api import BrowserContext, Error, Page, Worker, expect, sync_playwright

from daemon.test_daemon_dht import NameServer
from peers.cidery_daemon import CideryDaemon
from peers.web_page import base_of, enter, until

ADD_ON = os.environ.get("IPFS_COMPANION", "")
WAIT = 30_000
MENU, IMPORT = "contextMenu_parent", "contextMenu_importToIpfs"
"""Of the ids of its menus."""


class Companion(NamedTuple):
    context: BrowserContext
    worker: Worker
    page: Page

    @property
    def origin(self) -> str:
        return "chrome-extension://" + self.worker.url.split("/")[2]

    def use(self, daemon: CideryDaemon) -> None:
        """Set the addresses of a node, as its page of preferences does; it sends nothing to public gateways."""
        gateway = (daemon.repo / "gateway").read_text().strip().replace("127.0.0.1", "localhost")
        options = {
            "ipfsApiUrl": base_of(daemon),
            "customGatewayUrl": gateway,
            "preloadAtPublicGateway": False,
            "displayNotifications": False,
            "ipfsApiPollForegroundSeconds": 1,
        }
        self.worker.evaluate("options => chrome.storage.local.set(options)", options)

    def click(self, item: str, **info: str) -> None:
        """As Chromium tells it of a click in the context menu, which cannot be opened without a screen."""
        told = "clicked => chrome.contextMenus.onClicked.dispatch(clicked, undefined)"
        self.worker.evaluate(told, {"menuItemId": item, "editable": False, **info})

    def status_of(self, address: str) -> int:
        """What a call of its gets."""
        ask = "async address => (await fetch(address, {method: 'POST'})).status"
        return int(self.worker.evaluate(ask, address))


@pytest.fixture
def companion(tmp_path: Path) -> Iterator[Companion]:
    program = os.environ.get("COMPANION_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    if not ADD_ON or program is None:
        pytest.skip("IPFS_COMPANION names no built add-on, or there is no Chromium that takes extensions")
    with sync_playwright() as driver:
        context = driver.chromium.launch_persistent_context(
            str(tmp_path / "profile"),
            executable_path=program,
            headless=False,  # Playwright's headless takes no extensions; Chromium's own does
            args=[
                "--headless=new",
                "--no-sandbox",
                f"--disable-extensions-except={ADD_ON}",
                f"--load-extension={ADD_ON}",
                "--proxy-server=127.0.0.1:9",  # nothing leaves the machine
                "--proxy-bypass-list=127.0.0.1;localhost;*.localhost",
            ],
        )
        worker = context.service_workers[0] if context.service_workers else context.wait_for_event("serviceworker")
        until_set_up(worker)
        yield Companion(context, worker, context.new_page())
        context.close()


def until_set_up(worker: Worker) -> None:
    """It writes its defaults at its first start."""
    worker.evaluate(
        """async () => { while (!(await chrome.storage.local.get('ipfsApiUrl')).ipfsApiUrl)
        await new Promise(resolve => setTimeout(resolve, 50)) }"""
    )


def allowing(origin: str) -> dict[str, str]:
    return {"API.HTTPHeaders": json.dumps({"Access-Control-Allow-Origin": [origin]})}


def test_an_add_on_with_another_id_is_let_in_by_the_config_alone(companion: Companion, tmp_path: Path) -> None:
    with (
        CideryDaemon(tmp_path / "closed") as closed,
        CideryDaemon(tmp_path / "open", allowing(companion.origin)) as open_,
    ):
        assert companion.status_of(f"{base_of(closed)}/api/v0/id") == 403
        assert companion.status_of(f"{base_of(open_)}/api/v0/id") == 200


def test_it_connects_redirects_public_links_and_imports_files(companion: Companion, tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "index.html").write_text("<h1>from this machine</h1>")
    (tmp_path / "letter.txt").write_text("dear grandmother")
    with CideryDaemon(tmp_path / "node", allowing(companion.origin)) as node, CideryDaemon(tmp_path / "b") as other:
        other.connect(node.addr)
        root = node.add(tmp_path / "site")
        companion.use(node)
        page = companion.page
        page.goto(f"{companion.origin}/dist/landing-pages/welcome/index.html")
        expect(page.get_by_text("Your node is connected to 1")).to_be_visible(timeout=WAIT)

        port = (node.repo / "gateway").read_text().strip().rpartition(":")[2]
        _goes_to(page, f"https://ipfs.io/ipfs/{root}/", f"http://{root}.ipfs.localhost:{port}/")
        expect(page.get_by_role("heading", name="from this machine")).to_be_visible()

        ours = companion.context.new_page()
        enter(ours, node)  # its tab gives the session to the one that the add-on opens
        page.goto(f"{companion.origin}/dist/popup/quick-import.html")
        with companion.context.expect_page() as opened:
            page.locator("input[type=file]:not([webkitdirectory])").first.set_input_files(str(tmp_path / "letter.txt"))
        shown = opened.value
        expect(shown.get_by_role("button", name="letter.txt", exact=True)).to_be_visible(timeout=WAIT)
        assert f"{base_of(node)}/webui#/files/ipfs-companion-imports/" in shown.url
        (folder,) = node.run("files", "ls", "/ipfs-companion-imports").split()
        assert node.run("files", "read", f"/ipfs-companion-imports/{folder}/letter.txt") == "dear grandmother"
        until(shown, "document.querySelector('main h1') !== null")


def test_its_context_menus_import_what_is_selected_linked_or_shown(companion: Companion, tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "letter.txt").write_text("dear grandmother")
    with CideryDaemon(tmp_path / "node", allowing(companion.origin)) as node:
        root = node.add(tmp_path / "site")
        companion.use(node)
        ours = companion.context.new_page()
        enter(ours, node)
        port = (node.repo / "gateway").read_text().strip().rpartition(":")[2]
        letter = f"http://{root}.ipfs.localhost:{port}/letter.txt"
        page = companion.page
        page.goto(f"{companion.origin}/dist/landing-pages/welcome/index.html")
        expect(page.get_by_text("Your node is connected to 0")).to_be_visible(timeout=WAIT)
        page.goto(f"http://{root}.ipfs.localhost:{port}/")

        for item, about, name, content in (
            ("null_contextMenu_importToIpfsSelection", {"selectionText": "some words"}, None, "some words"),
            (f"{MENU}Link_{IMPORT}", {"linkUrl": letter}, "letter.txt", "dear grandmother"),
            (f"{MENU}Image_{IMPORT}", {"srcUrl": letter}, "letter.txt", "dear grandmother"),
        ):
            with companion.context.expect_page() as opened:
                companion.click(item, pageUrl=page.url, **about)
            shown = opened.value
            file = name or f"{root}.ipfs.localhost.txt"
            expect(shown.get_by_role("button", name=file, exact=True)).to_be_visible(timeout=WAIT)
            folder = shown.url.partition("#/files")[2].rstrip("/")
            assert node.run("files", "read", f"{folder}/{file}") == content
            shown.close()


def test_its_context_menus_copy_the_address_and_the_cid(companion: Companion, tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "letter.txt").write_text("dear grandmother")
    with CideryDaemon(tmp_path / "node", allowing(companion.origin)) as node:
        root = node.add(tmp_path / "site")
        letter = node.run("resolve", f"/ipfs/{root}/letter.txt").strip().removeprefix("/ipfs/")
        companion.use(node)
        page = companion.page
        page.goto(f"{companion.origin}/dist/landing-pages/welcome/index.html")
        expect(page.get_by_text("Your node is connected to 0")).to_be_visible(timeout=WAIT)
        gateway = (node.repo / "gateway").read_text().strip().replace("127.0.0.1", "localhost")
        companion.context.grant_permissions(["clipboard-read", "clipboard-write"])
        for form in (
            f"http://{root}.ipfs.{gateway.partition('//')[2]}/letter.txt",
            f"{gateway}/ipfs/{root}/letter.txt",
        ):
            for item, wanted in (("panelCopy_copyRawCid", letter), ("panel_copyCurrentPublicGwUrl", root)):
                page.goto(form)
                page.bring_to_front()
                companion.click(f"{MENU}Page_{item}", pageUrl=page.url)
                page.evaluate(
                    """async wanted => { while (!(await navigator.clipboard.readText()).includes(wanted))
                    await new Promise(resolve => setTimeout(resolve, 50)) }""",
                    wanted,
                )


def test_it_opens_sites_with_a_dnslink_from_the_node(companion: Companion, tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "index.html").write_text("<h1>a site of a domain</h1>")
    with CideryDaemon(tmp_path / "first") as first:
        root = first.add(tmp_path / "site")
    with NameServer({"_dnslink.site.example.com": f"dnslink=/ipfs/{root}"}) as names:
        config = {**allowing(companion.origin), "DNS.Resolvers": json.dumps({".": names.url})}
        with CideryDaemon(tmp_path / "node", config) as node:
            node.add(tmp_path / "site")
            companion.use(node)
            page = companion.page
            page.goto(f"{companion.origin}/dist/landing-pages/welcome/index.html")
            port = (node.repo / "gateway").read_text().strip().rpartition(":")[2]
            _goes_to(page, "http://site.example.com/", f"http://site.example.com.ipns.localhost:{port}/")
            expect(page.get_by_role("heading", name="a site of a domain")).to_be_visible(timeout=WAIT)


def _goes_to(page: Page, address: str, there: str) -> None:
    """Go there again and again: the add-on makes its rule of redirection when it first sees such an address."""
    for _ in range(20):
        try:
            page.goto(address, wait_until="commit")
        except Error:  # nothing answers at the address itself
            page.wait_for_timeout(500)
        if page.url == there:
            return
    raise AssertionError(page.url)
