"""What a gateway has answered, counted for Prometheus. Names are those of Kubo where it has the same value."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from cidery.budgets import GATEWAY_BODIES, GATEWAY_CONNECTIONS, GATEWAY_REQUESTS, STRANGER_FETCHES
from cidery.core.network import BudgetUse
from cidery.http.exposition import Histogram, Metric, Sample
from cidery.http.message import Answered, Request

if TYPE_CHECKING:
    from cidery.gateway.bounded import Bounded
    from cidery.gateway.strangers import Strangers
    from cidery.http.server import HttpServer

CONNECTIONS, REQUESTS = "cidery_gateway_connections", "ipfs_http_gw_concurrent_requests"
BODIES, FETCHES = "cidery_gateway_bodies", "cidery_gateway_stranger_fetches"
"""Names of what is used now."""
BUCKETS = (0.001, 0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
"""Seconds."""
FORMS = ("raw", "car", "ipns-record", "tar", "json", "cbor", "dag-json", "dag-cbor")
"""Values of ``format`` that are counted by their names."""
_TYPES = (
    ("application/vnd.ipld.raw", "raw"),
    ("application/vnd.ipld.car", "car"),
    ("application/vnd.ipfs.ipns-record", "ipns-record"),
    ("application/vnd.ipld.dag-json", "dag-json"),
    ("application/vnd.ipld.dag-cbor", "dag-cbor"),
    ("application/x-tar", "tar"),
)


def kind_of(request: Request) -> str:
    """What was asked for: one of FORMS, "routing", "page" or "other"; a client cannot make up more."""
    if request.method not in ("GET", "HEAD"):
        return "other"
    target = request.target
    if target.startswith("/routing/"):
        return "routing"
    if "?" in target:
        query = target.partition("?")[2]
        at = 0 if query.startswith("format=") else query.find("&format=") + 1
        if at or query.startswith("format="):
            form = query[at + 7 :].partition("&")[0]
            return form if form in FORMS else "other"
    accept = request.headers.get("accept")
    if accept is not None and "application/" in accept:
        return next((kind for name, kind in _TYPES if name in accept), "page")
    return "page"


class GatewayCounters:
    """Hears of every request; see http.server.HttpServer.on_answered. Costs 1.5 us a request."""

    def __init__(self) -> None:
        self.server: HttpServer | None = None
        self.bounded: Bounded | None = None
        self.strangers: Strangers | None = None
        self._answers: Counter[tuple[str, int]] = Counter()
        """By kind and status."""
        self._seconds = Histogram(BUCKETS)
        self._sent = self._broken = 0

    def __call__(self, answered: Answered) -> None:
        request, status, sent, seconds, whole, _ = answered
        self._answers[kind_of(request), status] += 1
        self._seconds.observe(seconds)
        self._sent += sent
        if not whole:
            self._broken += 1

    def metrics(self) -> list[Metric]:
        """All of them, now."""
        by_code: Counter[int] = Counter()
        for (_, status), count in self._answers.items():
            by_code[status] += count
        codes = [Sample(count, {"code": str(code)}) for code, count in sorted(by_code.items())]
        kinds = [
            Sample(count, {"kind": kind, "code": str(code)}) for (kind, code), count in sorted(self._answers.items())
        ]
        bounded, server = self.bounded, self.server
        found = [
            Metric("ipfs_http_gw_responses_total", "counter", "Answers; code 0: the client left.", codes),
            Metric("cidery_gateway_requests_total", "counter", "The same by what was asked for.", kinds),
            Metric(
                "ipfs_http_gw_request_duration_seconds",
                "histogram",
                "From the head of a request to the end of its answer.",
                self._seconds.samples(),
            ),
            Metric("cidery_gateway_sent_bytes_total", "counter", "Bytes of bodies sent.", [Sample(self._sent)]),
            Metric(
                "cidery_gateway_broken_total",
                "counter",
                "Answers not sent to their end.",
                [Sample(self._broken)],
            ),
        ]
        if server is not None:
            found.append(Metric(CONNECTIONS, "gauge", "Open connections.", [Sample(server.connections)]))
        if self.strangers is not None:
            running = [Sample(self.strangers.running)]
            found.append(Metric(FETCHES, "gauge", "Fetches from other nodes for strangers.", running))
        return found + (_of_limits(bounded) if bounded is not None else [])


def _of_limits(bounded: Bounded) -> list[Metric]:
    timeouts = [
        Sample(bounded.timeouts, {"code": "504", "truncated": "false"}),
        Sample(bounded.stalled, {"code": "200", "truncated": "true"}),
    ]
    return [
        Metric(REQUESTS, "gauge", "Requests being answered.", [Sample(bounded.running)]),
        Metric(BODIES, "gauge", "Answers being read in pieces.", [Sample(bounded.places.taken_now)]),
        Metric("ipfs_http_gw_retrieval_timeouts_total", "counter", "Content that did not come in time.", timeouts),
        Metric("cidery_gateway_refused_total", "counter", "Requests beyond a limit.", [Sample(bounded.refused)]),
        Metric("cidery_gateway_overdue_total", "counter", "Answers that took too long.", [Sample(bounded.overdue)]),
    ]


def budgets(metrics: Sequence[Metric], most_requests: int) -> list[BudgetUse]:
    """What is used of a gateway's budgets, by its metrics. ``most_requests``: Gateway.MaxConcurrentRequests; 0: any."""
    used = {metric.name: sum(sample.value for sample in metric.samples) for metric in metrics}
    rows = (
        ("gateway connections", GATEWAY_CONNECTIONS.unit, CONNECTIONS, GATEWAY_CONNECTIONS.amount),
        ("gateway requests", GATEWAY_REQUESTS.unit, REQUESTS, most_requests or None),
        ("gateway answers being read", GATEWAY_BODIES.unit, BODIES, GATEWAY_BODIES.amount),
        ("gateway fetches for strangers", STRANGER_FETCHES.unit, FETCHES, None),
    )
    return [BudgetUse(name, unit, used[metric], limit) for name, unit, metric, limit in rows if metric in used]
