"""Keeps a daemon's store within ``Datastore.StorageMax``: cached blocks are evicted, the user's blocks stay.

Blocks from the network are evicted, coldest first, once the store exceeds the limit, down to the watermark. Blocks
that were added, imported or pinned are removed only by `repo gc`, or here when the daemon runs with --enable-gc, and
then only if nothing holds them any more.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from importlib import import_module

from cidery.errors import CideryError
from cidery.repo.config import Config
from cidery.repo.reserve import Reserve
from cidery.tasks import end, in_thread

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cidery.core.keeping.collector import Collector

log = logging.getLogger("cidery.gc")

LOOK_EVERY = 30.0
"""Seconds between two looks at the size of the store, each one stat per segment."""

Sleep = Callable[[float], Awaitable[None]]


@asynccontextmanager
async def keeping_budget(
    collector: Callable[[], Collector], config: Config, *, collect: bool, sleep: Sleep
) -> AsyncIterator[None]:
    """Watch the store's size inside the context.

    Args:
        collector: asked for at the first look: a start does without what it is made of.
        collect: collect garbage too, every ``Datastore.GCPeriod``.
    """
    tasks = [asyncio.create_task(_every(LOOK_EVERY, sleep, lambda: evict_over(collector(), config)))]
    if collect:
        tasks.append(asyncio.create_task(_every(config.gc_period, sleep, lambda: collect_over(collector(), config))))
    try:
        yield
    finally:
        await end(tasks)


async def _every(seconds: float, sleep: Sleep, work: Callable[[], Awaitable[None]]) -> None:
    while True:
        await sleep(seconds)
        # the first time that takes some 10 ms, for which the loop is not held
        collecting = await in_thread(import_module, "cidery.core.keeping.collector")
        try:
            await work()
        except collecting.GcRunning:
            continue
        except CideryError as exc:
            log.warning("no space was made: %s", exc)


def _watermark(config: Config) -> int:
    return config.storage_max * config.gc_watermark // 100


async def evict_over(collector: Collector, config: Config) -> None:
    """Evict cached blocks down to the watermark if the store is over StorageMax; see to the reserve of a large one.

    Raises as Collector.evict().
    """
    await in_thread(Reserve(collector.store.directory).keep_if_large)
    found = await collector.store.stat()
    if found.disk_bytes <= config.storage_max:
        return
    if found.blocks == found.kept_blocks:
        log.warning(
            "the store has %d bytes, Datastore.StorageMax says %d; all of it was put here on purpose: "
            "unpin something and run `cidery repo gc`, or raise the limit",
            found.disk_bytes,
            config.storage_max,
        )
        return
    async with aclosing(collector.evict(found.disk_bytes - _watermark(config))) as steps:
        async for _ in steps:
            continue


async def collect_over(collector: Collector, config: Config) -> None:
    """Collect garbage if the store is over the watermark. Raises as Collector.garbage()."""
    if (await collector.store.stat()).disk_bytes <= _watermark(config):
        return
    async with aclosing(collector.garbage()) as steps:
        async for _ in steps:
            continue
