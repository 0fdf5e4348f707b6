"""The command line's part of shutdown: it returns when the repository is free, so that what follows may use it."""

from __future__ import annotations

import sys
from pathlib import Path

from cidery.client.blocking import call as rpc
from cidery.disk.file_locks import is_locked
from cidery.node.location import repo_dir
from cidery.node.lock_wait import LOCK_WAIT, looked_at
from cidery.repo.layout import RepoLayout
from cidery.repo.lock import ENDED, Holder, read_holder
from cidery.waiting import without_loop

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

    def ended(waited: float) -> bool | None:
        if not is_locked(lock):
            return True
        holder = read_holder(lock)
        if holder is not None and (holder.pid != daemon.pid or holder.phase == ENDED):
            return True
        return False if waited >= LOCK_WAIT else None

    return without_loop(looked_at(ended))
