"""One worker of ``gateway serve``: a process that serves content from its own view of the store until told to end.

What is not stored it asks of the daemon, if one runs (client/misses.py), which also answers the HTTP routing API
(client/relay.py).
"""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from cidery.client.address import Endpoint, find_daemon
from cidery.client.misses import DaemonMisses
from cidery.client.relay import RoutingRelay
from cidery.gateway.bounded import Bounded
from cidery.gateway.counters import GatewayCounters
from cidery.gateway.listen import gateway_server
from cidery.gateway.options import of_every_answer, options_of, request_limits
from cidery.gateway.shared_counts import SharedCounts
from cidery.gateway.site import Site
from cidery.gateway.worker_metrics import published
from cidery.http.tls import Certificate
from cidery.node.build import Access, build
from cidery.node.gateway_metrics import metrics_server, of_worker
from cidery.node.heap import tended_heap
from cidery.node.public_gateway import renewed_on_hangup, request_log
from cidery.tasks import end

GRACE = 30.0
"""Seconds that running answers have to finish after SIGTERM."""
READY = b"r"
"""Written to the parent when connections are accepted."""


class Work(NamedTuple):
    """What a worker gets from its parent."""

    repo: Path
    sockets: Sequence[socket.socket]
    """Bound; it listens at them."""
    metrics_sockets: Sequence[socket.socket]
    """The same, for the metrics of all workers."""
    metrics_any_host: bool
    """Whether they are told under whatever name they are asked for."""
    link: socket.socket
    """To the parent: its end means that of the parent."""
    certificate: Certificate | None
    """None: no TLS."""
    number: int
    """Of the worker, from 0."""
    counts: SharedCounts
    """Of all workers."""
    metrics: Path | None
    """Where it writes what it has counted; None: nowhere."""


async def serve(work: Work) -> None:
    """Serve until SIGTERM, SIGINT or the end of the parent, and then until the running answers are done."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, stopping.set)

    def find() -> Endpoint | None:
        return _daemon(work.repo)

    async with (
        build(work.repo, Access.READ, lasting=True, elsewhere=DaemonMisses(find)) as api,
        request_log(api.config.serving, work.repo) as logs,
        tended_heap(),
    ):
        options = options_of(api.config)
        shared, workers = work.counts.of(work.number), work.counts.workers
        site = Site(api, options, RoutingRelay(find).handle, shared)
        limits = request_limits(api.config.serving, workers)
        bounded = Bounded(site.handle, limits, of_every_answer(options), html=options.pages, shared=shared)
        server = gateway_server(bounded, site.at_hand, workers)
        counters = GatewayCounters()
        counters.server, counters.bounded, counters.strangers = server, bounded, site.strangers
        server.on_answered.extend((*logs, counters))
        certificate = work.certificate
        following = None if certificate is None else asyncio.create_task(certificate.follow())
        renewed_on_hangup(logs, [] if certificate is None else [certificate])
        publishing = None
        if work.metrics is not None:
            publishing = asyncio.create_task(published(work.metrics, lambda: of_worker(counters)))
        measuring = metrics_server(work.repo, any_host=work.metrics_any_host)
        try:
            for bound in work.sockets:
                await server.listen_at(bound, certificate)
            for bound in work.metrics_sockets:
                await measuring.listen_at(bound)
            work.link.sendall(READY)
            loop.add_reader(work.link, stopping.set)
            await stopping.wait()
        finally:
            loop.remove_reader(work.link)
            if following is not None:
                following.cancel()
            await server.close(GRACE)
            await measuring.close(0.0)
            if publishing is not None:
                await end([publishing])


def _daemon(repo: Path) -> Endpoint | None:
    """Where the daemon of the repository is; None if none runs, or not one that knows this repository's token."""
    endpoint = find_daemon(str(repo))
    return endpoint if endpoint is not None and endpoint.token else None
