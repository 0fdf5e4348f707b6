"""The gateway of a daemon, composed: the site, its limits, its log, its counters."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from cidery.core.api import Api
from cidery.gateway.access_log import AccessLog, access_log
from cidery.gateway.bounded import Bounded
from cidery.gateway.counters import GatewayCounters
from cidery.gateway.listen import listen
from cidery.gateway.options import of_every_answer, options_of, request_limits
from cidery.gateway.site import Site
from cidery.gateway.visitor import proxies_of
from cidery.http.tls import Certificate
from cidery.multiformats.multiaddr import Multiaddr
from cidery.repo.config_gateway import GatewaySettings


@asynccontextmanager
async def public_gateway(
    api: Api, path: Path, counters: GatewayCounters, of_rpc: Certificate | None = None
) -> AsyncIterator[list[Multiaddr]]:
    """Serve as configured; yields the real addresses. ``path``: of the repository. ``of_rpc``: is read again
    at SIGHUP, too.

    Raises CannotListen, CannotLog, BadCertificate.
    """
    config, serving = api.config, api.config.serving
    options = options_of(config)
    site = Site(api, options)
    counters.bounded = Bounded(site.handle, request_limits(serving), of_every_answer(options), html=options.pages)
    counters.strangers = site.strangers
    certificate = Certificate(*serving.tls) if serving.tls is not None else None
    async with AsyncExitStack() as stack:
        heard = await stack.enter_async_context(request_log(serving, path)) if config.gateway else []
        renewed_on_hangup(heard, [one for one in (of_rpc, certificate) if one is not None])
        file_of_address = path / "gateway"
        opened = listen(config.gateway, counters.bounded, file_of_address, site.at_hand, counters, heard, certificate)
        yield await stack.enter_async_context(opened)


@asynccontextmanager
async def request_log(serving: GatewaySettings, path: Path) -> AsyncIterator[list[AccessLog]]:
    """The log of Gateway.AccessLog, if it is wanted. ``path``: of the repository. Raises CannotLog."""
    if not serving.access_log:
        yield []
        return
    file = None if serving.access_log == "-" else path / serving.access_log
    async with access_log(file, serving.access_format, proxies_of(serving.proxies)) as log:
        yield [log]


def renewed_on_hangup(logs: Sequence[AccessLog], certificates: Sequence[Certificate]) -> None:
    """At SIGHUP, as logrotate and others send it, open the log again and read the certificates again."""
    hangup = getattr(signal, "SIGHUP", None)  # not on Windows
    if hangup is None or (not logs and not certificates):
        return

    def renew() -> None:
        for log in logs:
            log.reopen()
        for certificate in certificates:
            certificate.renew()

    asyncio.get_running_loop().add_signal_handler(hangup, renew)
