"""The gateway of a daemon, composed: the site, its limits, its log, its counters."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from cidery.core.api import Api
from cidery.gateway.access_log import AccessLog, access_log
from cidery.gateway.bounded import Bounded
from cidery.gateway.counters import GatewayCounters
from cidery.gateway.listen import listen
from cidery.gateway.options import options_of, request_limits
from cidery.gateway.site import Site
from cidery.multiformats.multiaddr import Multiaddr


@asynccontextmanager
async def public_gateway(api: Api, path: Path, counters: GatewayCounters) -> AsyncIterator[list[Multiaddr]]:
    """Serve as configured; yields the real addresses. ``path``: of the repository. Raises CannotListen, CannotLog."""
    config, serving = api.config, api.config.serving
    options = options_of(config)
    site = Site(api, options)
    counters.bounded = Bounded(site.handle, request_limits(serving), options.headers)
    async with AsyncExitStack() as stack:
        heard: list[AccessLog] = []
        if serving.access_log and config.gateway:
            file = None if serving.access_log == "-" else path / serving.access_log
            log = await stack.enter_async_context(access_log(file, serving.access_format))
            _reopen_on_hangup(log)
            heard.append(log)
        file_of_address = path / "gateway"
        opened = listen(config.gateway, counters.bounded, file_of_address, site.at_hand, counters, heard)
        yield await stack.enter_async_context(opened)


def _reopen_on_hangup(log: AccessLog) -> None:
    """As logrotate and others ask for it."""
    hangup = getattr(signal, "SIGHUP", None)  # not on Windows
    if hangup is not None:
        asyncio.get_running_loop().add_signal_handler(hangup, log.reopen)
