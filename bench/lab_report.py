"""All scenarios of the laboratory: out/lab/results.json and out/lab/report.html. ``make lab``.

    python bench/lab_report.py [--quick] [--only simulated|real] [--out out/lab] [--seed 0]

The whole takes an hour or two, since real programs take real time; --quick takes some minutes. The simulator needs
nothing but Cidery; the plots need matplotlib, the yardstick libtorrent: pip install '.[lab]'. What is missing is left
out, and the report says so.
"""

from __future__ import annotations

import argparse
import html
import io
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from lab_plan import Run, compared, real, simulated
from lab_real import LEFT_OUT

BENCH = Path(__file__).resolve().parent
LONGEST = 1800.0
"""Seconds after which a scenario is ended and counts as failed."""


def machine() -> str:
    return f"{platform.system()} {platform.machine()}, {os.cpu_count()} processors, Python {platform.python_version()}"


def execute(run: Run, seed: int) -> dict[str, Any]:
    """Run one scenario in a process of its own; its row of results.json."""
    script = "lab_real.py" if run.real else "lab.py"
    row: dict[str, Any] = {
        "name": run.name,
        "where": "namespaces" if run.real else "simulator",
        "kind": run.kind,
        "seed": seed,
        "command": f"python bench/{script} --seed {seed} {run.words}",
        "result": None,
        "left_out": "",
        "failure": "",
    }
    with tempfile.TemporaryDirectory() as folder:
        to = Path(folder) / "result.json"
        command = [sys.executable, str(BENCH / script), "--seed", str(seed), "--json", str(to), *run.words.split()]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=LONGEST, check=False)
        except subprocess.TimeoutExpired:
            row["failure"] = f"not within {LONGEST:.0f} s"
        else:
            if done.returncode == LEFT_OUT:
                row["left_out"] = done.stdout.strip().removeprefix("left out: ")
            elif done.returncode:
                row["failure"] = done.stderr.strip()[-500:]
            else:
                row |= json.loads(to.read_text())
    result = row["result"]
    row["bars"] = [{"text": text, "met": None if result is None else bool(met(result))} for text, met in run.bars]
    return row


def state_of(row: dict[str, Any]) -> str:
    """One line for who watches."""
    if row["left_out"]:
        return f"left out: {row['left_out']}"
    if row["failure"]:
        return f"failed: {row['failure'][-200:]}"
    missed = [bar["text"] for bar in row["bars"] if not bar["met"]]
    return "missed: " + "; ".join(missed) if missed else "ok" if row["bars"] else "done"


def figure_of(rows: list[dict[str, Any]]) -> list[str]:
    """The plots, as SVG; without matplotlib why there are none."""
    try:
        import matplotlib
    except ModuleNotFoundError:
        return ["<p>No plots: matplotlib is missing (pip install '.[lab]').</p>"]

    matplotlib.use("svg")
    from matplotlib import pyplot

    crowds = [row for row in rows if row["result"] is not None and "origin_sent" in row["result"]]
    fetches = [row for row in rows if row["result"] is not None and "ideal" in row["result"]]
    out = []

    def finish(figure: Any) -> None:
        text = io.StringIO()
        figure.savefig(text, format="svg", bbox_inches="tight")
        pyplot.close(figure)
        out.append(text.getvalue()[text.getvalue().index("<svg") :])

    def label(row: dict[str, Any]) -> str:
        return f"{row['name']} ({row['kind']})"

    if crowds:
        figure, (left, right) = pyplot.subplots(1, 2, figsize=(12, 0.35 * len(crowds) + 1.5), sharey=True)
        names = [label(row) for row in crowds]
        left.barh(names, [row["result"]["origin_sent"] for row in crowds], color="#0b6e99")
        left.axvline(1.0, color="#444", linewidth=1)
        left.set_xlabel("sent by the origin, x the file")
        last = [(row["result"]["last"] or 0.0) / row["result"]["one_copy"] for row in crowds]
        right.barh(names, last, color="#b8502a")
        right.axvline(1.0, color="#444", linewidth=1)
        right.set_xlabel("last reader, x the time of one copy (none: it never had it)")
        left.invert_yaxis()
        finish(figure)
        figure, axes = pyplot.subplots(figsize=(12, 5))
        for row in crowds:
            times = sorted(one for one in row["result"]["times"] if one is not None)
            axes.step([one / row["result"]["one_copy"] for one in times], range(1, len(times) + 1), label=label(row))
        axes.set_xlabel("time of a reader, x that of one copy")
        axes.set_ylabel("readers that have it")
        axes.legend(fontsize=7, ncols=2)
        finish(figure)
    if fetches:
        figure, axes = pyplot.subplots(figsize=(12, 0.35 * len(fetches) + 1.5))
        names = [label(row) for row in fetches]
        axes.barh(names, [row["result"]["seconds"] or 0.0 for row in fetches], color="#0b6e99")
        axes.scatter([row["result"]["ideal"] for row in fetches], names, color="#444", marker="|", s=200, zorder=3)
        axes.set_xlabel("seconds of a fetch from several sources; the mark is the ideal (no bar: it failed)")
        axes.invert_yaxis()
        finish(figure)
    return out


def told(value: Any) -> str:
    match value:
        case None:
            return "never"
        case float():
            return f"{value:,.3g}" if abs(value) < 100 else f"{value:,.0f}"
        case list():
            return " ".join(map(told, value)) or "none"
        case dict():
            return ", ".join(f"{key} {told(part)}" for key, part in value.items())
        case _:
            return str(value) or "none"


def render(rows: list[dict[str, Any]], plots: list[str], about: str) -> str:
    """The whole page, without anything from elsewhere."""
    lines = []
    for row in rows:
        result = row["result"]
        values = (
            ""
            if result is None
            else "; ".join(
                f"{html.escape(key.replace('_', ' '))} <b>{html.escape(told(value))}</b>"
                for key, value in result.items()
            )
        )
        values = values or html.escape(
            f"left out: {row['left_out']}" if row["left_out"] else f"failed: {row['failure']}"
        )
        bars = "<br>".join(
            f"<span class='{'ok' if bar['met'] else 'missed'}'>{html.escape(bar['text'])}</span>"
            for bar in row["bars"]
            if bar["met"] is not None
        )
        took = f"{row['real_seconds']:.0f} s" if "real_seconds" in row else ""
        lines.append(
            f"<tr><td>{html.escape(row['name'])}<br><small>{row['where']}, {row['kind']}</small><td>{values}<td>{bars}"
            f"<td><code>{html.escape(row['command'])}</code><br><small>seed {row['seed']}, {took}</small></tr>"
        )
    met = [bar["met"] for row in rows for bar in row["bars"] if bar["met"] is not None]
    return f"""<!doctype html><meta charset="utf-8"><title>The laboratory</title>
<style>body{{font:14px sans-serif;max-width:1300px;margin:2em auto}}td{{padding:.4em .6em;border-bottom:1px solid #ddd;
vertical-align:top}}.ok{{color:#26702c}}.ok::before{{content:"✓ "}}
.missed{{color:#a8321a}}.missed::before{{content:"✗ "}}code{{font-size:11px}}svg{{max-width:100%;height:auto}}</style>
<h1>The laboratory</h1>
<p>{html.escape(about)} {sum(met)} of {len(met)} bars met.</p>
<p>Simulated runs follow from their seed to the byte, and say nothing of the processor. Real programs run in network
namespaces of one machine, whose lines are a forwarding process: their times contain that machine. Times are seconds,
multiples are of the file's size. To repeat one: its command, from the checkout, with PYTHONPATH=src.</p>
{"".join(plots)}
<table><tr><th>scenario<th>result<th>bars<th>to repeat</tr>{"".join(lines)}</table>
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a few of each")
    parser.add_argument("--only", choices=("simulated", "real"))
    parser.add_argument("--out", type=Path, default=Path("out/lab"))
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    plan = [*(simulated() if options.only != "real" else []), *(real() if options.only != "simulated" else [])]
    options.out.mkdir(parents=True, exist_ok=True)
    rows, began = [], time.perf_counter()
    for run in plan:
        if options.quick and not run.quick:
            continue
        row = execute(run, options.seed)
        rows.append(row)
        print(f"{row['where']:10} {row['kind']:10} {row['name']:40} {state_of(row)}", flush=True)
        (options.out / "results.json").write_text(json.dumps({"machine": machine(), "rows": rows}, indent=1))
    compared(rows)
    (options.out / "results.json").write_text(json.dumps({"machine": machine(), "rows": rows}, indent=1))
    about = f"{time.strftime('%Y-%m-%d')}, {machine()}; {(time.perf_counter() - began) / 60:.0f} minutes."
    (options.out / "report.html").write_text(render(rows, figure_of(rows), about))
    missed = sum(bar["met"] is False for row in rows for bar in row["bars"]) + sum(bool(row["failure"]) for row in rows)
    print(f"{options.out / 'report.html'}: {missed} bars missed")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
