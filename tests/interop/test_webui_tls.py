"""The web page over TLS, in a browser on another machine as far as it can tell: by a name of the certificate."""

import json
from pathlib import Path

import pytest
from playwright.sync_api import expect

from peers.certificates import Authority
from peers.cidery_daemon import CideryDaemon
from peers.installed import BROWSER, require
from peers.web_page import chromium, visit

NAME = "node.example"
BLOCKED = ("Content Security Policy", "Mixed Content")
"""What the browser says where it stops the page."""


def test_the_page_works_by_a_name_of_the_certificate(tmp_path: Path) -> None:
    require(BROWSER.exists(), "Chromium")
    cert, key = Authority(tmp_path).sign(tmp_path, [NAME])
    config = {
        "API.TLS": json.dumps({"CertFile": str(cert), "KeyFile": str(key)}),
        "Addresses.API": json.dumps("/ip4/127.0.0.1/tcp/0/tls/http"),
    }
    (tmp_path / "note.txt").write_text("a note")
    with CideryDaemon(tmp_path / "node", config) as daemon, chromium(NAME) as browser:
        # the authority is that of this test; what a client makes of a certificate is tested with curl and others
        with browser.new_context(ignore_https_errors=True) as context:
            page = context.new_page()
            page.set_default_timeout(15_000)
            wrong: list[str] = []
            page.on("pageerror", lambda error: wrong.append(str(error)))
            page.on("console", lambda said: wrong.append(said.text) if any(map(said.text.count, BLOCKED)) else None)
            link = daemon.run("ui", "--no-open").strip()
            assert link.startswith("https://127.0.0.1:")
            page.goto(link.replace("127.0.0.1", NAME))
            page.wait_for_selector("nav a[aria-current=page]")
            visit(page, "files")
            page.set_input_files("input[type=file]:not([webkitdirectory])", str(tmp_path / "note.txt"))
            note = page.get_by_role("button", name="note.txt", exact=True)
            expect(note).to_be_visible()
            assert daemon.run("files", "read", "/note.txt") == "a note"
            # the gateway listens on 127.0.0.1, which is another machine for this browser: no link may lead there
            note.click()
            expect(page.get_by_text("need a gateway that this browser reaches")).to_be_visible()
            assert page.locator("[href*='127.0.0.1'], [src*='127.0.0.1']").count() == 0
            page.reload()
            page.wait_for_selector("nav a[aria-current=page]")
            assert wrong == []


def test_another_name_gets_nothing(tmp_path: Path) -> None:
    require(BROWSER.exists(), "Chromium")
    cert, key = Authority(tmp_path).sign(tmp_path, ["other.example"])
    config = {
        "API.TLS": json.dumps({"CertFile": str(cert), "KeyFile": str(key)}),
        "Addresses.API": json.dumps("/ip4/127.0.0.1/tcp/0/tls/http"),
    }
    with CideryDaemon(tmp_path / "node", config) as daemon, chromium(NAME) as browser:
        port = (daemon.repo / "api").read_text().split("/")[4]
        with browser.new_context(ignore_https_errors=True) as context:
            answer = context.new_page().goto(f"https://{NAME}:{port}/webui/")
            assert answer is not None and answer.status == 403
        with browser.new_context() as context, pytest.raises(Exception, match="ERR_CERT"):
            context.new_page().goto(f"https://{NAME}:{port}/webui/")
