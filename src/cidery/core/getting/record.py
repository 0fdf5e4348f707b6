"""The record of one `get`: the files already below its target, so that a killed get resumes without rehashing them.

A get needs no lock on the repository, so its record is a file of its own, locked while the get runs and read by code
that lists jobs. It is trusted on the same boot only, and only for files that are unchanged since:
device, inode, size and both times. Everything else is hashed against the tree, as without a record.

Layout: a JSON line (kind, title, target, boot, start), then lines: ``F <identity> <path>`` a finished file,
``P <device> <inode> <bytes> <path>`` how much of an unfinished one is written, ``S <bytes> <total>`` how far it is.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from itertools import islice
from typing import NamedTuple
from zlib import crc32

from cidery.disk.file_locks import FileLocked, lock_file
from cidery.repo.volatile_note import boot_identity

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import IO, Any

SUFFIX = ".get"
FIRST_NUMBER = 1_000_000_000
"""Numbers of gets start here: they are derived from path and target, not from the counter of the table."""
MAX_RECORD = 1 << 30
"""Longest record, in bytes: about ten million files. Later files are hashed again after an interruption."""
SAVE_EVERY = 0.5
"""Seconds between two progress lines."""
MAX_HEAD = 64 * 1024

Identity = tuple[int, int, int, int, int]


def identity_of(found: os.stat_result) -> Identity:
    """Device, inode, size, modification and change time: equal as long as the file is untouched."""
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


class Part(NamedTuple):
    """An unfinished file."""

    device: int
    inode: int
    written: int
    """Bytes from its start."""


class GetRecord:
    """An open record. All methods block for microseconds; one thread at a time."""

    def __init__(self, path: str, file: IO[bytes], boot: str) -> None:
        self._path = path
        self._file = file
        self._boot = boot
        self._saved = 0.0
        self._size = 0
        self.files: dict[str, Identity] = {}
        """Files that an earlier run finished, in its order."""
        self.parts: dict[str, Part] = {}

    @classmethod
    def open(
        cls,
        directory: str | os.PathLike[str],
        what: str,
        target: str,
        wall: Callable[[], float],
        command: Sequence[str] = (),
        way: str = "",
    ) -> GetRecord | None:
        """The record of getting ``what`` to ``target``, with the entries of an earlier run.

        ``directory``: RepoLayout.jobs; ``wall``: seconds since 1970; ``command``: the command line that repeats it;
        ``way``: one of several ways to get it, which cannot resume each other.
        None if there can be none: no repository here, no write permission, or the same get is already running.
        """
        number = number_of(what + way, target)
        path = os.path.join(directory, f"{number}{SUFFIX}")
        try:
            if not os.path.isdir(directory):
                os.mkdir(directory)
            file = open(lock_file(path), "r+b")  # noqa: SIM115 (closed by close())
        except (OSError, FileLocked):
            return None
        record = cls(path, file, boot_identity())
        try:
            if not record._load():
                head = {"id": number, "title": f"{what} to {target}", "started": wall(), "command": list(command)}
                record._begin(head)
        except OSError:
            record.close(keep=True)
            return None
        return record

    def _begin(self, head: dict[str, Any]) -> None:
        self.files, self.parts = {}, {}
        if self._file.seek(0, os.SEEK_END):  # as getting.target.cut_to()
            self._file.seek(0)
            self._file.truncate()
        self._file.write(json.dumps({**head, "boot": self._boot}).encode() + b"\n")
        self._file.flush()

    def _load(self) -> bool:
        """Whether it has entries from this boot to resume from."""
        self._file.seek(0)
        head = read_head(self._file.readline(MAX_HEAD))
        if head is None or not self._boot or head.get("boot") != self._boot:
            return False
        begun = self._file.tell()
        for line in self._file:
            if not line.endswith(b"\n"):
                break
            self._take(line[:-1].decode("utf-8", "surrogateescape"))
        self._size = self._file.seek(0, os.SEEK_END) - begun
        return True

    def _take(self, line: str) -> None:
        if line.startswith("T ") and line[2:].isdigit():
            self.files = dict(islice(self.files.items(), int(line[2:][:18])))
            self.parts = {}
            return
        words = line.split(" ", 6 if line[:1] == "F" else 4)
        try:
            numbers = [int(word) for word in words[1:-1]]
        except ValueError:
            return
        path = _path(words[-1])
        if path is None:
            return
        if words[0] == "F" and len(numbers) == 5:
            self.files.pop(path, None)
            self.files[path] = (numbers[0], numbers[1], numbers[2], numbers[3], numbers[4])
            self.parts.pop(path, None)
        elif words[0] == "P" and len(numbers) == 3:
            self.parts[path] = Part(*numbers)

    def is_whole(self, path: str, found: os.stat_result) -> bool:
        """Whether the file at ``path`` is unchanged since an earlier run completed it."""
        return bool(self.files) and self.files.get(path) == identity_of(found)

    def trusted(self, path: str, found: os.stat_result) -> int:
        """Leading bytes of an unfinished file that an earlier run wrote."""
        part = self.parts.get(path)
        if part is None or (part.device, part.inode) != (found.st_dev, found.st_ino) or part.written > found.st_size:
            return 0
        return part.written

    def finished(self, files: Sequence[tuple[str, os.stat_result]]) -> None:
        """Note that these files are complete, under their names."""
        self._write(
            "".join(
                f"F {' '.join(map(str, identity_of(found)))} {json.dumps(path)}\n" for path, found in files
            ).encode()
        )

    def cut(self, count: int) -> None:
        """Forget all but the first ``count`` finished files: later ones are sent again."""
        if count < len(self.files):
            self.files = dict(islice(self.files.items(), count))
            self.parts = {}
            self._write(f"T {count}\n".encode())

    def part(self, path: str, found: os.stat_result, written: int) -> None:
        """Note how much of an unfinished file is written."""
        self._write(f"P {found.st_dev} {found.st_ino} {written} {json.dumps(path)}\n".encode())

    def progress(self, written: int, total: int, now: float) -> None:
        """Note the progress; written now and then. ``now``: seconds, monotonic."""
        if now - self._saved >= SAVE_EVERY:
            self._saved = now
            self._write(f"S {written} {total}\n".encode())

    def _write(self, data: bytes) -> None:
        if self._size + len(data) > MAX_RECORD:
            return
        try:
            self._file.write(data)
            self._file.flush()
        except OSError:
            self._size = MAX_RECORD  # a full disk: the get itself reports that, if it matters
        self._size += len(data)

    def close(self, *, keep: bool, empty: bool = False) -> bool:
        """Whether the record is kept. Idempotent.

        ``keep``: the get did not finish; keep the record if it has entries. ``empty``: even if it has none.
        """
        kept = keep and (empty or self._size > 0)
        if not self._file.closed and not kept:
            with suppress(FileNotFoundError):
                os.unlink(self._path)
        self._file.close()
        return kept


def _path(text: str) -> str | None:
    try:
        found = json.loads(text)
    except ValueError:
        return None
    return found if isinstance(found, str) else None


def number_of(what: str, target: str) -> int:
    """The number of a get: equal for the same path and target."""
    # no stronger hash: importing one takes a client as long as reading a small file
    return FIRST_NUMBER + crc32(f"{what}\0{os.path.abspath(target)}".encode("utf-8", "surrogateescape")) % FIRST_NUMBER


def read_head(line: bytes) -> dict[str, Any] | None:
    """The first line of a record; None if it is not one."""
    try:
        head = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return head if isinstance(head, dict) else None
