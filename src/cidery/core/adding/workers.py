"""The threads of an add; without an event loop there are none, and work is done at once."""

from __future__ import annotations

from functools import partial
from typing import TypeVar

from cidery.waiting import Outcome, loop_runs, off_loop

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future, ThreadPoolExecutor
    from typing import TypeVarTuple

    Ts = TypeVarTuple("Ts")

T = TypeVar("T")


class Workers:
    """Some threads."""

    def __init__(self, threads: int) -> None:
        self._pool: ThreadPoolExecutor | None = None
        if loop_runs():
            from concurrent.futures import ThreadPoolExecutor

            self._pool = ThreadPoolExecutor(threads, thread_name_prefix="cidery-add")

    def submit(self, work: Callable[[*Ts], T], *args: *Ts) -> Future[T] | Outcome[T]:
        """Have it run, for result_of()."""
        if self._pool is not None:
            return self._pool.submit(work, *args)
        done: Outcome[T] = Outcome()
        done.take(partial(work, *args))
        return done

    async def close(self) -> None:
        """Begin nothing more; returns when none is running."""
        if self._pool is not None:
            await off_loop(partial(self._pool.shutdown, True, cancel_futures=True))
