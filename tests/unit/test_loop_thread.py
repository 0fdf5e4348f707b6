"""The thread of a blocking node when its start, a call or its end is broken off."""

import asyncio
import signal
import threading
from pathlib import Path
from typing import NoReturn

import pytest

import cidery
from cidery.methods.loop_thread import LoopThread
from cidery.waiting import off_loop

LIMIT = 60.0
"""Seconds for what takes milliseconds."""
signals = pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="needs signals for threads")


def refuse(*_: object, **__: object) -> NoReturn:
    raise RuntimeError("can't start new thread")


def test_a_thread_that_cannot_be_started_is_an_error_and_no_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    for name in ("_start_new_thread", "_start_joinable_thread"):  # the latter since Python 3.13
        if hasattr(threading, name):
            monkeypatch.setattr(threading, name, refuse)
    with pytest.raises(RuntimeError, match="can't start new thread"):
        cidery.open(tmp_path, profile="test")
    monkeypatch.undo()
    cidery.open(tmp_path, profile="test").close()
    assert not recwarn.list


def interrupt_when(reached: threading.Event) -> threading.Event:
    """Interrupt the main thread; again, until it says that it noticed: one that comes just before it blocks is heard
    only when it wakes."""
    main, noticed = threading.main_thread().ident, threading.Event()
    assert main is not None

    def interrupt() -> None:
        assert reached.wait(LIMIT)
        while True:
            signal.pthread_kill(main, signal.SIGINT)
            if noticed.wait(2.0):
                return

    threading.Thread(target=interrupt).start()
    return noticed


@signals
@pytest.mark.parametrize("has_loop", [True, False])
def test_an_interrupted_end_goes_on_and_is_waited_for_by_the_next_close(has_loop: bool) -> None:
    began, may_end, done = threading.Event(), threading.Event(), []

    def wait() -> None:
        began.set()
        assert may_end.wait(LIMIT)

    async def last() -> None:
        await off_loop(wait)
        done.append("ended")

    thread = LoopThread()
    thread.start()
    if has_loop:
        thread.run(asyncio.sleep(0))
    noticed = interrupt_when(began)
    with pytest.raises(KeyboardInterrupt):
        thread.close(last())
    noticed.set()
    assert not done
    may_end.set()
    thread.close()
    assert done == ["ended"] and not thread._thread.is_alive()


@signals
def test_a_node_whose_close_was_interrupted_gives_its_repository_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cidery.blockstore.segments import SegmentStore

    began, may_end = threading.Event(), threading.Event()
    close = SegmentStore.close

    async def slow(self: SegmentStore) -> None:
        began.set()
        await off_loop(may_end.wait, LIMIT)
        await close(self)

    monkeypatch.setattr(SegmentStore, "close", slow)
    node = cidery.open(tmp_path, profile="test", offline=True)
    node.add(b"kept")
    noticed = interrupt_when(began)
    with pytest.raises(KeyboardInterrupt):
        node.close()
    noticed.set()
    may_end.set()
    node.close()
    cidery.open(tmp_path).close()


def test_an_interrupt_while_a_call_is_handed_over_does_not_take_it_apart_in_the_other_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    began, done = threading.Event(), threading.Event()
    hand_over = asyncio.run_coroutine_threadsafe

    async def work() -> None:
        began.set()
        await asyncio.sleep(0.01)
        done.set()

    def interrupted(*given: object) -> NoReturn:
        hand_over(*given)  # type: ignore[arg-type]
        assert began.wait(LIMIT)
        raise KeyboardInterrupt

    thread = LoopThread()
    thread.start()
    thread.run(asyncio.sleep(0))
    monkeypatch.setattr(asyncio, "run_coroutine_threadsafe", interrupted)
    with pytest.raises(KeyboardInterrupt):
        thread.run(work())
    assert done.wait(LIMIT)
    thread.close()
