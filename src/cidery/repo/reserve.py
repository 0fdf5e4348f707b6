"""A file that reserves disk space: given up when the disk is full, so that a collection can write what it must."""

import os
from contextlib import suppress
from pathlib import Path

from cidery.plain_files import open_plain

RESERVE_BYTES = 8 * 1024 * 1024
"""Enough for the index pages and log entries of a few thousand blocks; the space they free serves the next ones."""
FULL_BYTES = 1024 * 1024
"""Free bytes below which a disk counts as full: a collection writes less before it removes anything."""
LARGE_BYTES = 4 * RESERVE_BYTES
"""Size of the blocks from which on there is a reserve before the first collection."""
RESERVE_NAME = "reserve"


class Reserve:
    """The file in one directory."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / RESERVE_NAME

    def keep(self) -> bool:
        """Create the file if there is room; returns whether it exists. Blocks for milliseconds."""
        if self._path.exists():
            return True
        part = self._path.with_name(RESERVE_NAME + ".part")
        try:
            fd = open_plain(part, os.O_WRONLY | os.O_CREAT)
            try:
                if hasattr(os, "posix_fallocate"):
                    os.posix_fallocate(fd, 0, RESERVE_BYTES)
                else:
                    os.write(fd, bytes(RESERVE_BYTES))
            finally:
                os.close(fd)
            part.replace(self._path)
        except OSError:
            part.unlink(missing_ok=True)
            return False
        return True

    def keep_if_large(self) -> None:
        """Create the file if the rest of the directory has LARGE_BYTES: later the disk may be full. As keep()."""
        if self._path.exists():
            return
        with suppress(OSError), os.scandir(self._path.parent) as files:
            if sum(file.stat().st_size for file in files) >= LARGE_BYTES:
                self.keep()

    def release_if_full(self) -> None:
        """Give up the reserve if there is hardly any other space, for the writes that precede the first removal."""
        import shutil  # late: it imports every archive format

        try:
            if shutil.disk_usage(self._path.parent).free < FULL_BYTES:
                self.release()
        except OSError:
            return  # the code that needs the space will report it

    def release(self) -> bool:
        """Give up the reserve; returns whether there was one. Raises OSError."""
        try:
            self._path.unlink()
        except FileNotFoundError:
            return False
        return True
