"""The command line's part of shutdown: it returns when the repository is free, so that what follows may use it."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from cidery.client.blocking import call as rpc
from cidery.disk.file_locks import is_locked
from cidery.node.location import repo_dir
from cidery.node.lock_wait import LOCK_POLL, LOCK_WAIT
from cidery.repo.layout import RepoLayout
from cidery.repo.lock import ENDED, Holder, read_holder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cidery.client.address import Endpoint
    from cidery.commands.definition import Call


def run(call: Call, endpoint: Endpoint, query: list[tuple[str, str]]) -> int:
    """``shutdown``. Of a daemon that was named by its address, it is not known where its repository is."""
    lock = RepoLayout(Path(repo_dir(call.text("repo-dir") or None))).lock
    daemon = read_holder(lock) if endpoint.token else None
    with rpc(endpoint, ["shutdown"], query) as answer:
        for _ in answer.chunks():
            continue  # there is nothing to say
    if daemon is not None and not _ended(lock, daemon):
        print(f"process {daemon.pid} ({daemon.command}) is still ending", file=sys.stderr)
    return 0


async def run_local(repo: Path, call: Call) -> int:
    raise AssertionError("its definition says that it needs a daemon")


def _ended(lock: Path, daemon: Holder) -> bool:
    """Wait until a daemon has given the lock back; False: it takes too long."""
    until = time.monotonic() + LOCK_WAIT
    while is_locked(lock):
        holder = read_holder(lock)
        if holder is not None and (holder.pid != daemon.pid or holder.phase == ENDED):
            return True
        if time.monotonic() >= until:
            return False
        time.sleep(LOCK_POLL)
    return True
