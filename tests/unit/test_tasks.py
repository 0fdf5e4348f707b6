"""Tasks that end with their owner, and threads that cancellation waits for."""

import asyncio
import logging
import threading

import pytest

from cidery.errors import CideryError
from cidery.tasks import Tasks, in_thread, logged


async def test_the_result_and_the_error_of_the_work_come_back():
    assert await in_thread(divmod, 7, 2) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        await in_thread(divmod, 7, 0)


async def test_a_cancelled_task_ends_only_when_its_work_is_through():
    started, go_on, done = threading.Event(), threading.Event(), []

    def work() -> None:
        started.set()
        go_on.wait()
        done.append(True)

    task = asyncio.create_task(in_thread(work))
    await asyncio.to_thread(started.wait)
    task.cancel()
    asyncio.get_running_loop().call_soon(go_on.set)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert done == [True]


async def test_close_cancels_the_tasks_and_waits_for_their_ends():
    tasks, ended = Tasks(), []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended.append(True)

    tasks.spawn(work())
    await asyncio.sleep(0)
    assert len(tasks) == 1
    await tasks.close()
    assert ended == [True] and len(tasks) == 0


@pytest.mark.parametrize(
    ("error", "level"), [(CideryError("gone"), logging.WARNING), (KeyError("a bug"), logging.ERROR)]
)
async def test_a_supervised_failure_is_logged_and_ends_its_own_task_only(
    error: Exception, level: int, caplog: pytest.LogCaptureFixture
):
    async def work() -> None:
        raise error

    tasks = Tasks()
    failing = tasks.spawn(logged(work(), logging.getLogger("a.supervisor"), logging.WARNING))
    other = tasks.spawn(asyncio.sleep(0, "done"))
    await failing
    assert await other == "done"
    assert [record.levelno for record in caplog.records] == [level]
