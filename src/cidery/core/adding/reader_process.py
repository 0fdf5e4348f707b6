"""A second process that reads and hashes small files, so that an add of many of them keeps two cores busy.

A small file costs four short system calls and some Python, and threads of one interpreter take turns at both. The
process gets jobs of paths on its standard input and answers each on its standard output with finished leaves; the
caller stores them. It sees no repository. Anything it cannot do (large files, errors, irregular files) it
hands back, and the caller does it itself. It ends when its input does, so it never outlives a killed parent.

Frames: length u32, then one value of ``marshal``; both ends are the same interpreter, and no one else has the pipes.
"""

from __future__ import annotations

import json
import marshal
import os
import struct
import sys
import threading
from collections.abc import Sequence
from queue import SimpleQueue
from typing import IO, NamedTuple

from cidery.unixfs.metadata import Mtime
from cidery.unixfs.profile import Profile

SMALL_FILE = 64 * 1024
"""Largest file that the process reads, in bytes: beyond, copying through the pipe costs more than it saves."""
START_AFTER = 1024
"""Files of one add after which the process is started: starting it costs about as much as adding that many."""
MAX_FRAME = 64 << 20
"""Bytes of one frame at the most: a job of files of SMALL_FILE is 8 MiB."""
_LENGTH = struct.Struct(">I")
_START = (
    "import sys, json; sys.path[:] = json.loads(sys.argv[1]); "
    "from cidery.core.adding.reader_child import serve; serve()"
)


class Leaf(NamedTuple):
    """A small file as the process returns it."""

    cid: bytes
    block: bytes
    size: int
    """Bytes of the file."""
    tsize: int
    mode: int | None
    mtime: tuple[int, int] | None
    """Seconds, nanoseconds."""


class ReaderGone(Exception):
    """The process no longer answers; do the work without it."""


def can_read(profile: Profile) -> bool:
    """Whether small files become one leaf each under this profile."""
    return profile.chunker is None and not profile.trickle and profile.chunk_size >= SMALL_FILE


class ReaderProcess:
    """The parent's handle on the process. Call ask() and ready from one thread, answer() from one other."""

    def __init__(self, profile: Profile, preserve: tuple[bool, bool], fixed: tuple[int | None, Mtime | None]) -> None:
        """Start it, without waiting. ``preserve``, ``fixed``: mode and mtime, as Metadata. Raises ReaderGone."""
        import subprocess  # slow to import, and few adds need it

        command = [sys.executable, "-c", _START, json.dumps(sys.path)]
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C is for the parent, which then closes the pipe
            )
        except (OSError, ValueError) as exc:
            raise ReaderGone(str(exc)) from exc
        self._ready = threading.Event()
        self._frames: SimpleQueue[bytes | None] = SimpleQueue()
        import pickle  # a small add needs none of this

        self._frames.put(frame(pickle.dumps((profile, preserve, fixed))))
        self._writer = threading.Thread(target=self._write, name="cidery-reader", daemon=True)
        self._writer.start()

    @property
    def ready(self) -> bool:
        """Whether it has started: until then the caller works without it."""
        return self._ready.is_set()

    def ask(self, paths: Sequence[tuple[str, bool]], racy_from: int = 0) -> None:
        """Queue a job: (path, whether to follow a symlink there) of each file. Answers come in the same order.

        ``racy_from``: for the journal's entries; 0 if there is no journal.
        """
        self._frames.put(frame(marshal.dumps((racy_from, list(paths)))))

    def answer(self) -> tuple[list[Leaf | None], bytes]:
        """The files of the next job, None for each left to the caller, and the journal's entries of the others.

        Blocks. Raises ReaderGone.
        """
        assert self._process.stdout is not None  # it is a pipe
        try:
            leaves, entries = marshal.loads(read_frame(self._process.stdout))
            return [leaf and Leaf._make(leaf) for leaf in leaves], bytes(entries)
        except (EOFError, OSError, ValueError, TypeError) as exc:
            raise ReaderGone("the reading process ended") from exc

    def close(self) -> None:
        """Stop it and wait for that: it ends after the current file. Idempotent."""
        self._frames.put(None)
        self._process.kill()
        self._process.wait()
        self._writer.join()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except OSError:  # the rest of the buffer has no reader any more
                    continue

    def _write(self) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None  # they are pipes
        try:
            os.write(self._process.stdin.fileno(), self._frames.get() or b"")
            if self._process.stdout.read(1) != b"R":
                return
            self._ready.set()
            while (queued := self._frames.get()) is not None:
                self._process.stdin.write(queued)
                self._process.stdin.flush()
        except OSError:
            return  # it ended; answer() reports that


def frame(data: bytes) -> bytes:
    return _LENGTH.pack(len(data)) + data


def read_frame(pipe: IO[bytes]) -> bytes:
    """Raises EOFError, ValueError (too long)."""
    head = pipe.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        raise EOFError
    (size,) = _LENGTH.unpack(head)
    if size > MAX_FRAME:
        raise ValueError(f"a frame of {size} bytes")
    data = pipe.read(size)
    if len(data) < size:
        raise EOFError
    return data
