"""The thread of a blocking node: what needs no event loop comes first, since importing one takes as long as the rest.

::

    early, without a loop -> wait for the first call, or a moment -> import asyncio -> the loop: later, calls, last
                                                      close() -> last, without a loop
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
import weakref
from typing import TypeVar

from cidery.late_imports import import_each
from cidery.methods.call_errors import Forked, InsideLoop, NotOpen
from cidery.waiting import Outcome, without_loop

TYPE_CHECKING = False
if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
    from concurrent.futures import Future
    from typing import Any

    from cidery.errors import LocalProtocolError
    from cidery.methods.on_loop import End

T = TypeVar("T")

HEAD_START = 0.02
"""Seconds for the caller before the imports, which take some times as long, begin to share the interpreter with it."""
MODULES = (
    "logging",
    "ssl",
    "inspect",
    "subprocess",
    "concurrent.futures.thread",
    "asyncio",
    "cidery.tasks",
    "cidery.methods.on_loop",
)
"""asyncio and the largest of what it imports."""
AT_EXIT = 5.0
"""Seconds that a loop whose node was not closed has to stop, at the end of a program."""
TO_BEGIN = 5.0
"""Seconds after which a thread that an interrupt found starting, and that has done nothing yet, never will."""


class LoopThread:
    """An event loop in a thread. Its methods may be called from any other thread."""

    def __init__(
        self,
        early: Coroutine[Any, Any, object] | None = None,
        later: Callable[[], Coroutine[Any, Any, None]] | None = None,
    ) -> None:
        """
        Args:
            early: run first, without a loop, while start() waits.
            later: run on the loop before all others; there is one soon, even if nobody calls.
        """
        self._early = early
        self._later = later
        self._pid = os.getpid()
        self._gate = threading.Condition()
        """Held while work is handed over, so that none comes after close() has begun."""
        self._wanted = False
        self._closing = False
        self._last: Coroutine[Any, Any, None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._opened: Outcome[object] = Outcome()
        self._ready: Outcome[asyncio.AbstractEventLoop] = Outcome()
        self._closed: Outcome[None] = Outcome()
        self._lives: Outcome[None] = Outcome()
        self._over: Outcome[None] = Outcome()
        """Waited for in place of the thread: until Python 3.13, one whose join() is interrupted counts as ended."""
        self._tasks: set[asyncio.Task[Any]] = set()
        """What callers wait for, and the generators that they have not finished."""
        self._thread = threading.Thread(target=self._life, name="cidery-loop", daemon=True)
        self._begun = False
        self._serves = False
        self._ending: asyncio.Task[None] | None = None

    # -- in the thread ---------------------------------------------------------------------------------------------

    def _life(self) -> None:
        self._lives.tell(None)
        try:
            self._live()
        finally:
            self._over.tell(None)

    def _live(self) -> None:
        early, self._early = self._early, None
        # as a loop that has stopped: what is still open at the end of the program stays as it is
        sys.set_asyncgen_hooks(finalizer=lambda generator: None)
        good = self._opened.take(lambda: early and without_loop(early, self._sleep))
        with self._gate:
            self._gate.wait_for(self._is_called, HEAD_START if good and self._later is not None else None)
        if good:
            self._ready.take(self._made)
        else:
            self._ready.fail(NotOpen())
        if self._loop is not None:
            return self._serve(self._loop)
        with self._gate:
            self._gate.wait_for(lambda: self._closing)
            last = self._last
        if last is None:
            self._closed.tell(None)
        else:
            self._closed.take(lambda: without_loop(last))

    def _serve(self, loop: asyncio.AbstractEventLoop) -> None:
        self._serves = True
        if self._closing:
            self._end_loop()
        loop.run_forever()
        if self._ending is not None and self._ending.done():
            loop.close()

    def _end_loop(self) -> None:
        """Begin to end what the loop does, unless that has begun, or is to when ``later`` is done."""
        if self._loop is not None and self._serves and self._ending is None:
            self._ending = self._loop.create_task(self._ended())

    def _is_called(self) -> bool:
        return self._wanted or self._closing

    def _sleep(self, seconds: float) -> None:
        with self._gate:
            if self._gate.wait_for(lambda: self._closing, seconds):
                raise NotOpen

    def _made(self) -> asyncio.AbstractEventLoop:
        """The loop, with ``later`` done. Raises NotOpen if it is not needed any more."""
        import_each(MODULES, lambda: self._closing)
        with self._gate:
            if self._closing:
                raise NotOpen
            import asyncio

            _stop_before_executors()
            self._loop = loop = asyncio.new_event_loop()
        if self._later is not None:
            loop.run_until_complete(self._later())
        return loop

    # -- in others -------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the thread, and wait for what it was to run first. Call close() after an interrupt.

        Raises RuntimeError (no thread can be started), and as ``early``.
        """
        _RUNNING.add(self)
        self._begun = True
        try:
            self._thread.start()
        except RuntimeError:
            self._begun = False
            if self._early is not None:
                self._early.close()
            raise
        self._opened.result()

    @property
    def is_ours(self) -> bool:
        """Whether this is the process that started it."""
        return self._pid == os.getpid()

    def run(self, work: Coroutine[Any, Any, T], seconds: float | None = None) -> T:
        """Wait for a coroutine; an interrupt of the waiting (Ctrl-C) cancels it, and so does the end of ``seconds``.

        Raises NotOpen, Forked, InsideLoop, TookTooLong, and as the coroutine.
        """
        future: Future[T] | None = None
        handed = False
        try:
            loop = self._running()
            import asyncio

            with self._gate:
                if self._closing:
                    raise NotOpen
                handed = True  # an interrupt from here on may find it running in the other thread
                future = asyncio.run_coroutine_threadsafe(self._noted(work, seconds), loop)
            return future.result()
        except BaseException as exc:
            if not handed:
                work.close()
            if future is not None:
                from concurrent.futures import CancelledError

                if isinstance(exc, CancelledError):
                    raise NotOpen from exc  # close() in another thread
                future.cancel()
            raise

    def _running(self) -> asyncio.AbstractEventLoop:
        """The loop. Raises NotOpen, Forked, InsideLoop, and what keeps it from being made."""
        fault = self._fault()
        if fault is not None:
            raise fault
        if not self._wanted:
            with self._gate:
                self._wanted = True
                self._gate.notify()
        return self._ready.result()

    async def _noted(self, work: Coroutine[Any, Any, T], seconds: float | None) -> T:
        import asyncio

        task = asyncio.current_task()
        assert task is not None  # run() makes one
        self._tasks.add(task)
        try:
            if seconds is None:
                return await work
            from cidery.methods.on_loop import limited

            return await limited(work, seconds)
        finally:
            self._tasks.discard(task)

    def _fault(self) -> LocalProtocolError | None:
        if not self.is_ours:
            return Forked()
        if self._closing or sys.is_finalizing():  # at the end of a program the thread no longer runs
            return NotOpen()
        return InsideLoop() if threading.current_thread() is self._thread else None

    def iterate(
        self, source: AsyncGenerator[T, None], ahead: int, seconds: float | None = None
    ) -> Generator[T, None, None]:
        """The items of an asynchronous generator; closing this one closes that, and waits until it has ended.

        ``seconds``: longest wait for an item.
        """
        # one task runs the whole generator: a session of blocks belongs to one task
        pump, items = self.run(self._started(source, ahead))
        from cidery.methods.on_loop import End, outcome, taken

        try:
            while True:
                for item in self.run(taken(items), seconds):
                    if isinstance(item, End):
                        self.run(outcome(pump))
                        return
                    yield item
        finally:
            if not pump.done():
                self._end(pump)

    def _end(self, pump: asyncio.Task[None]) -> None:
        fault = self._fault()
        if fault is None:
            from cidery.tasks import end

            self.run(end([pump]))
        elif isinstance(fault, InsideLoop):  # the collector of garbage came by in the thread of the loop
            pump.cancel()

    async def _started(
        self, source: AsyncGenerator[T, None], ahead: int
    ) -> tuple[asyncio.Task[None], asyncio.Queue[T | End]]:
        import asyncio

        from cidery.methods.on_loop import pump

        items: asyncio.Queue[T | End] = asyncio.Queue(ahead)
        task = asyncio.get_running_loop().create_task(pump(source, items))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task, items

    def close(self, last: Coroutine[Any, Any, None] | None = None) -> None:
        """Cancel what other threads wait for, and iterators that are not finished; run ``last``; end the thread.

        Idempotent; in a child of fork() there is nothing to end. Raises InsideLoop, and as ``last``. After an interrupt
        the thread ends all the same; close() again waits for that.
        """
        inside = threading.current_thread() is self._thread
        begins = False
        if self._begun and self.is_ours and not inside:
            with self._gate:
                begins, self._closing = not self._closing, True
                if begins:
                    self._last = last
                loop = self._loop
                self._gate.notify()
            if loop is not None:
                _call_in(loop, self._end_loop)
            if self._lives.wait(TO_BEGIN):
                self._over.wait()
                self._thread.join()
        if begins:
            if self._lives.wait(0.0):
                self._closed.result()
            return
        if last is not None:
            last.close()
        if inside and not self._closing:
            raise InsideLoop

    def stop(self) -> None:
        """Cancel what is unfinished and stop the loop, within AT_EXIT.

        A thread that stands still in the middle of an import when the interpreter ends keeps its lock, and what is
        destroyed then may import, too, and would wait for ever.
        """
        if not self.is_ours or not self._lives.wait(0.0) or self._over.wait(0.0):
            return
        with self._gate:
            self._closing = True
            loop = self._loop
            self._gate.notify()
        if loop is not None and self._ready.wait(AT_EXIT):
            _call_in(loop, self._cancel_all)
        if self._over.wait(AT_EXIT):
            self._thread.join()

    def _cancel_all(self) -> None:
        if self._ending is not None:
            self._ending.cancel()
        elif self._loop is not None:
            self._stopping = self._loop.create_task(self._cancelled())

    async def _cancelled(self) -> None:
        import asyncio

        from cidery.tasks import end

        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(AT_EXIT):
                await self._end_others()
                await end([task for task in asyncio.all_tasks() if task is not asyncio.current_task()])
        finally:
            loop.stop()

    async def _end_others(self) -> None:
        from cidery.tasks import end

        await end(set(self._tasks))

    async def _ended(self) -> None:
        """Tells what ``last`` raises."""
        import asyncio

        loop = asyncio.get_running_loop()
        try:
            try:
                await self._end_others()
                if self._last is not None:
                    await self._last
            finally:
                await loop.shutdown_asyncgens()
                await loop.shutdown_default_executor()
        except asyncio.CancelledError:
            self._closed.fail(NotOpen())  # by stop()
        except BaseException as exc:  # noqa: BLE001 - raised by close()
            self._closed.fail(exc)
        else:
            self._closed.tell(None)
        loop.stop()


def _call_in(loop: asyncio.AbstractEventLoop, call: Callable[[], object]) -> None:
    try:
        loop.call_soon_threadsafe(call)
    except RuntimeError:
        pass  # it has ended


_RUNNING: weakref.WeakSet[LoopThread] = weakref.WeakSet()
_before_exit = getattr(threading, "_register_atexit", atexit.register)


def _stop_all() -> None:
    for one in list(_RUNNING):
        one.stop()


_before_exit(_stop_all)  # also for a thread that imports, and has no loop yet


def _stop_before_executors() -> None:
    """See that loops stop before the threads of executors end, which what is cancelled still needs.

    concurrent.futures.thread registers their end by the same function, and the last to be registered is the first to
    run; so this comes after its import. Raises RuntimeError at the end of the program.
    """
    global _registered
    if not _registered:
        _before_exit(_stop_all)
        _registered = True


_registered = False
