"""The official page, ipfs-webui, on our RPC: the page itself, and its calls one by one with its own library.

It is in no registry. Its test runs when IPFS_WEBUI_BUILD names a folder with a build of its sources (CONTRIBUTING.md).
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from peers.cidery_daemon import CLI
from peers.waiting import until
from peers.web_page import chromium

BUILD = os.environ.get("IPFS_WEBUI_BUILD", "")
PEER = Path(__file__).resolve().parents[1] / "peers" / "official_page_peer.py"
WAIT = 30_000
UNKNOWN = ("pin/remote/service/ls", "pin/remote/ls", "name/resolve")
"""Calls that may fail: without a service, and of a name that is not published."""


@pytest.fixture
def repo(tmp_path: Path) -> Iterator[Path]:
    if not BUILD:
        pytest.skip("IPFS_WEBUI_BUILD names no build of ipfs-webui")
    made = tmp_path / "repo"
    cli([*CLI, "init", "--profile", "test"], made)
    cli([*CLI, "config", "Addresses.API", "/ip4/127.0.0.1/tcp/0"], made)
    with subprocess.Popen(
        [sys.executable, str(PEER), str(made), BUILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as peer:
        assert peer.stdout is not None
        assert peer.stdout.readline() == "ready\n"
        yield made
        peer.communicate()


def cli(words: list[str], repo: Path) -> str:
    env = {**os.environ, "CIDERY_PATH": str(repo)}
    return subprocess.run(words, env=env, capture_output=True, text=True, check=True, timeout=100).stdout.strip()


def test_the_official_page_works_with_the_session_of_ours(repo: Path, tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear grandmother")
    link = cli([*CLI, "ui", "--no-open"], repo)
    with chromium() as browser, browser.new_context() as context:
        page = context.new_page()
        refused: list[str] = []
        page.on("response", lambda one: refused.append(f"{one.status} {one.url}") if one.status >= 400 else None)
        page.goto(link)
        page.wait_for_selector("nav a")
        page.goto(link.partition("/webui")[0] + "/webui-official")
        expect(page.get_by_text("Connected to IPFS")).to_be_visible(timeout=WAIT)
        _adds_and_removes(page, tmp_path / "letter.txt")
        until(lambda: cli([*CLI, "files", "ls"], repo) == "letter.txt")  # the page names it before it is stored
        for room, shown in (("#/peers", "Add connection"), ("#/settings", "Kubo"), ("#/explore", "CID")):
            page.evaluate("to => { location.hash = to }", room)
            expect(page.get_by_text(shown).first).to_be_visible(timeout=WAIT)
        page.wait_for_timeout(2000)
        calls = [one for one in refused if "/api/v0/" in one and not any(path in one for path in UNKNOWN)]
        assert calls == []


def _adds_and_removes(page: Page, file: Path) -> None:
    page.evaluate("location.hash = '#/files/'")
    page.set_input_files("input[type=file]#file-input", str(file))
    expect(page.get_by_text("letter.txt").first).to_be_visible(timeout=WAIT)
