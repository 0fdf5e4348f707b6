"""A note to the next process that needs no sync: it is trusted only if the machine has not been restarted since.

After a SIGKILL the written data is in the page cache, in the order of the writes; after a power cut nothing is certain,
so a note from another boot counts as none. Where the boot cannot be identified (not Linux), no note is trusted.
"""

from __future__ import annotations

import os
import zlib

from cidery.plain_files import open_plain, read_plain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

MAX_NOTE = 1 << 20
"""Longest note, in bytes."""
_BOOT_ID = "/proc/sys/kernel/random/boot_id"


def boot_identity() -> str:
    """Equal as long as the kernel runs; "" where it cannot be determined."""
    try:
        with open(_BOOT_ID, encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return ""


class VolatileNote:
    """The note in one file. Methods block for microseconds."""

    def __init__(self, path: Path, boot: str) -> None:
        """Touches nothing. ``boot``: boot_identity()."""
        self._path = path
        self._boot = boot
        self._fd = -1

    def read(self) -> bytes | None:
        """The last note written on this boot; None if there is none, or it is torn."""
        try:
            head, _, rest = read_plain(self._path, MAX_NOTE + 256).partition(b"\n")
        except OSError:
            return None
        words = head.split(b" ")
        if not self._boot or len(words) != 3 or words[0] != self._boot.encode():
            return None
        try:
            size, crc = int(words[1]), int(words[2])
        except ValueError:
            return None
        note = rest[: max(0, size)]
        return note if len(note) == size and zlib.crc32(note) == crc else None

    def write(self, note: bytes) -> None:
        """Replace the note. Raises OSError (disk full): then there may be none."""
        if not self._boot or len(note) > MAX_NOTE:
            return
        if self._fd < 0:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._fd = open_plain(self._path, os.O_WRONLY | os.O_CREAT)
        data = b"%s %d %d\n%s" % (self._boot.encode(), len(note), zlib.crc32(note), note)
        os.lseek(self._fd, 0, os.SEEK_SET)
        os.write(self._fd, data)  # one call; the checksum detects a kill inside it

    def close(self) -> None:
        """Idempotent; the file stays."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
