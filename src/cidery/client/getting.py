"""A tree from a daemon to the disk of this machine, where an earlier attempt ended.

What is finished is noted in a folder beside the target, since there may be no repository here; it goes with the last
get below that folder that ends well.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import suppress
from pathlib import Path

from cidery.client.address import Endpoint
from cidery.client.blocking import Answer, call
from cidery.core.getting.record import GetRecord
from cidery.core.getting.untar import resume_point, unpack_tar

RECORDS = ".cidery-get"
"""Name of the folder."""


def received(
    endpoint: Endpoint, path: str, target: str | os.PathLike[str], opened: list[Answer]
) -> Generator[int, None, None]:
    """Write what ``path`` names to ``target``; yields the bytes of files on disk, now and then.

    Blocks. ``opened`` gets the answer, so that the caller can abort it. Raises as unpack_tar() and call().
    """
    if path.startswith(("/ipns/", "ipns:")):  # the next time it may be another tree
        with call(endpoint, ["resolve"], [("arg", path)]) as answer:
            path = str(next(iter(answer.values()))["Path"])
    folder = Path(os.path.abspath(target)).parent / RECORDS
    # these records are in no list of jobs, so nobody sees when they began
    record = GetRecord.open(folder, path, os.fspath(target), lambda: 0.0, way="stream")
    done = False
    try:
        files, size = resume_point(record, target)
        skipped = [("skip-files", str(files)), ("skip-bytes", str(size))] if files or size else []
        with call(endpoint, ["get"], [("arg", path), *skipped]) as answer:
            opened.append(answer)
            yield from unpack_tar(answer.chunks(), target, record)
        done = True
    finally:
        if record is not None:
            record.close(keep=not done)
        with suppress(OSError):  # another one is there, or the record
            folder.rmdir()
