"""`cidery ui` and `cidery shutdown` as a user has them: a daemon in the background, and a browser."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

END_SECONDS = 20.0


class Shell:
    """Command lines on one repository."""

    def __init__(self, folder: Path) -> None:
        self.repo = folder / "repo"
        self.seen = folder / "seen"
        browser = folder / "browser"
        browser.write_text(f'#!/bin/sh\necho "$1" >> "{self.seen}"\n')
        browser.chmod(0o755)
        self.env = {**os.environ, "CIDERY_PATH": str(self.repo), "BROWSER": f"{browser} %s"}

    def run(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """Waits for the end of the output, too: no daemon may hold it open, as one that needs the terminal would."""
        return subprocess.run(
            [sys.executable, "-m", "cidery", *words],
            env=self.env,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    made = Shell(tmp_path)
    assert made.run("init", "--profile", "test").returncode == 0
    return made


def test_ui_starts_a_daemon_that_stays_until_shutdown(shell: Shell) -> None:
    first = shell.run("ui", "--no-open")
    try:
        assert first.returncode == 0 and first.stdout.startswith("http://127.0.0.1:") and "#ticket=" in first.stdout
        second = shell.run("ui", "--print")
        assert second.returncode == 0 and second.stdout != first.stdout, "each link works once"
        assert first.stdout.partition("/webui")[0] == second.stdout.partition("/webui")[0], "the same daemon"
        opened = shell.run("ui")
        assert "cidery shutdown" in opened.stdout and "ticket" not in opened.stdout
        assert "#ticket=" in shell.seen.read_text()
        assert "Daemon is ready" in (shell.repo / "daemon.log").read_text()
    finally:
        ended = shell.run("shutdown")
    assert ended.returncode == 0
    end = time.monotonic() + END_SECONDS
    while (shell.repo / "api").exists() and time.monotonic() < end:
        time.sleep(0.05)
    assert "needs a running daemon" in shell.run("shutdown").stderr


def test_a_killed_daemon_is_replaced(shell: Shell) -> None:
    assert shell.run("ui", "--no-open").returncode == 0
    os.kill(json.loads((shell.repo / "repo.lock").read_text())["pid"], signal.SIGKILL)
    try:
        assert (shell.repo / "api").exists(), "its file is left"
        assert "#ticket=" in shell.run("ui", "--no-open").stdout
    finally:
        shell.run("shutdown")


def test_it_says_why_the_daemon_does_not_start(shell: Shell) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        shell.run("config", "Addresses.API", f"/ip4/127.0.0.1/tcp/{taken.getsockname()[1]}")
        done = shell.run("ui", "--no-open")
    assert done.returncode == 1 and "the RPC cannot listen on" in done.stderr and "daemon.log" in done.stderr


def test_a_socket_of_the_file_system_is_no_place_for_a_browser(shell: Shell, tmp_path: Path) -> None:
    shell.run("config", "Addresses.API", f"/unix{tmp_path}/s")
    done = shell.run("ui", "--no-open")
    shell.run("shutdown")
    assert done.returncode == 1 and "no browser opens" in done.stderr


def test_a_daemon_that_wants_secrets_opens_its_page_for_its_owner(shell: Shell) -> None:
    config = json.loads((shell.repo / "config").read_text())
    config["API"]["Authorizations"] = {"robot": {"AuthSecret": "bearer:robot", "AllowedPaths": ["/api/v0"]}}
    (shell.repo / "config").write_text(json.dumps(config))
    try:
        link = shell.run("ui", "--no-open").stdout
        assert "#ticket=" in link, "who can read the repository is the owner"
        address = link.partition("/webui")[0]
        assert shell.run("ui", "--no-open").stdout.startswith(address), "the same daemon"
        assert "a daemon runs" in shell.run("service", "status").stdout
        refused = shell.run("ui", "--no-open", f"--api={address}", "--api-auth=bearer:robot", "--repo-dir=/nowhere")
        assert refused.returncode == 1 and "gives no link to you" in refused.stderr
        assert not Path("/nowhere").exists()
    finally:
        shell.run("shutdown", "--api-auth=bearer:robot")
    gone = shell.run("ui", "--no-open", f"--api={address}")
    assert gone.returncode == 1 and not (shell.repo / "api").exists(), "none is started in the place of one elsewhere"
