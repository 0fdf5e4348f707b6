"""Metrics in the text format that Prometheus reads. Pure.

Our own, as it is forty lines: values are counted by the parts of a node already, where the library's objects would take
a lock for each request, and their import 60 ms of a start.

Spec: https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format
"""

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
PATH = "/debug/metrics/prometheus"
"""Where Kubo has them, too."""


class Sample(NamedTuple):
    """One value."""

    value: float
    labels: Mapping[str, str] = {}
    suffix: str = ""


class Metric(NamedTuple):
    """Values of one name. ``kind``: counter, gauge or histogram."""

    name: str
    kind: str
    help: str
    samples: Sequence[Sample]


class Histogram:
    """How many observations were at most so large."""

    def __init__(self, bounds: Sequence[float]) -> None:
        """``bounds``: rising; what is larger is counted in +Inf alone."""
        self._bounds = tuple(bounds)
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        """O(log bounds)."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def samples(self) -> list[Sample]:
        found, total = [], 0
        for bound, count in zip((*self._bounds, float("inf")), self._counts, strict=True):
            total += count
            found.append(Sample(total, {"le": _number(bound)}, "_bucket"))
        return [*found, Sample(self._sum, {}, "_sum"), Sample(total, {}, "_count")]


def summed(parts: Iterable[Sequence[Metric]]) -> list[Metric]:
    """Metrics of several processes, added up by name and labels, in the order in which they come."""
    metrics: dict[str, Metric] = {}
    values: dict[str, dict[tuple[str, tuple[tuple[str, str], ...]], Sample]] = {}
    for metric in (metric for part in parts for metric in part):
        metrics.setdefault(metric.name, metric)
        known = values.setdefault(metric.name, {})
        for value, labels, suffix in metric.samples:
            key = (suffix, tuple(sorted(labels.items())))
            known[key] = Sample(value + (known[key].value if key in known else 0), labels, suffix)
    return [metric._replace(samples=list(values[name].values())) for name, metric in metrics.items()]


def exposition(metrics: Iterable[Metric]) -> bytes:
    """The text; metrics without samples are left out."""
    lines: list[str] = []
    for metric in metrics:
        if not metric.samples:
            continue
        lines.append(f"# HELP {metric.name} {_escaped(metric.help)}\n# TYPE {metric.name} {metric.kind}\n")
        for value, labels, suffix in metric.samples:
            inside = ",".join(f'{name}="{_escaped(text, quotes=True)}"' for name, text in labels.items())
            lines.append(f"{metric.name}{suffix}{f'{{{inside}}}' if inside else ''} {_number(value)}\n")
    return "".join(lines).encode()


def _number(value: float) -> str:
    if value == float("inf"):
        return "+Inf"
    return str(int(value)) if value == int(value) and abs(value) < 1 << 53 else repr(float(value))


def _escaped(text: str, *, quotes: bool = False) -> str:
    text = text.replace("\\", "\\\\").replace("\n", "\\n")
    return text.replace('"', '\\"') if quotes else text
