"""Tasks that end with their owner, and threads that cancellation waits for."""

import asyncio
import logging
from collections.abc import Callable, Collection, Coroutine
from typing import Any, ParamSpec, TypeVar

from cidery.errors import CideryError

P = ParamSpec("P")
T = TypeVar("T")


class Tasks:
    """Background tasks of one owner, which ends them with close()."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[Any]] = set()

    def __len__(self) -> int:
        return len(self._running)

    def spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.get_running_loop().create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

    async def close(self) -> None:
        """Cancel the tasks and wait for their ends."""
        await end(list(self._running))


async def end(tasks: Collection[asyncio.Task[Any]]) -> None:
    """Cancel ``tasks`` and wait for their ends; what they raise is dropped."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def logged(work: Coroutine[Any, Any, object], log: logging.Logger, level: int = logging.DEBUG) -> None:
    """The supervisor of a task: its failure is logged, a CideryError at ``level`` and others as bugs, and ends it."""
    try:
        await work
    except CideryError as exc:
        log.log(level, "background: %s", exc)
    except Exception:
        log.exception("a background task failed")


async def in_thread(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """As asyncio.to_thread(), but a cancelled caller waits for the thread first: what it uses may be closed then."""
    running = asyncio.ensure_future(asyncio.to_thread(work, *args, **kwargs))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait([running])
        raise
