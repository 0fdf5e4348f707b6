"""What all file systems of a process share: the sources they have opened, in fsspec's own thread.

fsspec objects are used from any thread and any event loop, and outlive both. Connections and databases belong to one
loop; so they live in that of fsspec's thread, and calls from other loops are carried there. Before the process forks,
they are closed, since a child must not touch them; parent and child open them again when they need them.
"""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures.thread  # noqa: F401  # registers its own end first
import os
import threading
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeVar

from fsspec.asyn import get_loop

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine
    from typing import Any

    from cidery.fs.options import Options
    from cidery.fs.source import Source
    from cidery.fs.tree import Tree

T = TypeVar("T")

FORK_SECONDS = 30.0
"""Longest wait of os.fork() for reads and writes under way; after that the child cannot open the repository."""
EXIT_SECONDS = 3.0
"""Longest wait for the same at the end of the process."""


class _Entry:
    def __init__(self) -> None:
        self.opening = asyncio.Lock()
        self.opened: tuple[Source, Tree] | None = None
        self.users = 0
        self.idle = asyncio.Event()
        self.idle.set()


class _State:
    """Of one process."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.entries: dict[Options, _Entry] = {}
        self.held = threading.Event()
        """Unset while the process is about to fork or end: nobody begins then."""
        self.held.set()


_state = _State()


def ready(options: Options) -> tuple[Source, Tree] | None:
    """What is open for ``options``, for readers that need no loop; None: it has to be opened."""
    entry = _state.entries.get(options)
    return entry.opened if entry is not None and _state.held.is_set() else None


@asynccontextmanager
async def using(options: Options) -> AsyncIterator[tuple[Source, Tree]]:
    """The source for ``options`` and its tree, opened at the first use. In fsspec's loop.

    Raises as choose() and node.build.build().
    """
    if not _state.held.is_set():
        await asyncio.to_thread(_state.held.wait, FORK_SECONDS)
    entry = _state.entries.setdefault(options, _Entry())
    entry.users += 1
    entry.idle.clear()
    try:
        async with entry.opening:
            if entry.opened is None:
                entry.opened = await _open(options)
        yield entry.opened
    finally:
        entry.users -= 1
        if not entry.users:
            entry.idle.set()


async def _open(options: Options) -> tuple[Source, Tree]:
    from cidery.fs.options import choose
    from cidery.fs.tree import Tree

    place = choose(options)
    source: Source
    if place.repo is not None:
        from cidery.fs.local import open_local

        source = await open_local(place.repo, options, place.gateways)
    elif place.rpc is not None:
        from cidery.fs.remote import RpcSource

        source = RpcSource(place.rpc)
    else:
        from cidery.fs.remote import GatewaySource

        source = GatewaySource(place.gateways)
    return source, Tree(source)


async def in_io_loop(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run ``work`` in fsspec's loop, from any other. Cancel-safe."""
    loop = get_loop()
    if asyncio.get_running_loop() is loop:
        return await work()
    return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work(), loop))


async def release() -> None:
    """Close everything when its users are done; the next call opens it again. In fsspec's loop."""
    for options, entry in list(_state.entries.items()):
        await entry.idle.wait()
        _state.entries.pop(options, None)
        opened, entry.opened = entry.opened, None
        if opened is not None:
            await opened[0].close()


def _release_from_thread(seconds: float) -> None:
    if not _state.entries or _state.pid != os.getpid():
        return
    loop = get_loop()
    try:
        if asyncio.get_running_loop() is loop:
            return  # it cannot wait for itself
    except RuntimeError:
        pass  # no loop runs here
    _state.held.clear()
    future = asyncio.run_coroutine_threadsafe(release(), loop)
    try:
        future.result(seconds)
    except TimeoutError:
        future.cancel()


def _forget() -> None:
    global _state
    _state = _State()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=lambda: _release_from_thread(FORK_SECONDS),
        after_in_parent=lambda: _state.held.set(),
        after_in_child=_forget,
    )
# Closing needs threads, and at atexit there are none any more: it has to come before the interpreter ends them.
_at_exit = getattr(threading, "_register_atexit", atexit.register)
_at_exit(lambda: _release_from_thread(EXIT_SECONDS))
