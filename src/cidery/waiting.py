"""Waits that work with and without an event loop: a short command has none, whose import is a third of its time.

Without a loop there is nobody else to run, so what would be handed to a thread is done at once.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # without the classes of its numbers
import sys
import threading
import time
from contextlib import nullcontext
from typing import Generic, TypeVar

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator
    from concurrent.futures import Future
    from contextlib import AbstractAsyncContextManager
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


class Interrupts:
    """Inside, Ctrl-C is raised where a coroutine waits, as by an event loop: what changes something is not left half
    done. The second one is raised at once. Without effect outside the main thread, or where Ctrl-C does otherwise.
    """

    def __enter__(self) -> None:
        in_main = threading.current_thread() is threading.main_thread()
        self._ours = in_main and _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler
        if self._ours:
            _signal.signal(_signal.SIGINT, self._note)

    def _note(self, *_: object) -> None:
        if _NOTED:
            _signal.default_int_handler(_signal.SIGINT, None)
        _NOTED.append(self)

    def __exit__(self, *_: object) -> None:
        if self._ours:
            _signal.signal(_signal.SIGINT, _signal.default_int_handler)
            _NOTED.clear()


_NOTED: list[Interrupts] = []


def raise_interrupt() -> None:
    """Raise KeyboardInterrupt, if there was one."""
    if _NOTED and threading.current_thread() is threading.main_thread():
        _NOTED.clear()
        raise KeyboardInterrupt


class _Pause:
    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def __await__(self) -> Generator[float, None, None]:
        yield self._seconds


async def pause(seconds: float) -> None:
    """Wait for a time. Cancel-safe."""
    if not loop_runs():
        raise_interrupt()
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


def lock() -> AbstractAsyncContextManager[object]:
    """One at a time; without a loop there is only one."""
    if not loop_runs():
        return nullcontext()
    import asyncio

    return asyncio.Lock()


async def turn() -> None:
    """Let others run, if there are any."""
    if not loop_runs():
        return raise_interrupt()
    import asyncio

    await asyncio.sleep(0)


async def off_loop(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run ``work`` where it does not hold up the loop: in a thread; without a loop, here. Raises as it does."""
    if not loop_runs():
        raise_interrupt()
        return work(*args, **kwargs)
    import asyncio

    return await asyncio.to_thread(work, *args, **kwargs)


async def result_of(made: Future[T] | Outcome[T]) -> T:
    """The result of what another thread does. Raises as it does. Cancelled, it does not wait for that thread."""
    if not loop_runs():
        raise_interrupt()
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
