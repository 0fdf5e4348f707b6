"""A file that takes space on purpose: given up when the disk is full, so that a collection can write what it must."""

import os
from pathlib import Path

RESERVE_BYTES = 8 * 1024 * 1024
"""Enough for the index pages and log entries of a few thousand blocks; what they free serves the next ones."""
FULL_BYTES = 1024 * 1024
"""Bytes free below which a disk counts as full: a collection writes less before it removes anything."""
RESERVE_NAME = "reserve"


class Reserve:
    """The file in one directory."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / RESERVE_NAME

    def keep(self) -> bool:
        """Make the file if there is room for it; whether it is there. Blocks for milliseconds."""
        if self._path.exists():
            return True
        part = self._path.with_name(RESERVE_NAME + ".part")
        try:
            fd = os.open(part, os.O_WRONLY | os.O_CREAT, 0o600)
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

    def release_if_full(self) -> None:
        """Give the space back if there is hardly any other: what is written before anything goes needs some."""
        import shutil  # here: it brings every archive format along

        try:
            if shutil.disk_usage(self._path.parent).free < FULL_BYTES:
                self.release()
        except OSError:
            return  # what needs the space will say so

    def release(self) -> bool:
        """Give the space back; whether there was any. Raises OSError."""
        try:
            self._path.unlink()
        except FileNotFoundError:
            return False
        return True
