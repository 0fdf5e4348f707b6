"""What the loop of a blocking node runs around the calls of other threads. Imported once there is a loop."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TypeVar

from cidery.methods.call_errors import NotOpen, TookTooLong

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Coroutine
    from typing import Any

T = TypeVar("T")


async def limited(work: Coroutine[Any, Any, T], seconds: float) -> T:
    try:
        async with asyncio.timeout(seconds) as limit:
            return await work
    except TimeoutError as exc:
        if not limit.expired():
            raise
        raise TookTooLong(seconds) from exc


class End:
    """The end of a generator."""


async def pump(source: AsyncGenerator[T, None], items: asyncio.Queue[T | End]) -> None:
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
        await items.put(End())


async def outcome(task: asyncio.Task[None]) -> None:
    """Raises what ended the generator; NotOpen if the node was closed meanwhile."""
    await asyncio.wait([task])
    if task.cancelled():
        raise NotOpen
    task.result()


async def taken(items: asyncio.Queue[T | End]) -> list[T | End]:
    """At least one item, and those that are ready."""
    taken = [await items.get()]
    while not items.empty():
        taken.append(items.get_nowait())
    return taken
