"""Waits for a daemon that is starting, for commands that need one and find none."""

import time
from pathlib import Path

from cidery.disk.file_locks import is_locked
from cidery.node.lock_wait import LOCK_POLL, LOCK_WAIT
from cidery.repo.layout import RepoLayout
from cidery.repo.lock import SERVING, STARTING, RepoLocked, read_holder

APPEAR_WAIT = 0.5
"""Seconds that a command waits for a daemon of which nothing is seen yet, as after ``cidery daemon &``: four times what
a process takes from its start until it has the lock."""


def await_start(repo: str, appear: float = APPEAR_WAIT) -> bool:
    """Wait for a daemon that is starting on a repository, if there is one. Returns whether one serves now.

    Args:
        repo: the directory of the repository.
        appear: seconds for which one that cannot be seen may still come.
    Raises:
        RepoLocked: it takes too long.
    """
    layout, began = RepoLayout(Path(repo)), time.monotonic()
    if not layout.config.exists():
        return False
    while True:
        holder = read_holder(layout.lock)
        # its number alone says nothing: in a container, that of a killed daemon is another process's, or this one's
        phase = holder.phase if holder is not None and is_locked(layout.lock) else ""
        waited = time.monotonic() - began
        if phase == SERVING:
            return True
        if phase == STARTING and waited >= LOCK_WAIT:
            raise RepoLocked(layout.lock, holder)
        if phase != STARTING and waited >= appear:
            return False
        time.sleep(LOCK_POLL)
