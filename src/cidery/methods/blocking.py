"""Methods of asyncio as blocking ones, with their types: one event loop in a thread of its own runs them.

``add = blocking(Pin.add)`` in a class makes a method with the arguments, the result and the documentation of Pin.add;
``iterating`` does the same for asynchronous generators.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from functools import update_wrapper
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar

from cidery.methods.loop_thread import LoopThread

P = ParamSpec("P")
T = TypeVar("T")
G = TypeVar("G")

READ_AHEAD = 4
"""Results of an iterator held for a slow reader: some MiB of a file."""
WHOLE_QUEUE = 64
"""Results of an iterator of values held for a slow reader: fetched from its thread together."""


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
