"""Waits that work with and without an event loop: a short command has none, whose import is a third of its time.

Without a loop there is nobody else to run, so what would be handed to a thread is done at once.
"""

from __future__ import annotations

import sys
import threading
import time
from typing import Generic, TypeVar

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator
    from concurrent.futures import Future
    from typing import Any, ParamSpec

    P = ParamSpec("P")

T = TypeVar("T")


class Waited(AssertionError):
    """A coroutine waited for an event loop, and there is none."""


def without_loop(work: Awaitable[T], sleep: Callable[[float], object] = time.sleep) -> T:
    """Run to its end what waits for the disk alone, and in pause(). Raises as it, and Waited.

    ``sleep``: takes the seconds of a pause; what it raises is raised there.
    """
    steps = work.__await__()
    try:
        seconds = next(steps)
        while isinstance(seconds, float):
            try:
                sleep(seconds)
            except BaseException as exc:  # noqa: BLE001 - raised where it was waited
                seconds = steps.throw(exc)
            else:
                seconds = next(steps)
    except StopIteration as stop:
        done: T = stop.value
        return done
    raise Waited(repr(work))


class _Pause:
    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def __await__(self) -> Generator[float, None, None]:
        yield self._seconds


async def pause(seconds: float) -> None:
    """Wait for a time. Cancel-safe."""
    if not loop_runs():
        return await _Pause(seconds)
    import asyncio

    await asyncio.sleep(seconds)


class Outcome(Generic[T]):
    """What another thread will have made, or its error. As concurrent.futures.Future, whose import takes long."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._told = False
        self._value: T | None = None
        self._error: BaseException | None = None
        self._calls: list[Callable[[], object]] = []

    def tell(self, value: T) -> None:
        """It is made."""
        self._end(value, None)

    def fail(self, error: BaseException) -> None:
        """It cannot be made."""
        self._end(None, error)

    def take(self, work: Callable[[], T]) -> bool:
        """Run ``work`` and tell what it returns or raises; False for the latter."""
        try:
            value = work()
        except BaseException as exc:  # noqa: BLE001 - raised by result(), in the thread that wants it
            self.fail(exc)
            return False
        self.tell(value)
        return True

    def _end(self, value: T | None, error: BaseException | None) -> None:
        with self._changed:
            self._value, self._error, self._told = value, error, True
            self._changed.notify_all()
        for call in self._calls:
            call()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait for it, at most so long; whether it is there."""
        with self._changed:
            return self._changed.wait_for(lambda: self._told, seconds)

    def result(self) -> T:
        """Wait for it. Raises as the other thread."""
        self.wait()
        if self._error is not None:
            raise self._error
        value: Any = self._value
        made: T = value
        return made

    def when_told(self, call: Callable[[], object]) -> None:
        """Have ``call`` called in the other thread; at once, if that is done."""
        with self._changed:
            if not self._told:
                self._calls.append(call)
                return
        call()


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


def in_other_thread(work: Callable[[], T]) -> Outcome[T]:
    """Run what must not stop half-way where Ctrl-C does not come."""
    outcome: Outcome[T] = Outcome()
    threading.Thread(target=outcome.take, args=(work,), daemon=True).start()
    return outcome


async def result_of(made: Future[T] | Outcome[T]) -> T:
    """The result of what another thread does. Raises as it does. Cancelled, it does not wait for that thread."""
    if not loop_runs():
        return made.result()
    import asyncio

    if not isinstance(made, Outcome):
        return await asyncio.wrap_future(made)
    loop = asyncio.get_running_loop()
    told = asyncio.Event()

    def wake() -> None:
        try:
            loop.call_soon_threadsafe(told.set)
        except RuntimeError:
            pass  # the loop is closed: nobody waits any more

    made.when_told(wake)
    await told.wait()
    return made.result()
