"""The lock on a repository: one process writes. The operating system releases it when that process dies.

The file's content (pid and command of the holder, and how far a daemon is) is for messages, and for others to know
whether waiting makes sense; that the file exists means nothing.
"""

import errno
import json
import os
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from cidery.disk.file_locks import FileLocked, is_locked, lock_file, unlock_file
from cidery.errors import Unavailable
from cidery.plain_files import NotAFile, read_plain

MAX_HOLDER_TEXT = 4096
"""Most bytes of the lock file that are read or written."""
MAX_COMMAND = 200
"""Most characters of the command that are kept."""
MAX_PID = (1 << 31) - 1
"""Largest number of a process that a system call takes."""


_NO_SPACE = frozenset((errno.ENOSPC, errno.EDQUOT))

STARTING = "starting"
"""Phase of a daemon that will answer calls, or end."""
SERVING = "serving"
"""Phase of a daemon that answers calls, if it listens for them."""
ENDING = "ending"
"""Phase of a daemon that will give the lock back; others have to wait for that."""
ENDED = "ended"
"""Phase of a daemon that gives the lock back now."""


class Holder(NamedTuple):
    """The process that holds, or last held, a lock."""

    pid: int
    command: str
    phase: str = ""
    """How far a daemon is; "": it is none."""

    @property
    def told_suspended(self) -> str:
        """For messages about one that is suspended."""
        go_on = f"let it go on (fg, or kill -CONT {self.pid}), or end it"
        return f"process {self.pid} ({self.command}), which is suspended; {go_on}"


class RepoLocked(Unavailable):
    """Another process has the repository open for writing, or this one has (``here``)."""

    def __init__(self, path: Path, holder: Holder | None, *, here: bool = False) -> None:
        super().__init__(path, holder)
        self.path = path
        self.holder = holder
        self.here = here
        self.suspended = holder is not None and not here and process_is_suspended(holder.pid)
        """Whether the holder stands still until somebody lets it go on, as after Ctrl-Z."""

    @property
    def phase(self) -> str:
        """How far the daemon is that has the repository; "": none has."""
        return self.holder.phase if self.holder else ""

    def __str__(self) -> str:
        who = f"process {self.holder.pid} ({self.holder.command})" if self.holder else "another process"
        if self.here:
            return f"the repository {self.path.parent} is in use by this same {who}; use what it has open, or close it"
        if self.holder is not None and self.suspended:
            return f"the repository {self.path.parent} is in use by {self.holder.told_suspended}"
        if self.phase in (STARTING, ENDING):
            return f"the repository {self.path.parent} is in use by {who}, which is still {self.phase}; try again later"
        return f"the repository {self.path.parent} is in use by {who}; stop it, or talk to it if it is a daemon"


class RepoNotWritable(Unavailable):
    """The file system does not let this user write here."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return (
            f"the repository {self.path.parent} cannot be written: {self.reason}; run this as its owner, "
            "or mount it writable (on a read-only mount cat, get, ls and pin ls work)"
        )


class RepoLock:
    """A held lock; a context manager. Not inherited by child processes that exec."""

    def __init__(self, path: Path, fd: int, holder: Holder) -> None:
        self.path = path
        self.waited = False
        """Whether another process had it first."""
        self._fd = fd
        self._holder = holder

    @classmethod
    def acquire(cls, path: Path, command: str, phase: str = "") -> Self:
        """Take the lock immediately or not at all.

        Args:
            path: the lock file, created if missing.
            command: shown to other processes that want it, e.g. "cidery daemon".
            phase: how far this daemon is; "": it is none.
        Raises:
            RepoLocked: names the holder. RepoNotWritable: no permission, no directory, a file system that is read-only.
            NotAFile.
        """
        try:
            fd = lock_file(path)
        except FileLocked as exc:
            holder = read_holder(path)
            here = holder is not None and holder.pid == os.getpid() and os.path.realpath(path) in _held
            raise RepoLocked(path, holder, here=here) from exc
        except NotAFile:
            raise
        except OSError as exc:
            raise RepoNotWritable(path, (exc.strerror or str(exc)).lower()) from exc
        lock = cls(path, fd, Holder(os.getpid(), command[:MAX_COMMAND], phase))
        try:
            lock._write()
        except OSError:
            os.close(fd)
            raise
        _held.add(os.path.realpath(path))
        return lock

    def enter(self, phase: str) -> None:
        """Tell other processes how far this daemon is."""
        self._holder = self._holder._replace(phase=phase)
        try:
            self._write()
        except OSError:
            pass  # they wait for the lock itself, or for too long: no reason for this process to end

    def _write(self) -> None:
        pid, command, phase = self._holder
        text = json.dumps({"pid": pid, "command": command} | ({"phase": phase} if phase else {})).encode()
        try:
            os.lseek(self._fd, 0, os.SEEK_SET)
            os.write(self._fd, text)
            os.ftruncate(self._fd, len(text))  # last: who reads meanwhile finds no name, or this one
        except OSError as exc:
            if exc.errno not in _NO_SPACE:
                raise
            # A full disk: the holder cannot be recorded, but freeing space needs the lock.
            os.ftruncate(self._fd, 0)

    def release(self) -> None:
        """Idempotent. The file stays: removing it would let two processes lock two files of the same name."""
        if self._fd >= 0:
            _held.discard(os.path.realpath(self.path))
            if self._holder.phase:
                self.enter(ENDED)
            unlock_file(self._fd)
            self._fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self.release()


_held: set[str] = set()
"""Lock files of this process. Its number alone does not tell: in two containers it may be the same."""


def read_holder(path: Path) -> Holder | None:
    """The process that last wrote the lock file; None if unknown. Does not tell whether the lock is held."""
    try:
        found = json.loads(read_plain(path, MAX_HOLDER_TEXT))
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(found, dict):
        return None
    pid, command, phase = found.get("pid"), found.get("command"), found.get("phase", "")
    if type(pid) is not int or not 0 < pid <= MAX_PID or not isinstance(command, str) or not isinstance(phase, str):
        return None
    return Holder(pid, command, phase)


def suspended_holder(path: Path) -> Holder | None:
    """The process that has the lock, if it stands still until somebody lets it go on."""
    holder = read_holder(path)
    return holder if holder is not None and process_is_suspended(holder.pid) and is_locked(path) else None


def process_is_suspended(pid: int) -> bool:
    """Whether a process was stopped by a signal (Ctrl-Z) or a debugger. Where that cannot be determined: False."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            _, _, behind = file.read(MAX_HOLDER_TEXT).rpartition(b") ")
    except OSError:
        return False
    return behind[:1] in (b"T", b"t")
