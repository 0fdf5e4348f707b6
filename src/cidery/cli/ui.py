"""`ui`: opens the web page of the daemon, and starts one first if none runs."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from cidery.client.address import Endpoint, find_daemon, parse_endpoint
from cidery.client.answer import DaemonGone, RpcError
from cidery.commands.definition import Call
from cidery.errors import Unavailable
from cidery.node.location import api_authorities
from cidery.plain_files import new_plain

START_SECONDS = 60.0
"""Longest wait for a daemon that was started: it may have to check a large store first."""
LOOK_SECONDS = 0.05
"""Between two looks whether it answers."""
LOG_FILE = "daemon.log"
"""What a daemon prints that was started without a terminal."""
TOLD_BYTES = 500
"""Of the end of that file, in an error."""


class DidNotStart(Unavailable):
    """The daemon ended, or does not answer."""

    def __init__(self, log: str, said: str) -> None:
        super().__init__(log, said)
        self.log = log
        self.said = said

    def __str__(self) -> str:
        return f"the daemon did not start: {self.said or 'it does not answer'}; see {self.log}, or run: cidery daemon"


class NoPage(Unavailable):
    """The daemon that answers cannot be used by a browser."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return self.reason


async def run_local(repo: Path, call: Call) -> int:
    """Blocks. Raises DidNotStart, NoPage, BadApiAddress, BadSecret, and DaemonGone for a daemon elsewhere."""
    secret = call.text("api-auth")
    if address := call.text("api"):
        endpoint = parse_endpoint(address).trusting(call.text("api-ca") or api_authorities())
        endpoint = endpoint.with_secret(secret) if secret else endpoint
    else:
        endpoint = running(str(repo), secret) or _started(str(repo), secret) or start(repo, secret)
    url = link(endpoint)
    if not call.flag("no-open"):
        import webbrowser

        if webbrowser.open(url):
            print(f"The page is at {endpoint.url}/webui; the daemon ends with: cidery shutdown")
            return 0
        print("No browser could be opened here. Open this link, which works once:", file=sys.stderr)
    print(url)
    return 0


def running(repo: str, secret: str = "") -> Endpoint | None:
    """The daemon of a repository, None if it does not answer. ``secret``: as of --api-auth. Raises BadSecret."""
    endpoint = find_daemon(repo)
    if endpoint is None:
        return None
    endpoint = endpoint.with_secret(secret) if secret else endpoint
    from cidery.client.blocking import call

    try:
        with call(endpoint, ["version"], []) as answer:
            for _ in answer.values():
                return endpoint
    except DaemonGone:
        return None  # it was killed, and its file is left
    except RpcError:
        return endpoint  # it wants a secret, and runs
    return None


def _started(repo: str, secret: str) -> Endpoint | None:
    """The daemon that somebody else is starting, when it answers; None: nobody is."""
    from cidery.cli.starting import await_start

    return running(repo, secret) if await_start(repo, appear=0.0) else None


def make(repo: Path) -> None:
    """Make the repository if there is none. Blocks. Raises as ``init``."""
    if (repo / "config").exists():
        return
    from cidery.node.create import cid_profile_of_program, create_unless_there

    create_unless_there(repo, profiles=[], cid_profile=cid_profile_of_program())


def start(repo: Path, secret: str) -> Endpoint:
    """Start a daemon that outlives this terminal. Blocks until it answers. Raises DidNotStart, and as make()."""
    make(repo)
    path = repo / LOG_FILE
    words = [sys.executable, "-m", "cidery", "--repo-dir", str(repo), "daemon"]
    with new_plain(path) as log:
        process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=Path.home(), **_detached()
        )
    end = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < end:
        if (repo / "api").exists() and (endpoint := running(str(repo), secret)) is not None:
            return endpoint
        time.sleep(LOOK_SECONDS)
    said = (
        path.read_bytes()[-TOLD_BYTES:].decode("utf-8", "replace").strip().rpartition("\n")[2].removeprefix("Error: ")
    )
    raise DidNotStart(str(path), said)


def _detached() -> dict[str, Any]:
    """What takes a process out of the terminal, so that neither its end nor Ctrl-C there ends it."""
    if os.name == "nt":
        flags: int = getattr(subprocess, "DETACHED_PROCESS", 0) | getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)
        return {"creationflags": flags}
    return {"start_new_session": True}


def link(endpoint: Endpoint) -> str:
    """A link that opens the page once. Raises NoPage."""
    if endpoint.path:
        raise NoPage(
            "the RPC listens on a Unix socket, which no browser opens: set Addresses.API to /ip4/127.0.0.1/tcp/5001"
        )
    from cidery.client.blocking import call

    try:
        with call(endpoint, ["ui", "link"], []) as answer:
            for value in answer.values():
                return f"{endpoint.url}/webui#ticket={value['Ticket']}"
    except RpcError as exc:
        raise NoPage(
            f"the daemon at {endpoint.name} gives no link to you: {exc}; it may be another program, or older"
        ) from exc
    raise NoPage(f"the daemon at {endpoint.name} gives no link")
