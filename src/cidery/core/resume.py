"""Work that a node resumes by itself when it is opened: queued pins, and an interrupted collection."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

from cidery.core.api import Api
from cidery.errors import CideryError
from cidery.repo.jobs import JobState

log = logging.getLogger("cidery.jobs")


@asynccontextmanager
async def going_on(api: Api) -> AsyncIterator[None]:
    """Work on jobs inside the context; what is unfinished at its end waits until the next time."""
    await api.jobs.expire()
    async with api.pin_queue.working(api):
        task = asyncio.create_task(_collect(api))
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def _collect(api: Api) -> None:
    if not any(job.state is JobState.INTERRUPTED for job in api.jobs.jobs.every("gc", ended=False)):
        return
    from cidery.core.keeping.collector import GcRunning

    try:
        async with aclosing(api.collector.garbage()) as steps:
            async for _ in steps:
                continue
    except GcRunning:
        return  # another process was faster
    except CideryError as exc:
        log.warning("the interrupted collection could not be resumed: %s", exc)
