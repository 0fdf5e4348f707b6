"""cidery.open() and close() without an event loop, whose import takes as long as both; and the threads that wait so."""

import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import cidery
from cidery.repo.lock import RepoLock
from cidery.waiting import Interrupts, Outcome, Waited, off_loop, pause, result_of, turn, without_loop

LIMIT = 60.0
"""Seconds for a child; far beyond what it takes."""
NOT_IMPORTED = {
    *("asyncio", "concurrent.futures", "cryptography", "dataclasses", "inspect", "logging", "ssl", "subprocess"),
    *("cidery.denylist", "cidery.exchange.stats", "cidery.libp2p", "cidery.repo.pins", "cidery.tasks"),
}
AWAIT_IMPORTS = "while 'ssl' not in sys.modules: pass\n"
"""Until the thread of the node is importing what its loop needs."""


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    cidery.open(tmp_path / "repo", profile="test").close()
    return tmp_path / "repo"


def ran(repo: Path, code: str, before: str = "") -> str:
    """What a program prints that has opened the repository as ``node``."""
    whole = f"import os, sys, cidery\n{before}node = cidery.open({str(repo)!r})\n{code}"
    # since Python 3.12, a fork of a process with threads is warned of
    command = [sys.executable, "-W", "ignore:This process:DeprecationWarning", "-c", whole]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT)
    assert (done.stderr, done.returncode) == ("", 0)
    return done.stdout


def test_opening_and_closing_imports_no_loop(repo: Path) -> None:
    modules = set(ran(repo, "node.close()\nprint(*sys.modules)").split())
    assert not modules & NOT_IMPORTED
    assert "cidery.blockstore.writer" in modules


@pytest.mark.parametrize("then", ["", AWAIT_IMPORTS, "node.peer_id()\n"], ids=["at once", "while importing", "later"])
def test_a_program_may_end_without_closing(repo: Path, then: str) -> None:
    assert ran(repo, f"{then}print('done')") == "done\n"
    with cidery.open(repo) as node:
        assert node.pin is not None


@pytest.mark.parametrize("then", ["", AWAIT_IMPORTS, "node.peer_id()\n"], ids=["at once", "while importing", "later"])
def test_it_closes_at_any_time(repo: Path, then: str) -> None:
    code = f"{then}node.close()\nwith cidery.open({str(repo)!r}) as again: print(again.read(again.add(b'x')))"
    assert ran(repo, code) == "b'x'\n"


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="needs fork")
def test_a_fork_while_it_imports_leaves_a_child_that_can_import(repo: Path) -> None:
    child = "import asyncio, concurrent.futures.thread, ssl, subprocess; os._exit(7)"
    code = f"{AWAIT_IMPORTS}child = os.fork()\nif not child:\n    {child}\nprint(os.waitpid(child, 0)[1] >> 8)"
    # what registers functions for a fork of its own, and would find itself in the middle of one
    before = "import concurrent.futures.thread\n"
    assert ran(repo, f"{code}\nnode.close()", before) == "7\n"


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="needs signals for threads")
def test_an_interrupt_ends_the_wait_for_a_lock_and_leaves_nothing_open(repo: Path) -> None:
    main = threading.main_thread().ident
    assert main is not None

    def interrupt() -> None:
        while "cidery-loop" not in {thread.name for thread in threading.enumerate()}:
            pass
        signal.pthread_kill(main, signal.SIGINT)

    with RepoLock.acquire(repo / "repo.lock", "cidery add"):
        threading.Thread(target=interrupt).start()
        with pytest.raises(KeyboardInterrupt):
            cidery.open(repo)
    assert "cidery-loop" not in {thread.name for thread in threading.enumerate()}
    cidery.open(repo).close()


def test_what_waits_for_the_disk_and_for_a_time_needs_no_loop() -> None:
    slept: list[float] = []
    made: Outcome[int] = Outcome()

    async def work() -> int:
        await pause(0.25)
        threading.Thread(target=made.tell, args=(4,)).start()
        return await off_loop(lambda: 3) + await result_of(made)

    assert without_loop(work(), slept.append) == 7
    assert slept == [0.25]


def test_what_ends_a_pause_is_raised_in_it() -> None:
    def stop(seconds: float) -> None:
        raise KeyError(seconds)

    async def work() -> str:
        try:
            await pause(0.5)
        except KeyError:
            return "undone"
        return "done"

    assert without_loop(work(), stop) == "undone"


def test_what_needs_a_loop_is_told_that_there_is_none() -> None:
    class Other:
        def __await__(self):  # type: ignore[no-untyped-def]
            yield

    async def work() -> None:
        await Other()

    with pytest.raises(Waited, match="work"):
        without_loop(work())


def test_an_interrupt_comes_where_it_waits_and_the_second_one_at_once() -> None:
    done: list[str] = []
    before = signal.getsignal(signal.SIGINT)

    async def work() -> None:
        signal.raise_signal(signal.SIGINT)
        done.append("not half")
        await turn()
        done.append("too late")

    with Interrupts(), pytest.raises(KeyboardInterrupt):
        without_loop(work())
    assert done == ["not half"]
    with Interrupts(), pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
        done.append("noted")
        signal.raise_signal(signal.SIGINT)
    assert done == ["not half", "noted"] and signal.getsignal(signal.SIGINT) is before


async def test_an_outcome_is_told_once_to_all_that_wait() -> None:
    made: Outcome[int] = Outcome()
    told: list[str] = []
    made.when_told(lambda: told.append("waited"))
    assert not made.wait(0.0) and not told
    waiting = result_of(made)
    threading.Thread(target=made.tell, args=(5,)).start()
    assert await waiting == 5
    made.when_told(lambda: told.append("late"))
    assert made.result() == 5 and told == ["waited", "late"]
    failed: Outcome[int] = Outcome()
    assert not failed.take(lambda: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        failed.result()
    with pytest.raises(ZeroDivisionError):
        await result_of(failed)
