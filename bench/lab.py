"""The laboratory's scenarios in virtual time, one at a time: python bench/lab.py crowd --readers 20 --origin 5"""

from __future__ import annotations

import argparse
import json
import math
import time
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args

from cidery.budgets import CONNECTIONS
from cidery.testing.lab.content import MBIT, MIB
from cidery.testing.lab.crowd import flash_crowd
from cidery.testing.lab.flood import flood
from cidery.testing.lab.hostile import LIES, Lie
from cidery.testing.lab.mars import mars
from cidery.testing.lab.regions import region_cut
from cidery.testing.lab.scale import session_scale
from cidery.testing.lab.sources import holders_die, near_and_far


def plain(result: Any) -> dict[str, Any]:
    """A result as JSON takes it: what is infinite, because it failed, is None."""
    return {field.name: _finite(getattr(result, field.name)) for field in fields(result)}


def _finite(value: Any) -> Any:
    if isinstance(value, list | tuple):
        if isinstance(value, tuple) and hasattr(value, "_asdict"):
            return {name: _finite(part) for name, part in value._asdict().items()}
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def show(result: Any, seconds: float, to: str) -> None:
    """Print it, or write it as JSON to a file."""
    if to:
        Path(to).write_text(json.dumps({"result": plain(result), "real_seconds": seconds}))
        return
    for field in fields(result):
        value = getattr(result, field.name)
        if isinstance(value, list):
            text = " ".join(f"{one:.1f}" if isinstance(one, float) else str(one) for one in value)
        else:
            text = f"{value:.3f}" if isinstance(value, float) else str(value)
        print(f"{field.name:20} {text}")
    print(f"{'real seconds':20} {seconds:.1f}")


def crowd(options: argparse.Namespace) -> Any:
    return flash_crowd(
        options.readers,
        int(options.mib * MIB),
        options.origin * MBIT,
        options.reader * MBIT,
        options.rtt,
        stagger=options.stagger,
        mesh=options.mesh,
        freeloaders=options.freeloaders,
        liars=options.liars,
        lies=options.lies,
        seed=options.seed,
    )


def holders(options: argparse.Namespace) -> Any:
    return holders_die(
        int(options.mib * MIB),
        options.rate * MBIT,
        options.rtt,
        every=options.every,
        how=options.how,
        reader_rate=options.reader * MBIT,
        seed=options.seed,
    )


def near(options: argparse.Namespace) -> Any:
    return near_and_far(
        int(options.mib * MIB),
        options.near * MBIT,
        options.far * MBIT,
        options.rtt,
        reader_rate=options.reader * MBIT,
        near_dies=options.dies,
        how=options.how,
        seed=options.seed,
    )


def planet(options: argparse.Namespace) -> Any:
    return mars(options.rtt, int(options.mib * MIB), options.rate * MBIT, cold=options.cold, seed=options.seed)


def regions(options: argparse.Namespace) -> Any:
    return region_cut(
        options.nodes, seconds=options.seconds, size=int(options.mib * MIB), files=options.files, seed=options.seed
    )


def raid(options: argparse.Namespace) -> Any:
    return flood(
        options.strangers,
        options.times,
        rate=options.rate * MBIT,
        connections=options.connections,
        seed=options.seed,
    )


def scale(options: argparse.Namespace) -> Any:
    return session_scale(options.sources, options.wants, options.seed)


def more_than_nothing(text: str) -> float:
    """A number above zero, whole if it is written so."""
    value = float(text)
    if value <= 0:
        raise argparse.ArgumentTypeError(f"takes a number above 0, not {text}")
    return int(value) if value.is_integer() else value


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__)
    made.add_argument("--seed", type=int, default=0)
    made.add_argument("--json", default="", metavar="FILE", help="write what came of it there")
    kinds = made.add_subparsers(required=True)
    one = kinds.add_parser("crowd", help="one origin, many readers at the same time")
    one.add_argument("--readers", type=more_than_nothing, default=20)
    one.add_argument("--mib", type=more_than_nothing, default=16)
    one.add_argument("--origin", type=more_than_nothing, default=5, help="Mbit/s")
    one.add_argument("--reader", type=more_than_nothing, default=10, help="Mbit/s")
    one.add_argument("--rtt", type=float, default=0.0, help="seconds")
    one.add_argument("--stagger", type=float, default=10.0, help="seconds in which all begin")
    one.add_argument("--mesh", choices=("all", "dht", "origin"), default="all")
    one.add_argument("--freeloaders", type=int, default=0, help="readers that give nothing")
    one.add_argument("--liars", type=int, default=0, help="nodes that lie, besides the readers")
    one.add_argument("--lies", nargs="+", choices=get_args(Lie), default=LIES, help="their ways, in turn")
    one.set_defaults(run=crowd)
    one = kinds.add_parser("holders", help="five holders that die one after another")
    one.add_argument("--mib", type=more_than_nothing, default=48)
    one.add_argument("--rate", type=more_than_nothing, default=5, help="Mbit/s of each")
    one.add_argument("--reader", type=float, default=0, help="Mbit/s; 0: no limit")
    one.add_argument("--rtt", type=float, default=0.0, help="seconds")
    one.add_argument("--every", type=float, default=5.0, help="seconds between deaths")
    one.add_argument("--how", choices=("cable", "reset"), default="reset")
    one.set_defaults(run=holders)
    one = kinds.add_parser("near", help="one near source and four far ones")
    one.add_argument("--mib", type=more_than_nothing, default=48)
    one.add_argument("--near", type=more_than_nothing, default=20, help="Mbit/s")
    one.add_argument("--far", type=more_than_nothing, default=5, help="Mbit/s of each")
    one.add_argument("--reader", type=float, default=30, help="Mbit/s; 0: no limit")
    one.add_argument("--rtt", type=float, default=0.2, help="seconds to the far ones")
    one.add_argument("--dies", type=float, help="seconds after which the near one dies")
    one.add_argument("--how", choices=("cable", "reset"), default="reset")
    one.set_defaults(run=near)
    one = kinds.add_parser("mars", help="a reader on another planet")
    one.add_argument("--mib", type=more_than_nothing, default=10)
    one.add_argument("--rate", type=more_than_nothing, default=1, help="Mbit/s")
    one.add_argument("--rtt", type=float, default=360.0, help="seconds")
    one.add_argument("--cold", action="store_true", help="it dials first")
    one.set_defaults(run=planet)
    one = kinds.add_parser("regions", help="four regions cut off from each other")
    one.add_argument("--nodes", type=more_than_nothing, default=200)
    one.add_argument("--mib", type=more_than_nothing, default=1)
    one.add_argument("--files", type=more_than_nothing, default=4, help="per region and question")
    one.add_argument("--seconds", type=float, default=40.0, help="until the lines are mended")
    one.set_defaults(run=regions)
    one = kinds.add_parser("flood", help="strangers that ask for more than the line carries")
    one.add_argument("--strangers", type=more_than_nothing, default=1000)
    one.add_argument("--times", type=float, default=10.0, help="what the line carries")
    one.add_argument("--rate", type=more_than_nothing, default=20, help="Mbit/s of the node's line")
    one.add_argument("--connections", type=more_than_nothing, default=CONNECTIONS.amount, help="that the node takes")
    one.set_defaults(run=raid)
    one = kinds.add_parser("scale", help="time of the fetch session per block")
    one.add_argument("--sources", type=more_than_nothing, default=1000)
    one.add_argument("--wants", type=more_than_nothing, default=1_000_000)
    one.set_defaults(run=scale)
    return made


def main() -> None:
    options = parser().parse_args()
    began, result = time.perf_counter(), options.run(options)
    show(result, time.perf_counter() - began, options.json)


if __name__ == "__main__":
    main()
