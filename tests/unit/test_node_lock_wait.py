"""Who has the lock of a repository decides whether, and how long, it is waited for."""

import asyncio
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from cidery.disk.file_locks import lock_file, unlock_file
from cidery.node.build import _living
from cidery.node.lock_wait import command_line, locked
from cidery.repo.jobs import Job, JobState
from cidery.repo.lock import ENDED, ENDING, SERVING, STARTING, Holder, RepoLock, RepoLocked, read_holder
from cidery.waiting import without_loop


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "repo.lock"


@contextmanager
def held(path: Path, pid: int, command: str, phase: str = "") -> Iterator[Callable[[], None]]:
    """A lock with this name in it; yields what gives it back."""
    fds = [lock_file(path)]
    path.write_text(json.dumps({"pid": pid, "command": command, "phase": phase}))

    def give_back() -> None:
        unlock_file(fds.pop())

    yield give_back
    if fds:
        give_back()


def no_wait(seconds: float) -> None:
    raise AssertionError("it waits")


def test_a_daemon_that_starts_is_waited_for_until_it_serves(path: Path) -> None:
    with RepoLock.acquire(path, "cidery daemon", STARTING) as daemon:
        steps = iter([lambda: None, lambda: daemon.enter(SERVING)])
        with pytest.raises(RepoLocked) as caught:
            without_loop(locked(path), lambda seconds: next(steps)())
        assert caught.value.phase == SERVING and not list(steps)


def test_a_start_that_fails_leaves_the_lock_to_who_waits(path: Path) -> None:
    daemon = RepoLock.acquire(path, "cidery daemon", STARTING)
    with without_loop(locked(path, "me"), lambda seconds: daemon.release()) as lock:
        assert lock.waited and read_holder(path) == Holder(os.getpid(), "me")


def test_a_daemon_that_ends_is_waited_for_until_it_has_ended(path: Path) -> None:
    daemon = RepoLock.acquire(path, "cidery daemon", SERVING)
    daemon.enter(ENDING)
    phases: list[str] = []

    def step(seconds: float) -> None:
        daemon.release()
        phases.append(getattr(read_holder(path), "phase", ""))

    without_loop(locked(path), step).release()
    assert phases == [ENDED]


def test_a_daemon_that_was_killed_is_given_the_moment_that_its_end_takes(path: Path) -> None:
    with held(path, os.getppid(), "cidery daemon", SERVING) as give_back:
        without_loop(locked(path), lambda seconds: give_back()).release()


@pytest.mark.parametrize(
    ("command", "phase", "bound"),
    [
        ("cidery add", "", "LOCK_WAIT"),
        ("cidery daemon", STARTING, "LOCK_WAIT"),
        ("cidery daemon", ENDING, "LOCK_WAIT"),
        ("cidery daemon", SERVING, "KILLED_WAIT"),
        ("notebook.py", "", "PROGRAM_WAIT"),
    ],
)
def test_no_wait_is_without_end(
    path: Path, command: str, phase: str, bound: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    monkeypatch.setattr(f"cidery.node.lock_wait.{bound}", 0.05)
    with held(path, os.getppid(), command, phase):
        with pytest.raises(
            RepoLocked, match=f"{phase}; try again" if phase in (STARTING, ENDING) else "stop it"
        ) as caught:
            without_loop(locked(path), waits.append)
    assert waits and f"process {os.getppid()} ({command})" in str(caught.value)


def test_what_this_process_has_open_is_told_at_once(path: Path) -> None:
    with RepoLock.acquire(path, "notebook.py"):
        with pytest.raises(RepoLocked, match="this same process"):
            without_loop(locked(path), no_wait)


def test_an_interrupt_ends_the_wait_and_takes_nothing(path: Path) -> None:
    def interrupted(seconds: float) -> None:
        raise KeyboardInterrupt

    with RepoLock.acquire(path, "cidery daemon", STARTING):
        with pytest.raises(KeyboardInterrupt):
            without_loop(locked(path), interrupted)
    RepoLock.acquire(path, "me").release()


async def test_a_cancelled_wait_takes_nothing(path: Path) -> None:
    with RepoLock.acquire(path, "cidery daemon", ENDING):
        waiting = asyncio.ensure_future(locked(path))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    RepoLock.acquire(path, "me").release()


def test_a_shorter_name_leaves_nothing_of_a_longer_one(path: Path) -> None:
    with RepoLock.acquire(path, "cidery daemon", STARTING) as daemon:
        daemon.enter("")
        assert json.loads(path.read_bytes()) == {"pid": os.getpid(), "command": "cidery daemon"}


def test_a_job_runs_while_its_process_has_the_lock_and_not_because_its_number_lives(path: Path) -> None:
    mine = Job(1, "add", "photos", JobState.RUNNING, 0.0, 0.0, pid=os.getpid())
    runs = _living(path)
    with held(path, os.getpid(), "cidery daemon"):
        assert runs(mine) and not runs(replace(mine, pid=os.getppid()))
    assert not runs(mine), "the file has its number still, which in a container is soon another's"


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["/usr/bin/cidery", "--repo-dir", "here", "add", "-Q", "photos"], "cidery add"),
        (["/usr/bin/cidery", "-D", "daemon"], "cidery daemon"),
        (["/home/me/bin/ipfs", "add", "photos"], "cidery add"),
        (["/usr/bin/cidery"], "cidery"),
    ],
)
def test_a_command_is_named_by_its_word_whatever_options_stand_before_it(
    monkeypatch: pytest.MonkeyPatch, words: list[str], named: str
) -> None:
    monkeypatch.setitem(sys.modules, "cidery.cli.main", sys)
    monkeypatch.setattr(sys, "argv", words)
    assert command_line() == named


def test_a_program_is_named_by_its_file_and_first_argument(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "cidery.cli.main", raising=False)
    monkeypatch.setattr(sys, "argv", ["/home/me/notebook.py", "daily", "add"])
    assert command_line() == "notebook.py daily"
