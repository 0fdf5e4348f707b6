"""Metrics as text: the format, and the counters of the gateway behind it."""

import pytest
from prometheus_client.parser import text_string_to_metric_families

from cidery.gateway.counters import GatewayCounters, kind_of
from cidery.http.exposition import Histogram, Metric, Sample, exposition
from cidery.http.message import Answered, Request


def test_the_text_is_what_the_library_of_prometheus_reads() -> None:
    seconds = Histogram((0.1, 1.0))
    for value in (0.05, 0.1, 0.5, 7.25):
        seconds.observe(value)
    text = exposition(
        [
            Metric(
                "some_total",
                "counter",
                'Of "this"\nand \\that.',
                [Sample(3, {"code": "200"}), Sample(1.5, {"code": 'a"\\\n'})],
            ),
            Metric("a_gauge", "gauge", "Now.", [Sample(-2)]),
            Metric("seconds", "histogram", "How long.", seconds.samples()),
            Metric("nothing", "gauge", "Left out.", []),
        ]
    ).decode()
    families = {family.name: family for family in text_string_to_metric_families(text)}
    assert sorted(families) == ["a_gauge", "seconds", "some"]
    assert families["some"].documentation == 'Of "this"\nand \\that.'
    assert [(sample.labels, sample.value) for sample in families["some"].samples] == [
        ({"code": "200"}, 3.0),
        ({"code": 'a"\\\n'}, 1.5),
    ]
    values = {(sample.name, sample.labels.get("le")): sample.value for sample in families["seconds"].samples}
    assert values == {
        ("seconds_bucket", "0.1"): 2,
        ("seconds_bucket", "1"): 3,
        ("seconds_bucket", "+Inf"): 4,
        ("seconds_sum", None): pytest.approx(7.9),
        ("seconds_count", None): 4,
    }


@pytest.mark.parametrize(
    ("target", "accept", "kind"),
    [
        ("/ipfs/x?format=car&dag-scope=all", "", "car"),
        ("/ipfs/x?format=made-up-by-a-client", "", "other"),
        ("/ipfs/x?" + "&".join(f"format={n}" for n in range(100)), "", "other"),
        ("/ipfs/x", "application/vnd.ipld.raw", "raw"),
        ("/ipfs/x", "text/html,application/xhtml+xml", "page"),
        ("/ipfs/x?filename=information=", "", "page"),
        ("/routing/v1/providers/x", "", "routing"),
    ],
)
def test_clients_cannot_make_up_kinds(target: str, accept: str, kind: str) -> None:
    assert kind_of(Request("GET", target, {"accept": accept})) == kind
    assert kind_of(Request("BREW", target)) == "other"


def test_requests_are_counted_by_status_and_kind() -> None:
    counters = GatewayCounters()
    for status, sent, whole in ((200, 10, True), (200, 5, False), (410, 3, True)):
        counters(Answered(Request("GET", "/ipfs/x?format=raw"), status, sent, 0.01, whole, "1.1"))
    found = {metric.name: metric.samples for metric in counters.metrics()}
    assert found["ipfs_http_gw_responses_total"] == [Sample(2, {"code": "200"}), Sample(1, {"code": "410"})]
    assert found["cidery_gateway_requests_total"][0] == Sample(2, {"kind": "raw", "code": "200"})
    assert found["cidery_gateway_sent_bytes_total"] == [Sample(18)]
    assert found["cidery_gateway_broken_total"] == [Sample(1)]
