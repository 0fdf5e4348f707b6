"""The laboratory's plan: every command is one that its script takes, and every bar judges what the scenario gives."""

import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).resolve().parents[2] / "bench"


@pytest.fixture
def plan(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(BENCH))
    import lab_plan

    return lab_plan


def test_every_scenario_has_a_name_of_its_own_and_is_repeated_by_its_command(plan, monkeypatch: pytest.MonkeyPatch):
    import lab
    import lab_real

    names = [(run.real, run.kind, run.name) for run in (*plan.simulated(), *plan.real())]
    assert len(set(names)) == len(names)
    for run in plan.simulated():
        assert lab.parser().parse_args(run.words.split()).run
    for run in plan.real():
        assert lab_real.parser().parse_args(run.words.split()).kind == (run.kind if run.kind != "mixed" else "cidery")


def test_bars_judge_what_scenarios_give(plan):
    from cidery.testing.lab import crowd, flood, mars, regions, scale, sources
    from slow_internet import scenarios

    given = {
        "crowd": (crowd.Crowd, scenarios.RealCrowd),
        "holders": (sources.FromSources, scenarios.RealFetch),
        "near": (sources.FromSources, scenarios.RealFetch),
        "mars": (mars.FromEarth, scenarios.RealMars),
        "regions": (regions.Cut, None),
        "cut": (None, scenarios.RealCut),
        "flood": (flood.Flooded, scenarios.RealFlood),
        "scale": (scale.Scale, None),
    }
    for run in (*plan.simulated(), *plan.real()):
        result = made(given[run.words.split()[0]][run.real])
        assert all(isinstance(met(result), bool) for _, met in run.bars)


def test_a_crowd_of_ours_is_compared_with_libtorrent_and_kubo_among_us_with_kubo_alone(plan):
    def row(kind: str, name: str, **result: object) -> dict:
        return {"where": "namespaces", "kind": kind, "name": name, "result": result, "bars": []}

    ours, mixed = row("cidery", "x", last=2.0), row("mixed", "y", times=[9.0, 3.0], kinds=["cidery", "kubo"])
    rows = [ours, row("libtorrent", "x", last=1.0), mixed, row("kubo", plan.KUBO_ALONE, times=[4.0])]
    plan.compared(rows)
    assert [bar["met"] for bar in ours["bars"]] == [False] and [bar["met"] for bar in mixed["bars"]] == [True]


def made(kind: type) -> dict:
    """A result of this kind, every number of which is 1."""
    values = {}
    for field in dataclasses.fields(kind):
        text = str(field.type)
        if "Fetched" in text:
            values[field.name] = {"share": 1.0, "slowest": 1.0}
        else:
            values[field.name] = [1.0] if "list" in text else 1.0
    return values


def test_what_this_machine_cannot_run_is_left_out_with_a_reason(tmp_path: Path):
    words = [sys.executable, str(BENCH / "lab_real.py"), "crowd", "--kind", "cidery"]
    environment = {"PATH": str(tmp_path), "PYTHONPATH": str(BENCH.parent / "src")}
    done = subprocess.run(words, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 3 and done.stdout.startswith("left out: network namespaces cannot be made here")
