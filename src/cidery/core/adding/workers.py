"""The threads of an add: a pool; without an event loop, which a small add does without, one after another."""

from __future__ import annotations

from functools import partial
from typing import TypeVar

from cidery.waiting import Outcome, in_other_thread, loop_runs, off_loop

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future, ThreadPoolExecutor
    from typing import Any, TypeVarTuple

    Ts = TypeVarTuple("Ts")

T = TypeVar("T")


class Workers:
    """Some threads."""

    def __init__(self, threads: int) -> None:
        self._pool: ThreadPoolExecutor | None = None
        self._under_way: Outcome[Any] | None = None
        if loop_runs():
            from concurrent.futures import ThreadPoolExecutor

            self._pool = ThreadPoolExecutor(threads, thread_name_prefix="cidery-add")

    def submit(self, work: Callable[[*Ts], T], *args: *Ts) -> Future[T] | Outcome[T]:
        """Have it run; for result_of(). Without a loop it is done on return."""
        if self._pool is not None:
            return self._pool.submit(work, *args)
        done = self._under_way = in_other_thread(partial(work, *args))
        done.wait()
        return done

    async def close(self) -> None:
        """Begin nothing more; returns when none is running."""
        if self._pool is not None:
            await off_loop(partial(self._pool.shutdown, True, cancel_futures=True))
        elif self._under_way is not None:
            self._under_way.wait()  # the wait for it was interrupted
