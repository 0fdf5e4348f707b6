"""The DHT at size, in virtual time: a table and plots in out/sim/report.html.

    python tests/sim/dht_report.py [NODES=10000] [OUT=out/sim]

Everything follows from the seeds. Ten to twenty minutes for 10,000 nodes.
"""

from __future__ import annotations

import html
import random
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import log2
from pathlib import Path
from statistics import mean, median

from dht_network import DhtNetwork, SimNode, converged

from cidery.kad.key import position
from cidery.kad.message import DhtMessage, MessageType
from cidery.kad.query import LookupStats
from cidery.kad.sweep import Exploration, Region, region_bits

KEYS = 200
"""Keys provided and looked for per scenario."""


@dataclass
class Row:
    """One scenario's results, as text."""

    name: str
    values: dict[str, str]
    target: str = ""
    met: bool | None = None


@dataclass
class Report:
    nodes: int
    rows: list[Row] = field(default_factory=list)
    plots: list[str] = field(default_factory=list)

    def add(self, name: str, values: dict[str, str], target: str = "", met: bool | None = None) -> None:
        self.rows.append(Row(name, values, target, met))
        verdict = "" if met is None else " ok" if met else " MISSED"
        print(f"{name}: {', '.join(f'{key} {value}' for key, value in values.items())} {target}{verdict}", flush=True)


def content(network: DhtNetwork) -> bytes:
    return b"\x12\x20" + network.random.randbytes(32)


def provided(network: DhtNetwork, count: int) -> tuple[list[tuple[bytes, SimNode]], list[LookupStats]]:
    keys, stats = [], []
    for _ in range(count):
        key, node = content(network), network.random.choice(network.honest())
        stats.append(network.provide(node, key).stats())
        keys.append((key, node))
    return keys, stats


def find_all(network: DhtNetwork, keys: Sequence[tuple[bytes, SimNode]]) -> tuple[float, list[LookupStats]]:
    """(share found, statistics of the look-ups)."""
    found, stats, honest = [], [], network.honest()
    for key, provider in keys:
        reader = network.random.choice([node for node in network.random.sample(honest, 2) if node is not provider])
        find = network.find(reader, key)
        found.append(provider.peer in find.providers)
        stats.append(find.stats())
    return mean(found), stats


def summary(share: float, stats: Sequence[LookupStats]) -> dict[str, str]:
    seconds = sorted(one.seconds for one in stats)
    return {
        "found": f"{100 * share:.1f} %",
        "hops": f"{mean(one.hops for one in stats):.2f}",
        "requests": f"{mean(one.requests for one in stats):.1f}",
        "median s": f"{median(seconds):.2f}",
        "p95 s": f"{seconds[int(0.95 * len(seconds))]:.2f}",
    }


def sizes(report: Report) -> None:
    """Hops and requests as the network grows."""
    hops, requests = [], []
    for size in [size for size in (100, 300, 1000, 3000, 10_000, 30_000) if size <= report.nodes]:
        network = converged(1, size)
        keys, stats = provided(network, KEYS)
        share, found = find_all(network, keys)
        mean_hops = mean(one.hops for one in stats)
        values = summary(share, stats) | {"find requests": f"{mean(one.requests for one in found):.1f}"}
        report.add(f"{size} nodes", values, f"hops <= {log2(size):.1f}, 100 %", mean_hops <= log2(size) and share == 1)
        hops.append((size, mean_hops))
        requests.append((size, mean(one.requests for one in stats)))
    report.plots.append(
        plot("mean hops of a look-up", "nodes", {"measured": hops, "log2(n)": [(n, log2(n)) for n, _ in hops]})
    )
    report.plots.append(plot("requests per look-up", "nodes", {"measured": requests}))


def first_fetch(report: Report) -> None:
    """From add to found by a stranger, at links of 50 ms one way on average."""
    network, times = converged(2, report.nodes), []
    for _ in range(KEYS):
        one, other = network.random.sample(network.honest(), 2)
        key, began = content(network), network.now
        network.provide(one, key)
        network.find(other, key)
        times.append(network.now - began)
    times.sort()
    p95 = times[int(0.95 * len(times))]
    report.add(
        "add to found by a stranger",
        {"median s": f"{median(times):.2f}", "p95 s": f"{p95:.2f}"},
        "p95 <= 2 s",
        p95 <= 2,
    )


def churn(report: Report) -> None:
    """30 % of the nodes leave within an hour and as many join; no table is refreshed and nothing provided again."""
    network = converged(3, report.nodes)
    keys, _ = provided(network, KEYS)
    providers = {node.peer for _, node in keys}
    shares = [(0.0, 100.0)]
    for minute in range(1, 61):
        leaving = [
            node for node in network.random.sample(network.honest(), report.nodes // 100) if node.peer not in providers
        ]
        for node in leaving[: round(report.nodes * 0.3 / 60)]:
            network.kill([node])
            newcomer, through = network.make_node(), network.random.choice(network.honest())
            newcomer.table.answered(through.info, network.now)
            network.run_lookup(newcomer, DhtMessage(MessageType.FIND_NODE, newcomer.peer.multihash))
        if minute % 15 == 0:
            share, stats = find_all(network, keys)
            shares.append((float(minute), 100 * share))
    report.add("after an hour of 30 % churn", summary(share, stats), ">= 99 %", share >= 0.99)
    report.plots.append(plot("found under 30 % churn an hour, %", "minutes", {"found": shares}, low=90.0))


def massacre(report: Report) -> None:
    """A share of all nodes is killed at once."""
    shares = []
    for killed in (0.3, 0.5, 0.7, 0.8):
        network = converged(4, report.nodes)
        keys, _ = provided(network, KEYS)
        network.kill(network.random.sample(network.honest(), round(report.nodes * killed)))
        share, stats = find_all(network, keys)
        shares.append((100 * killed, 100 * share))
        target = (">= 99 %", share >= 0.99) if killed == 0.5 else ("", None)
        report.add(f"{killed:.0%} killed at once", summary(share, stats), *target)
    report.plots.append(plot("found after killing a share of the nodes, %", "% killed", {"found": shares}, low=0.0))


def sybils(report: Report) -> None:
    """A share of all nodes tells only of its own kind and drops records."""
    for share_of in (0.2, 0.4):
        network = converged(5, report.nodes, sybils=round(report.nodes * share_of))
        keys, _ = provided(network, KEYS)
        share, stats = find_all(network, keys)
        target = (">= 99 %", share >= 0.99) if share_of == 0.2 else ("", None)
        report.add(f"{share_of:.0%} sybils", summary(share, stats), *target)


def eclipse(report: Report) -> None:
    """Identities nearer to one key than every honest node; provider and reader know the size of the network or not."""
    for crowd in (20, 45, 60):
        for knows in (True, False):
            network, found, stats = converged(6, report.nodes), [], []
            source = random.Random(crowd)
            for _ in range(10):
                key = content(network)
                target = position(key)
                honest = sorted(network.honest(), key=lambda node: node.table.at ^ target)[:200]
                nearest, made = honest[0].table.at ^ target, 0
                while made < crowd:
                    multihash = b"\x00\x24\x08\x01\x12\x20" + source.randbytes(32)
                    if position(multihash) ^ target < nearest:
                        sybil = network.make_node(sybil=True, multihash=multihash)
                        made += 1
                        for node in honest:
                            network.fill(node)
                            node.table.answered(sybil.info, network.now)
                one, other = network.random.sample(network.honest(), 2)
                for node in (one, other) if knows else ():
                    for _ in range(6):
                        network.run_lookup(node, DhtMessage(MessageType.FIND_NODE, content(network)))
                network.provide(one, key)
                find = network.find(other, key)
                found.append(one.peer in find.providers)
                stats.append(find.stats())
            how = "size known" if knows else "size not known"
            target_and = (">= 95 %", mean(found) >= 0.95) if knows and crowd <= 45 else ("", None)
            report.add(f"eclipse by {crowd} identities, {how}", summary(mean(found), stats), *target_and)


def sweep(report: Report) -> None:
    """One round over so many keys: look-ups and messages, without storing the records."""
    network = converged(7, report.nodes)
    node, bits = network.honest()[0], region_bits(report.nodes)
    lookups: list[tuple[float, float]] = []
    for count in (1_000, 10_000, 100_000, 1_000_000):
        by_region: dict[int, list[bytes]] = {}
        for _ in range(count):
            key = content(network)
            by_region.setdefault(Region.at(position(key), bits).prefix, []).append(key)
        messages, began, cpu = network.messages, network.now, time.process_time()
        total = streams = records = 0
        for prefix, keys in sorted(by_region.items()):
            exploration = Exploration(Region(prefix, bits), keys, network.random.randbytes)
            while (wanted := exploration.next_key()) is not None:
                lookup = network.run_lookup(node, DhtMessage(MessageType.FIND_NODE, wanted))
                exploration.on_closest(wanted, lookup.closest())
            for theirs in exploration.allot().values():
                streams += 1
                records += len(theirs)
            total += exploration.lookups
        lookups.append((count, total))
        first = lookups[0][1]
        report.add(
            f"sweep of {count:,} keys",
            {
                "look-ups": str(total),
                "messages of look-ups": str(network.messages - messages),
                "streams": str(streams),
                "records": f"{records:,}",
                "virtual s": f"{network.now - began:.0f}",
                "CPU s of the simulation": f"{time.process_time() - cpu:.0f}",
            },
            "look-ups flat" if count > 1000 else "",
            total <= 1.3 * first if count > 1000 else None,
        )
    naive = [(count, float(count)) for count, _ in lookups]
    report.plots.append(
        plot("look-ups of one provide round", "keys", {"sweep": lookups, "one per key": naive}, log=True)
    )


def plot(
    title: str, axis: str, lines: dict[str, list[tuple[float, float]]], *, low: float = 0.0, log: bool = False
) -> str:
    """An SVG with a logarithmic x axis where values span a decade."""
    width, height, left, bottom = 520, 260, 60, 36
    points = [point for line in lines.values() for point in line]
    xs, ys = [x for x, _ in points], [y for _, y in points]
    wide = min(xs) > 0 and max(xs) / min(xs) > 20
    scale_y: Callable[[float], float] = (lambda y: log2(max(y, 1.0))) if log else (lambda y: y)
    x_of: Callable[[float], float] = log2 if wide else (lambda x: x)
    x0, x1 = x_of(min(xs)), x_of(max(xs))
    y0, y1 = (0.0 if log else low), scale_y(max(ys)) * 1.05

    def place(x: float, y: float) -> tuple[float, float]:
        across = left + (x_of(x) - x0) / ((x1 - x0) or 1) * (width - left - 20)
        return across, height - bottom - (scale_y(y) - y0) / ((y1 - y0) or 1) * (height - bottom - 30)

    colours = ("#0b6e99", "#b8502a", "#3c7a3c")
    out = [f'<svg viewBox="0 0 {width} {height}" width="{width}" height="{height}" style="font:11px sans-serif">']
    out.append(f'<text x="{left}" y="16" font-size="13">{html.escape(title)}</text>')
    out.append(f'<line x1="{left}" y1="{height - bottom}" x2="{width - 20}" y2="{height - bottom}" stroke="#888"/>')
    for x in sorted(set(xs)):
        at, _ = place(x, ys[0])
        out.append(f'<text x="{at:.0f}" y="{height - bottom + 14}" text-anchor="middle">{x:,.0f}</text>')
    out.append(f'<text x="{width - 20}" y="{height - 6}" text-anchor="end">{html.escape(axis)}</text>')
    for (name, line), colour in zip(lines.items(), colours, strict=False):
        placed = [place(x, y) for x, y in line]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in placed)
        out.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        for (x, y), (_, value) in zip(placed, line, strict=True):
            out.append(f'<text x="{x + 3:.0f}" y="{y - 5:.0f}" fill="{colour}">{value:,.4g}</text>')
        out.append(
            f'<text x="{placed[-1][0]:.0f}" y="{placed[-1][1] + 14:.0f}" text-anchor="end" fill="{colour}">'
            f"{name}</text>"
        )
    return "".join([*out, "</svg>"])


def render(report: Report, seconds: float) -> str:
    rows = []
    for row in report.rows:
        mark = "" if row.met is None else "ok" if row.met else "missed"
        values = "; ".join(f"{key} <b>{html.escape(value)}</b>" for key, value in row.values.items())
        rows.append(
            f"<tr class='{mark}'><td>{html.escape(row.name)}<td>{values}<td>{html.escape(row.target)}<td>{mark}</tr>"
        )
    return f"""<!doctype html><meta charset="utf-8"><title>The DHT, simulated</title>
<style>body{{font:14px sans-serif;max-width:1100px;margin:2em auto}}td{{padding:.2em .6em;border-bottom:1px solid #ddd}}
.missed td{{background:#fde8e0}}svg{{margin:1em}}</style>
<h1>The DHT, simulated: {report.nodes:,} nodes</h1>
<p>Virtual time, links of 25 to 75 ms one way, {KEYS} keys per scenario, from fixed seeds; {seconds:.0f} s of real time.
Hops are the longest chain of peers that led to one of the nearest. Converged: tables as after a long run.</p>
<table><tr><th>scenario<th>result<th>target<th></tr>{"".join(rows)}</table>
{"".join(report.plots)}"""


def main() -> int:
    nodes = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    out = Path(sys.argv[2] if len(sys.argv) > 2 else "out/sim")
    report, began = Report(nodes), time.monotonic()
    for scenario in (sizes, first_fetch, churn, massacre, sybils, eclipse, sweep):
        scenario(report)
    out.mkdir(parents=True, exist_ok=True)
    (out / "report.html").write_text(render(report, time.monotonic() - began))
    missed = [row.name for row in report.rows if row.met is False]
    print(f"{out / 'report.html'}: {len(missed)} targets missed" + "".join(f"\n  {name}" for name in missed))
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
