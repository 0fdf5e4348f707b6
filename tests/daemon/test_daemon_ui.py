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
