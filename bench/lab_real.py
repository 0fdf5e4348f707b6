"""The laboratory's scenarios with real programs in network namespaces: python bench/lab_real.py crowd --kind kubo"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from cidery.testing.lab.content import MBIT, MIB
from lab import show
from others import start_kubo  # noqa: F401 - that module makes the test peers importable

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from slow_internet import scenarios  # noqa: E402
from slow_internet.programs import KINDS, missing, no_namespaces  # noqa: E402

LEFT_OUT = 3
"""Exit code when this machine cannot run it."""


def crowd(options: argparse.Namespace, folder: Path) -> scenarios.RealCrowd:
    kinds = list(options.with_)
    return scenarios.crowd(
        folder,
        [options.kind] * (options.readers - len(kinds)) + kinds,
        int(options.mib * MIB),
        options.origin * MBIT,
        options.reader * MBIT,
        options.rtt,
        stagger=options.stagger,
        seed=options.seed,
    )


def holders(options: argparse.Namespace, folder: Path) -> scenarios.RealFetch:
    return scenarios.from_sources(
        folder,
        options.kind,
        int(options.mib * MIB),
        [options.rate * MBIT] * 5,
        [options.rtt] * 5,
        deaths=[options.every * (at + 1) for at in range(4)],
        how=options.how,
        seed=options.seed,
    )


def near(options: argparse.Namespace, folder: Path) -> scenarios.RealFetch:
    return scenarios.from_sources(
        folder,
        options.kind,
        int(options.mib * MIB),
        [options.near * MBIT] + [options.far * MBIT] * 4,
        [0.002] + [options.rtt] * 4,
        reader_rate=options.reader * MBIT,
        deaths=[] if options.dies is None else [options.dies],
        how=options.how,
        seed=options.seed,
    )


def mars(options: argparse.Namespace, folder: Path) -> scenarios.RealMars:
    return scenarios.mars(
        folder, options.kind, options.rtt, int(options.mib * MIB), options.rate * MBIT, seed=options.seed
    )


def cut(options: argparse.Namespace, folder: Path) -> scenarios.RealCut:
    return scenarios.cut(folder, options.kind, seconds=options.seconds, sides=options.sides)


def flood(options: argparse.Namespace, folder: Path) -> scenarios.RealFlood:
    return scenarios.flood(folder, options.kind, options.rate * MBIT, times=options.times)


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__)
    made.add_argument("--seed", type=int, default=0)
    made.add_argument("--json", default="", metavar="FILE", help="write what came of it there")
    kinds = made.add_subparsers(required=True)

    def scenario(name: str, run: Any, text: str, kind: tuple[str, ...] = tuple(KINDS)) -> argparse.ArgumentParser:
        one = kinds.add_parser(name, help=text)
        one.add_argument("--kind", choices=kind, default="cidery")
        one.set_defaults(run=run)
        return one

    one = scenario("crowd", crowd, "one origin, many readers at the same time")
    one.add_argument("--readers", type=int, default=5)
    one.add_argument("--with", dest="with_", nargs="*", choices=tuple(KINDS), default=[], help="among these readers")
    one.add_argument("--mib", type=float, default=32)
    one.add_argument("--origin", type=float, default=5, help="Mbit/s")
    one.add_argument("--reader", type=float, default=10, help="Mbit/s")
    one.add_argument("--rtt", type=float, default=0.05, help="seconds")
    one.add_argument("--stagger", type=float, default=10.0, help="seconds in which all begin")
    one = scenario("holders", holders, "five holders that die one after another")
    one.add_argument("--mib", type=float, default=48)
    one.add_argument("--rate", type=float, default=5, help="Mbit/s of each")
    one.add_argument("--rtt", type=float, default=0.0, help="seconds")
    one.add_argument("--every", type=float, default=5.0, help="seconds between deaths")
    one.add_argument("--how", choices=("cable", "reset"), default="reset")
    one = scenario("near", near, "one near source and four far ones")
    one.add_argument("--mib", type=float, default=48)
    one.add_argument("--near", type=float, default=20, help="Mbit/s")
    one.add_argument("--far", type=float, default=5, help="Mbit/s of each")
    one.add_argument("--reader", type=float, default=30, help="Mbit/s; 0: no limit")
    one.add_argument("--rtt", type=float, default=0.2, help="seconds to the far ones")
    one.add_argument("--dies", type=float, help="seconds after which the near one dies")
    one.add_argument("--how", choices=("cable", "reset"), default="reset")
    one = scenario("mars", mars, "a reader on another planet")
    one.add_argument("--mib", type=float, default=4)
    one.add_argument("--rate", type=float, default=1, help="Mbit/s")
    one.add_argument("--rtt", type=float, default=10.0, help="seconds")
    one = scenario("cut", cut, "sides that are cut off from each other", ("cidery", "kubo"))
    one.add_argument("--sides", type=int, default=2, help="of three nodes each")
    one.add_argument("--seconds", type=float, default=40.0, help="until the line is mended")
    one = scenario("flood", flood, "strangers that ask for more than the line carries", ("cidery", "kubo"))
    one.add_argument("--rate", type=float, default=5, help="Mbit/s of the node's line")
    one.add_argument("--times", type=float, default=10.0, help="what the line carries")
    return made


def main() -> None:
    options = parser().parse_args()
    used = {options.kind, *getattr(options, "with_", ())}
    if reason := no_namespaces() or "; ".join(filter(None, map(missing, sorted(used)))):
        print(f"left out: {reason}")
        sys.exit(LEFT_OUT)
    began = time.perf_counter()
    with tempfile.TemporaryDirectory(dir=os.environ.get("CIDERY_BENCH_DIR"), ignore_cleanup_errors=True) as folder:
        result = options.run(options, Path(folder))
    show(result, time.perf_counter() - began, options.json)


if __name__ == "__main__":
    main()
