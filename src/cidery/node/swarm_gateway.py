"""The trustless gateway on the port of the swarm (``Gateway.OnSwarmPort``): under TLS, what is stored, verifiable.

So a node at home with a certificate of AutoTLS is a provider over HTTP, for browsers and for Kubo.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from cidery.core.api import Api
from cidery.gateway.bounded import Bounded
from cidery.gateway.counters import GatewayCounters
from cidery.gateway.listen import SHUTDOWN_GRACE, gateway_server
from cidery.gateway.options import OVER_STREAMS, of_every_answer, request_limits
from cidery.gateway.site import Site
from cidery.http.connection import Connection
from cidery.http.server import HttpServer


class SwarmGateway:
    """One per node, made before it listens; it answers inside serving()."""

    def __init__(self) -> None:
        self._server: HttpServer | None = None

    def protocol(self, chosen: str) -> asyncio.Protocol | None:
        """See libp2p.io.first_request.MakeHttp."""
        if self._server is None or self._server.closing:
            return None
        if chosen == "h2":
            from cidery.http.h2_connection import H2Connection  # late: few nodes are asked so

            return H2Connection(self._server)
        return Connection(self._server, secure=True)

    @asynccontextmanager
    async def serving(self, api: Api) -> AsyncIterator[None]:
        """Answer what the store has; at the end running answers get SHUTDOWN_GRACE seconds."""
        options = OVER_STREAMS
        site = Site(api, options)
        bounded = Bounded(site.handle, request_limits(api.config.serving), of_every_answer(options), html=False)
        self._server = gateway_server(bounded, site.at_hand)
        self._server.tunnels = False
        counters = GatewayCounters()
        counters.server, counters.bounded, counters.strangers = self._server, bounded, site.strangers
        self._server.on_answered.append(counters)
        api.other_metrics.append(counters.metrics)
        try:
            yield
        finally:
            await self._server.close(SHUTDOWN_GRACE)
