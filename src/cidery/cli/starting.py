"""Waits for a daemon that is starting, for commands that need one and find none."""

import time
from pathlib import Path

from cidery.node.lock_wait import LOCK_POLL, LOCK_WAIT
from cidery.repo.layout import RepoLayout
from cidery.repo.lock import SERVING, STARTING, RepoLocked, process_lives, read_holder


def await_start(repo: str) -> bool:
    """Wait for a daemon that is starting on a repository, if there is one. Returns whether one serves now.

    Raises RepoLocked if it takes too long.
    """
    lock = RepoLayout(Path(repo)).lock
    until = time.monotonic() + LOCK_WAIT
    while (holder := read_holder(lock)) is not None and process_lives(holder.pid):
        if holder.phase != STARTING:
            return holder.phase == SERVING
        if time.monotonic() >= until:
            raise RepoLocked(lock, holder)
        time.sleep(LOCK_POLL)
    return False
