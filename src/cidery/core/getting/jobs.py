"""Lists gets among the jobs; their records are read without the repository's lock."""

import os
from pathlib import Path

from cidery.core.getting.record import MAX_HEAD, SUFFIX, read_head
from cidery.disk.file_locks import FileLocked, lock_file
from cidery.plain_files import open_plain
from cidery.repo.jobs import INTERRUPTED_LIFE, MAX_INTERRUPTED, Job, JobState


def every_get(directory: Path) -> list[Job]:
    """The gets on record here, running or interrupted, as jobs; the latest MAX_INTERRUPTED. Blocks for milliseconds."""
    try:
        found = sorted(directory.glob(f"*{SUFFIX}"), key=_changed, reverse=True)
    except OSError:
        return []
    jobs = [_job(path) for path in found[:MAX_INTERRUPTED]]
    return [job for job in jobs if job is not None]


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _job(path: Path) -> Job | None:
    try:
        with os.fdopen(open_plain(path), "rb") as file:
            head = read_head(file.readline(MAX_HEAD))
            file.seek(max(0, path.stat().st_size - MAX_HEAD))
            lines = file.read(MAX_HEAD).decode("ascii", "replace").split("\n")
    except OSError:
        return None
    match head:
        case {"id": int(number), "title": str(title), "started": float(started), "command": [*words]}:
            how_far = next((line.split(" ") for line in reversed(lines[:-1]) if line.startswith("S ")), [])
            written, total = _numbers(how_far)
            runs = _is_locked(path)
            return Job(
                number,
                "get",
                title,
                JobState.RUNNING if runs else JobState.INTERRUPTED,
                started,
                _changed(path),
                attempts=1,
                bytes=written,
                total=total or None,
                error="" if runs else "its process ended before it did",
                details={"command": [str(word) for word in words]},
            )
    return None


def _numbers(words: list[str]) -> tuple[int, int]:
    if len(words) == 3 and words[1].isdigit() and words[2].isdigit():
        return int(words[1][:18]), int(words[2][:18])
    return 0, 0


def _is_locked(path: Path) -> bool:
    try:
        os.close(lock_file(path))
    except FileLocked:
        return True
    except OSError:
        return False
    return False


def remove_get(directory: Path, number: int) -> bool:
    """Forget an interrupted get; False if it runs, or there is none."""
    path = directory / f"{number}{SUFFIX}"
    if not path.exists() or _is_locked(path):
        return False
    path.unlink(missing_ok=True)
    return True


def expire_gets(directory: Path, now: float) -> None:
    """Forget gets that were interrupted over INTERRUPTED_LIFE ago; ``now`` in seconds since 1970."""
    for job in every_get(directory):
        if job.state is JobState.INTERRUPTED and now - job.updated > INTERRUPTED_LIFE:
            remove_get(directory, job.id)
