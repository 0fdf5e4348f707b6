"""HTTP routers, joined to the others while the node runs."""

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from cidery.routing.io.http_router import HttpRouter
from cidery.routing.service import JoinedRouting
from cidery.version import __version__


@asynccontextmanager
async def http_routers(routing: JoinedRouting, urls: Sequence[str]) -> AsyncIterator[list[HttpRouter]]:
    """Raises BadRouter."""
    routers = [HttpRouter(url, f"cidery/{__version__}", time.monotonic) for url in dict.fromkeys(urls)]
    routing.providers += routers
    routing.peers += routers
    routing.values += routers
    try:
        yield routers
    finally:
        for router in routers:
            await router.close()
