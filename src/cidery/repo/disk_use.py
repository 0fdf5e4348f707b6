"""The disk space that a repository takes."""

import os
from pathlib import Path

from cidery.repo.reserve import RESERVE_NAME

SECTOR = 512
"""Bytes of the unit of st_blocks, whatever the file system's own is."""


def disk_use(path: Path) -> int:
    """Bytes that the files below a directory take on disk, without holes. Blocks. Files deleted meanwhile may count.

    What is set aside for a full disk (repo.reserve) does not: a collection would seem to add to it.

    Raises OSError for a directory that cannot be read.
    """
    total = 0
    for folder, _, names in os.walk(path, onerror=_raise):
        for name in names:
            if name == RESERVE_NAME:
                continue
            try:
                found = os.lstat(os.path.join(folder, name))
            except FileNotFoundError:
                continue
            total += found.st_blocks * SECTOR if hasattr(found, "st_blocks") else found.st_size
    return total


def _raise(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error
