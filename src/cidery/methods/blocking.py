"""Methods of asyncio as blocking ones, with their types: one event loop in a thread of its own runs them.

``add = blocking(Pin.add)`` in a class makes a method with the arguments, the result and the documentation of Pin.add;
``iterating`` does the same for asynchronous generators.
"""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures.thread  # noqa: F401 - it registers what ends executors, see _stop_all()
import os
import sys
import threading
import weakref
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from concurrent.futures import CancelledError
from contextlib import aclosing
from functools import update_wrapper
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar

from cidery.errors import LocalProtocolError, Unavailable

P = ParamSpec("P")
T = TypeVar("T")
G = TypeVar("G")

READ_AHEAD = 4
"""Results of an iterator held for a slow reader: some MiB of a file."""
WHOLE_QUEUE = 64
"""Results of an iterator of values held for a slow reader: fetched from its thread together."""


AT_EXIT = 5.0
"""Seconds that a loop whose node was not closed has to stop, at the end of a program."""


class NotOpen(LocalProtocolError):
    """A method was called before or after the ``with`` that opens the node."""

    def __str__(self) -> str:
        return "the node is not open; use it inside `async with cidery.Node(path)` or `with cidery.open(path)`"


class Forked(LocalProtocolError):
    """A node was used in a child of fork(): its thread, its locks and its database belong to the parent."""

    def __str__(self) -> str:
        return (
            "this node was opened before a fork and belongs to the parent process; open one in this process: "
            "cidery.open(path, read_only=True) reads beside the parent"
        )


class InsideLoop(LocalProtocolError):
    """A blocking method was called by a callback of the same node, which would wait for itself."""

    def __str__(self) -> str:
        return "a callback of a blocking node cannot call that node: note what to do, and do it after the call"


class TookTooLong(Unavailable):
    """A call, or a step of an iterator, was not done in the time that within() gives it."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = seconds

    def __str__(self) -> str:
        return f"not done after {self.seconds:g} s; node.why(path) says where content is, and who was asked for it"


class LoopThread:
    """An event loop in a thread. Its methods may be called from any other thread."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="cidery-loop", daemon=True)
        self._pid = os.getpid()
        self._gate = threading.Lock()
        """Held while work is handed over, so that none comes after close() has begun."""
        self._closing = False
        self._tasks: set[asyncio.Task[Any]] = set()
        """What callers wait for, and the generators that they have not finished."""
        self._thread.start()
        _RUNNING.add(self)

    @property
    def is_ours(self) -> bool:
        """Whether this is the process that started it."""
        return self._pid == os.getpid()

    def run(self, work: Coroutine[Any, Any, T], seconds: float | None = None) -> T:
        """Wait for a coroutine; an interrupt of the waiting (Ctrl-C) cancels it, and so does the end of ``seconds``.

        Raises NotOpen, Forked, InsideLoop, TookTooLong, and as the coroutine.
        """
        fault = self._fault()
        if fault is None:
            with self._gate:
                if not self._closing:
                    future = asyncio.run_coroutine_threadsafe(self._noted(work, seconds), self._loop)
                else:
                    fault = NotOpen()
        if fault is not None:
            work.close()
            raise fault
        try:
            return future.result()
        except KeyboardInterrupt:
            future.cancel()
            raise
        except CancelledError as exc:
            raise NotOpen from exc  # close() in another thread

    async def _noted(self, work: Coroutine[Any, Any, T], seconds: float | None) -> T:
        task = asyncio.current_task()
        assert task is not None  # run() makes one
        self._tasks.add(task)
        try:
            return await (work if seconds is None else _limited(work, seconds))
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
        items: asyncio.Queue[T | _End] = asyncio.Queue(ahead)
        # one task runs the whole generator: a session of blocks belongs to one task
        pump = self.run(self._started(source, items))
        try:
            while True:
                for item in self.run(_taken(items), seconds):
                    if isinstance(item, _End):
                        self.run(_outcome(pump))
                        return
                    yield item
        finally:
            if not pump.done():
                self._end(pump)

    def _end(self, pump: asyncio.Task[None]) -> None:
        fault = self._fault()
        if fault is None:
            self.run(_ended(pump))
        elif isinstance(fault, InsideLoop):  # the collector of garbage came by in the thread of the loop
            pump.cancel()

    async def _started(self, source: AsyncGenerator[T, None], items: asyncio.Queue[T | _End]) -> asyncio.Task[None]:
        task = self._loop.create_task(_pump(source, items))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def close(self, last: Coroutine[Any, Any, None] | None = None) -> None:
        """Cancel what other threads wait for, and iterators that are not finished; run ``last``; end the thread.

        Idempotent; in a child of fork() there is nothing to end. Raises InsideLoop, and as ``last``.
        """
        begins = self.is_ours and threading.current_thread() is not self._thread
        if begins:
            with self._gate:
                begins, self._closing = not self._closing, True
        if not begins:
            if last is not None:
                last.close()
            if isinstance(self._fault(), InsideLoop):
                raise InsideLoop
            return
        try:
            asyncio.run_coroutine_threadsafe(self._ended(last), self._loop).result()
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    def stop(self) -> None:
        """Cancel what is unfinished and stop the loop, within AT_EXIT.

        A thread that stands still in the middle of an import when the interpreter ends keeps its lock, and what is
        destroyed then may import, too, and would wait for ever.
        """
        if not self.is_ours or self._loop.is_closed():
            return
        with self._gate:
            self._closing = True
        asyncio.run_coroutine_threadsafe(self._cancelled(), self._loop)
        self._thread.join(AT_EXIT)

    async def _cancelled(self) -> None:
        try:
            async with asyncio.timeout(AT_EXIT):
                await self._end_others()
                if rest := asyncio.all_tasks() - {asyncio.current_task()}:
                    for task in rest:
                        task.cancel()
                    await asyncio.wait(rest)
        finally:
            self._loop.stop()

    async def _end_others(self) -> None:
        if others := set(self._tasks):
            for task in others:
                task.cancel()
            await asyncio.wait(others)

    async def _ended(self, last: Coroutine[Any, Any, None] | None) -> None:
        try:
            await self._end_others()
            if last is not None:
                await last
        finally:
            await self._loop.shutdown_asyncgens()
            await self._loop.shutdown_default_executor()


_RUNNING: weakref.WeakSet[LoopThread] = weakref.WeakSet()


def _stop_all() -> None:
    for one in list(_RUNNING):
        one.stop()


# before the threads of executors end, which what is cancelled still needs: concurrent.futures.thread registers that by
# the same function, and the last to be registered is the first to run
getattr(threading, "_register_atexit", atexit.register)(_stop_all)


async def _limited(work: Coroutine[Any, Any, T], seconds: float) -> T:
    try:
        async with asyncio.timeout(seconds) as limit:
            return await work
    except TimeoutError as exc:
        if not limit.expired():
            raise
        raise TookTooLong(seconds) from exc


class _End:
    """The end of a generator."""


async def _pump(source: AsyncGenerator[T, None], items: asyncio.Queue[T | _End]) -> None:
    """Move the items, then the end; an error stays with the task."""
    try:
        async with aclosing(source):
            async for item in source:
                await items.put(item)
    finally:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            while not items.empty():
                items.get_nowait()
        await items.put(_End())


async def _outcome(task: asyncio.Task[None]) -> None:
    """Raises what ended the generator; NotOpen if the node was closed meanwhile."""
    await asyncio.wait([task])
    if task.cancelled():
        raise NotOpen
    task.result()


async def _taken(items: asyncio.Queue[T | _End]) -> list[T | _End]:
    """At least one item, and those that are ready."""
    taken = [await items.get()]
    while not items.empty():
        taken.append(items.get_nowait())
    return taken


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])


class BlockingGroup(Generic[G]):
    """A group of methods whose loop runs in another thread."""

    def __init__(self, inner: G, loop: LoopThread, seconds: float | None = None) -> None:
        """``seconds``: longest wait for a call, and for an item of an iterator; None: no bound."""
        self._inner = inner
        self._loop = loop
        self._seconds = seconds


def blocking(
    method: Callable[Concatenate[G, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[BlockingGroup[G], P], T]:
    """The method of a BlockingGroup that waits for this one."""
    name = method.__name__

    def call(self: BlockingGroup[G], /, *args: P.args, **kwargs: P.kwargs) -> T:
        work: Coroutine[Any, Any, T] = getattr(self._inner, name)(*args, **kwargs)
        return self._loop.run(work, self._seconds)

    return update_wrapper(call, method)


def iterating(
    method: Callable[Concatenate[G, P], AsyncGenerator[T, None]], ahead: int = WHOLE_QUEUE
) -> Callable[Concatenate[BlockingGroup[G], P], Generator[T, None, None]]:
    """The method of a BlockingGroup that gives what this one gives, as a blocking iterator."""
    name = method.__name__

    def call(self: BlockingGroup[G], /, *args: P.args, **kwargs: P.kwargs) -> Generator[T, None, None]:
        source: AsyncGenerator[T, None] = getattr(self._inner, name)(*args, **kwargs)
        yield from self._loop.iterate(source, ahead, self._seconds)

    wrapped = update_wrapper(call, method)
    given = str(wrapped.__annotations__["return"])  # a text, as all annotations of these modules
    wrapped.__annotations__["return"] = given.replace("AsyncGenerator", "Generator")
    return wrapped
