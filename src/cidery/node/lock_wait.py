"""The lock of a repository, waited for while its holder will not keep it for long.

What holds it and answers calls, as a daemon, is left to the caller: RepoLocked says so in its ``phase``.
"""

from __future__ import annotations

import os
import time
from typing import TypeVar

from cidery.waiting import pause

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cidery.repo.lock import RepoLock, RepoLocked

T = TypeVar("T")

LOCK_WAIT = 10.0
"""Seconds that one waits for commands, since several scripts at a time are no error, and for a daemon that starts or
ends, which takes less than one, or some where it has much to check or to finish."""
PROGRAM_WAIT = 1.0
"""Seconds that one waits for another program: a script is done by then, and a notebook may have it open for days."""
KILLED_WAIT = 0.25
"""Seconds that one waits for a daemon that serves: one that was killed closes its connections before it gives the lock
back, and its name stays until the next holder has written its own."""
LOCK_POLL = 0.02
"""Seconds between two tries: an eighth of what the shortest command takes."""


async def locked(path: Path, command: str = "", phase: str = "") -> RepoLock:
    """The lock of a repository, as soon as who has it gives it back. Cancel-safe.

    Args:
        path: the lock file.
        command: how the lock names this process to others; "": by its command line.
        phase: how far this daemon is; "": it is none.
    Raises:
        RepoLocked: it was not given back in time, or a daemon has begun to answer calls (``phase`` is SERVING).
        RepoNotWritable.
    """
    from cidery.repo.lock import SERVING, RepoLock, RepoLocked

    command = command or command_line()
    tries: list[str] = []  # the phase in which the holder was found

    def taken(waited: float) -> RepoLock | None:
        try:
            lock = RepoLock.acquire(path, command, phase)
        except RepoLocked as exc:
            tries.append(exc.phase)
            begun = exc.phase == SERVING and any(one != SERVING for one in tries)
            if begun or waited >= _patience(exc):
                raise
            return None
        lock.waited = bool(tries)
        return lock

    return await looked_at(taken)


async def looked_at(look: Callable[[float], T | None]) -> T:
    """What ``look`` finds, which takes the seconds since the first time, as soon as that is not None. Cancel-safe.

    Raises as ``look``, which says when it has taken too long. For who has no event loop: waiting.without_loop().
    """
    began = time.monotonic()
    while (found := look(time.monotonic() - began)) is None:
        await pause(LOCK_POLL)
    return found


def _patience(held: RepoLocked) -> float:
    """Seconds for which waiting for a lock makes sense."""
    from cidery.repo.lock import SERVING

    holder = held.holder
    if holder is None:
        return LOCK_WAIT  # one that has not yet written its name
    if holder.phase:
        return KILLED_WAIT if holder.phase == SERVING else LOCK_WAIT
    if _is_command(holder.command):
        return LOCK_WAIT
    return 0.0 if held.here else PROGRAM_WAIT


def _is_command(text: str) -> bool:
    """Whether the name of a holder is that of a command of this program."""
    from cidery.commands.registry import first_words

    program, _, word = text.partition(" ")
    word = word.partition(" ")[0]
    return program == "cidery" and word != "daemon" and word in first_words()


def command_line() -> str:
    """How the lock names this process to others."""
    import sys

    program = os.path.basename(sys.argv[0] if sys.argv else "") or "python"
    if program in ("-", "-c"):  # given to the interpreter: the words that follow say nothing about it
        return f"python {program}"
    if "cidery.cli.main" in sys.modules:  # this program, by whatever name it is installed
        from cidery.commands.registry import first_words

        return " ".join(["cidery", *[word for word in sys.argv[1:] if word in first_words()][:1]])
    return " ".join([program, *sys.argv[1:2]])
