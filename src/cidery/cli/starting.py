"""Waits for a daemon that is starting, for commands that need one and find none."""

from pathlib import Path

from cidery.disk.file_locks import is_locked
from cidery.node.lock_wait import LOCK_WAIT, looked_at
from cidery.repo.layout import RepoLayout
from cidery.repo.lock import ENDING, SERVING, STARTING, RepoLocked, read_holder
from cidery.waiting import without_loop

APPEAR_WAIT = 0.5
"""Seconds that a command waits for a daemon of which nothing is seen yet, as after ``cidery daemon &``: four times what
a process takes from its start until it has the lock."""


def await_start(repo: str, appear: float = APPEAR_WAIT) -> bool:
    """Wait for a daemon that is starting on a repository, or that may come after one that is ending. Returns whether
    one serves now.

    Args:
        repo: the directory of the repository.
        appear: seconds for which one that cannot be seen may still come.
    Raises:
        RepoLocked: it takes too long.
    """
    layout = RepoLayout(Path(repo))
    if not layout.config.exists():
        return False
    ended = 0.0

    def serves(waited: float) -> bool | None:
        nonlocal ended
        holder = read_holder(layout.lock)
        # its number alone says nothing: in a container, that of a killed daemon is another process's, or this one's
        phase = holder.phase if holder is not None and is_locked(layout.lock) else ""
        if phase == SERVING:
            return True
        if phase in (STARTING, ENDING) and waited >= LOCK_WAIT:
            raise RepoLocked(layout.lock, holder)
        if phase == ENDING:
            ended = waited  # it may be a restart
        return False if phase not in (STARTING, ENDING) and waited - ended >= appear else None

    return without_loop(looked_at(serves))
