"""What the workers of a gateway have counted, in a file for each, which the daemon reads when somebody asks it.

A worker writes its file every few seconds, and one that takes the place of a dead one goes on with its counters: sums
do not fall. A file that is not written any more is of a gateway that has ended.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from cidery.errors import Unavailable, words_of
from cidery.http.exposition import Metric, Sample, summed
from cidery.plain_files import read_plain, write_plain

FOLDER = "gateway-workers"
"""Below the repository."""
WRITE_EVERY = 2.0
"""Seconds between two writes of a worker: what is read is that old."""
STALE = 15.0
"""Seconds after which a file counts as left behind."""
MAX_FILE = 1 << 20
"""Longest file that is read, in bytes: a worker's metrics have some 10 KB."""
log = logging.getLogger("cidery.gateway")


class NoRoom(Unavailable):
    """The folder cannot be written."""

    def __init__(self, folder: Path, reason: str) -> None:
        super().__init__(folder, reason)
        self.folder = folder
        self.reason = reason

    def __str__(self) -> str:
        return f"the metrics of the workers cannot be kept in {self.folder}: {self.reason}"


class Files:
    """Those of the workers of one parent. Its methods block."""

    def __init__(self, repo: Path, parent: int) -> None:
        """``parent``: its process id: a gateway may start while another one ends."""
        self._folder = repo / FOLDER
        self._parent = parent

    def of(self, worker: int) -> Path:
        return self._folder / f"{self._parent}-{worker}.json"

    def make_room(self) -> None:
        """Before the workers start. Removes what gateways left behind that were killed. Raises NoRoom."""
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            for entry in os.scandir(self._folder):
                if entry.name.startswith(f"{self._parent}-") or not _is_fresh(entry):
                    Path(entry.path).unlink(missing_ok=True)
        except OSError as exc:
            raise NoRoom(self._folder, words_of(exc)) from exc

    def remove(self) -> None:
        """When the last worker has ended."""
        for file in self._folder.glob(f"{self._parent}-*"):
            file.unlink(missing_ok=True)
        with suppress(OSError):  # another gateway has files there
            self._folder.rmdir()


async def published(file: Path, metrics: Callable[[], list[Metric]]) -> None:
    """Write a worker's metrics until it is cancelled, and once more then."""
    earlier = [one for one in await asyncio.to_thread(_read, file) if one.kind != "gauge"]
    try:
        while True:
            await asyncio.to_thread(_write, file, summed([earlier, metrics()]))
            await asyncio.sleep(WRITE_EVERY)
    finally:
        _write(file, summed([earlier, metrics()]))


def of_workers(repo: Path) -> list[Metric]:
    """The sums over all workers; empty if none run. Blocks for some small reads."""
    try:
        entries = list(os.scandir(repo / FOLDER))
    except OSError:
        return []
    return summed([_read(Path(entry.path)) for entry in entries if entry.name.endswith(".json") and _is_fresh(entry)])


def _is_fresh(entry: os.DirEntry[str]) -> bool:
    try:
        return time.time() - entry.stat().st_mtime <= STALE
    except OSError:
        return False  # it was removed meanwhile


def _write(file: Path, metrics: Sequence[Metric]) -> None:
    fresh = file.with_suffix(".new")
    try:
        write_plain(fresh, json.dumps(metrics).encode("ascii"))
        os.replace(fresh, file)
    except OSError as exc:  # a full disk must not end a worker
        log.warning("the metrics of a worker cannot be written: %s", exc)


def _read(file: Path) -> list[Metric]:
    try:
        found = json.loads(read_plain(file, MAX_FILE))
        return [
            Metric(name, kind, text, [Sample(value, labels, suffix) for value, labels, suffix in samples])
            for name, kind, text, samples in found
        ]
    except (OSError, ValueError, TypeError):
        return []  # there is none yet
