"""The metrics of the gateway's workers on a port of their own, where no daemon adds them up.

Any worker answers, with the sums over all: they share one socket, which the parent holds.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence
from ipaddress import ip_address
from pathlib import Path

from cidery.gateway.counters import GatewayCounters
from cidery.gateway.worker_metrics import of_workers
from cidery.http.authorization import AGENT
from cidery.http.exposition import MEDIA_TYPE, PATH, Metric, Sample, exposition
from cidery.http.message import Request, Response, text
from cidery.http.server import HttpServer
from cidery.multiformats.multiaddr import Multiaddr
from cidery.node.metrics import about_program, resident_bytes
from cidery.rpc.guard import check
from cidery.version import __version__

PATHS = (PATH, "/metrics")
"""Where the daemon has them, and where programs look first."""
MAX_CONNECTIONS = 16
"""Of a worker: few programs ask, every few seconds."""


def metrics_server(repo: Path, *, any_host: bool) -> HttpServer:
    """Answers with the sums over all workers. ``any_host``: under whatever name it is asked."""
    answer = _Answering(repo, any_host=any_host).answer
    return HttpServer(answer, most=MAX_CONNECTIONS, name=f"{AGENT}{__version__}", clock=time.time)


def may_have_any_host(addrs: Sequence[Multiaddr]) -> bool:
    """Whether names need not be looked at: other machines know this one by many, and no browser opens Unix sockets.

    A port of this machine alone is what a page reaches under a name of its own that leads here.
    """
    endpoints = [endpoint for addr in addrs if (endpoint := addr.tcp_endpoint()) is not None]
    return not any(ip_address(host.partition("%")[0]).is_loopback for host, _ in endpoints)


class _Answering:
    """The handler."""

    def __init__(self, repo: Path, *, any_host: bool) -> None:
        self._repo = repo
        self._any_host = any_host

    async def answer(self, request: Request) -> Response:
        if request.path not in PATHS:
            return text(404, f"nothing is here; ask for {PATH}")
        if request.method not in ("GET", "HEAD"):
            return text(405, "only GET and HEAD are answered", {"Allow": "GET, HEAD"})
        # as at the daemon: no page may read them, also none whose name was made to lead to this machine
        refusal = check("POST", request.headers, frozenset(), any_host=self._any_host)
        if refusal is not None:
            return text(refusal.status, refusal.text)
        found = await asyncio.to_thread(of_workers, self._repo)
        return Response(200, {"Content-Type": MEDIA_TYPE}, exposition([about_program(), *found]))


def of_worker(counters: GatewayCounters) -> list[Metric]:
    """What one worker publishes: its answers, and what it costs."""
    times, memory = os.times(), resident_bytes()
    spent = [Sample(times.user + times.system)]
    found = [
        *counters.metrics(),
        Metric("cidery_gateway_workers", "gauge", "Processes of gateway serve.", [Sample(1)]),
        Metric("cidery_gateway_worker_cpu_seconds_total", "counter", "Their processor time.", spent),
    ]
    if memory is not None:
        shared = "Their memory; pages that they share are counted for each."
        found.append(Metric("cidery_gateway_worker_resident_bytes", "gauge", shared, [Sample(memory)]))
    return found
