"""Waits that work with and without an event loop: a short command has none, whose import is a third of its time.

Without a loop there is nobody else to run, so what would be handed to a thread is done at once.
"""

from __future__ import annotations

import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future
    from typing import Any, ParamSpec, TypeVar

    P = ParamSpec("P")
    T = TypeVar("T")


def loop_runs() -> bool:
    """Whether an event loop runs in this thread. Imports nothing."""
    events: Any = sys.modules.get("asyncio.events")
    return events is not None and events._get_running_loop() is not None


def loop_clock() -> Callable[[], float]:
    """The clock of the event loop, in seconds; without a loop, the monotonic clock of the system."""
    if not loop_runs():
        return time.monotonic
    import asyncio

    return asyncio.get_running_loop().time


async def turn() -> None:
    """Let others run, if there are any."""
    if loop_runs():
        import asyncio

        await asyncio.sleep(0)


async def off_loop(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run ``work`` where it does not hold up the loop: in a thread; without a loop, here. Raises as it does."""
    if not loop_runs():
        return work(*args, **kwargs)
    import asyncio

    return await asyncio.to_thread(work, *args, **kwargs)


async def result_of(future: Future[T]) -> T:
    """The result of what another thread does. Raises as it does."""
    if not loop_runs():
        return future.result()
    import asyncio

    return await asyncio.wrap_future(future)
