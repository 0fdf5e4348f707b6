"""What the laboratory runs, and what shall come of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median
from typing import Any

Result = dict[str, Any]
"""As in results.json: None is what is infinite, since it failed."""
Bar = tuple[str, Callable[[Result], bool]]

DUPLICATES = 0.03
PER_DEATH = 2.0
DEATHS = 4
SILENCE = 2.0
KUBO_ALONE = "6 Kubo readers"
SLOW = "near --near 40 --far 1 --rtt 0.02"


@dataclass
class Run:
    """One scenario. ``words``: the command line of lab.py, or of lab_real.py where there are real programs."""

    name: str
    words: str
    bars: list[Bar] = field(default_factory=list)
    real: bool = False
    kind: str = "simulated"
    quick: bool = False
    """Whether it is part of the short run."""


def _at_most(key: str, limit: Callable[[Result], float], text: str) -> Bar:
    return text, lambda result: result[key] is not None and result[key] <= limit(result)


def _crowd_bars(origin: float, *, simulated: bool = True) -> list[Bar]:
    bars = [
        _at_most("origin_sent", lambda _: origin, f"the origin sends at most {origin} x the file"),
        _at_most("last", lambda r: 1.5 * r["one_copy"], "the last reader has it within 1.5 x the time of one copy"),
        _at_most("readers_sent", lambda r: 1.3 * r["least_readers_sent"], "readers send at most 1.3 x what they must"),
    ]
    return [*bars, _duplicates()] if simulated else bars


def _duplicates() -> Bar:
    return _at_most("duplicates", lambda _: DUPLICATES, "at most 3 % duplicates")


def _silence(round_trip: float) -> Bar:
    limit = SILENCE + 4 * round_trip
    return _at_most("longest_silence", lambda _: limit, f"silent for at most {limit:.1f} s")


def _deaths(deaths: int) -> Bar:
    late = deaths * PER_DEATH
    return _at_most("seconds", lambda r: r["ideal"] + late, f"at most the ideal and {late:.0f} s")


def _tenth() -> Bar:
    return _at_most("seconds", lambda r: 1.1 * r["ideal"], "at most 1.1 x the ideal")


def _near_share() -> Bar:
    return "at least 90 % from the near one", lambda r: bool(r["shares"]) and r["shares"][0] >= 0.9


def _planet(words: str, round_trip: float, *, cold: bool) -> list[Bar]:
    text = "at most 1.1 x the limit" + (" and 4 round trips" if cold else "")
    late = 4 * round_trip if cold else 0.0
    return [
        _at_most("seconds", lambda r: 1.1 * r["limit"] + late, text),
        (
            "a second reader takes at most 2 % over the link",
            lambda r: r["second_reader"] is not None and r["second_reader_over_the_link"] <= 0.02,
        ),
    ]


def simulated() -> list[Run]:
    """In virtual time."""
    runs = [
        Run("20 readers", "crowd --readers 20 --mib 16", _crowd_bars(1.5), quick=True),
        Run("20 readers, 50 ms", "crowd --readers 20 --mib 16 --rtt 0.05", _crowd_bars(1.5)),
        Run("20 readers, 150 ms", "crowd --readers 20 --mib 16 --rtt 0.15", _crowd_bars(1.5)),
        Run("20 readers that know the origin", "crowd --readers 20 --mib 16 --mesh origin", _crowd_bars(1.5)),
        Run("10 readers", "crowd --readers 10 --mib 32 --origin 10 --reader 20", _crowd_bars(1.5)),
        Run("5 readers, 50 ms", "crowd --readers 5 --mib 32 --rtt 0.05", _crowd_bars(1.5), quick=True),
        Run("50 readers", "crowd --readers 50 --mib 16 --rtt 0.05", _crowd_bars(2.0)),
        Run(
            "20 readers, half of them freeloaders",
            "crowd --readers 20 --mib 16 --rtt 0.05 --freeloaders 10",
            [
                ("givers take less time", _givers_take_less),
                ("every giver has it before the first freeloader", _givers_first),
                ("the last giver 5 % before the last freeloader", lambda r: _at_most_share(r, 0.95)),
            ],
        ),
        Run(
            "10 readers among 4 liars",
            "crowd --readers 10 --mib 16 --rtt 0.05 --liars 4",
            [("everybody completes", lambda r: r["last"] is not None), ("at most 10 % wasted", _little_waste)],
        ),
        Run(
            "10 readers among 4 liars, one of them sly",
            "crowd --readers 10 --mib 16 --rtt 0.05 --liars 4 --lies sly wrong claims silent",
            [("everybody completes", lambda r: r["last"] is not None), ("at most 10 % wasted", _little_waste)],
        ),
        Run(
            "14 readers among 6 liars",
            "crowd --readers 14 --mib 16 --rtt 0.05 --liars 6",
            [("everybody completes", lambda r: r["last"] is not None), ("at most 10 % wasted", _little_waste)],
        ),
    ]
    for how in ("reset", "cable"):
        for round_trip in (0.0, 0.05, 0.2):
            words = f"holders --rtt {round_trip} --how {how}"
            name = f"holders die by {how}, {1000 * round_trip:.0f} ms"
            bars = [_deaths(DEATHS), _silence(round_trip), _duplicates()]
            runs.append(Run(name, words, bars, quick=round_trip == 0.05))
    runs += [
        Run("near and far", "near", [_tenth(), _duplicates()], quick=True),
        Run("near fills the line", "near --reader 20", [_near_share(), _tenth()]),
        Run("near dies", "near --dies 6", [_deaths(1), _silence(0.2)]),
        Run("a fast one and four slow ones", SLOW, [_tenth(), _duplicates()]),
        Run("near is unplugged", "near --dies 6 --how cable", [_deaths(1), _silence(0.2)]),
    ]
    for minutes in (6, 44):
        words, seconds = f"mars --rtt {60 * minutes}", 60.0 * minutes
        runs.append(Run(f"Mars, {minutes} min", words, _planet(words, seconds, cold=False), quick=minutes == 6))
        words += " --cold"
        runs.append(Run(f"Mars, {minutes} min, cold", words, _planet(words, seconds, cold=True), quick=minutes == 6))
    runs += [
        Run(
            "four regions of 50 cut off",
            "regions --nodes 200",
            [
                ("all of a region's own stays there", lambda r: _all(r["own_at_once"]) and _all(r["own_later"])),
                ("the rest is found within 5 s", lambda r: _all(r["after"]) and r["after"]["slowest"] <= 5.0),
            ],
        ),
        Run("1,000 strangers flood", "flood", [("99 % of own requests", lambda r: r["own_served"] >= 0.99)]),
        Run(
            "1,000 strangers flood a node that takes them all",
            "flood --connections 1002",
            [
                ("99 % of own requests", lambda r: r["own_served"] >= 0.99),
                ("1,000 connections", lambda r: r["connections"] >= 1000),
                ("ten times the line is asked for", lambda r: r["asked"] >= 9.5),
                ("at most 1 MiB of memory for both ends of each", lambda r: r["memory"] <= r["connections"]),
                ("at most 96 MiB held unread, as the budget says", lambda r: r["held"] <= 1.05 * 96 * 2**20),
            ],
        ),
        Run(
            "1,000 sources, 1,000,000 wants",
            "scale",
            [
                ("time per block flat over the wants", lambda r: r["last"] <= 1.5 * r["first"]),
                ("at most 3 x that of 10 sources", lambda r: r["last"] <= 3.0 * r["few"]),
            ],
        ),
    ]
    return runs


def _givers_take_less(result: Result) -> bool:
    times = result["times"] + result["freeloaders"]
    return None not in times and median(result["times"]) < median(result["freeloaders"])


def _givers_first(result: Result) -> bool:
    first = result["first_freeloader"]
    return result["last_giver"] is not None and (first is None or result["last_giver"] <= first)


def _at_most_share(result: Result, share: float) -> bool:
    return None not in (result["last_giver"], result["last"]) and result["last_giver"] <= share * result["last"]


def _little_waste(result: Result) -> bool:
    return bool(result["overhead"] <= 0.1)


def _all(fetched: Result) -> bool:
    return bool(fetched["share"] == 1.0)


def compared(rows: list[Result]) -> None:
    """Judge what takes two rows of results.json, and note it with the first: crowds of real programs."""
    done = {(row["kind"], row["name"]): row["result"] for row in rows if row["where"] == "namespaces" and row["result"]}
    for row in rows:
        ours, kind = row["result"], row["kind"]
        theirs = done.get(("libtorrent", row["name"]))
        if ours and kind == "cidery" and theirs and "last" in ours and row["where"] == "namespaces":
            met = ours["last"] is not None and (theirs["last"] is None or ours["last"] <= theirs["last"])
            row["bars"].append({"text": "not slower than libtorrent", "met": met})
        alone = done.get(("kubo", KUBO_ALONE))
        if ours and kind == "mixed" and alone:
            times = [time for time, one in zip(ours["times"], ours["kinds"], strict=True) if one == "kubo"]
            met = None not in times and (None in alone["times"] or max(times) <= max(alone["times"]))
            row["bars"].append({"text": "Kubo's readers not later than among themselves", "met": met})


def real() -> list[Run]:
    """With real programs."""
    runs = []
    for kind in ("cidery", "kubo", "libtorrent"):
        ours = kind == "cidery"

        def add(name: str, words: str, bars: list[Bar], quick: bool = False, kind: str = kind) -> None:
            scenario, _, rest = words.partition(" ")
            line = f"{scenario} --kind {kind} {rest}".strip()
            runs.append(Run(name, line, bars, real=True, kind=kind, quick=quick))

        bars = _crowd_bars(1.5, simulated=False) if ours else []
        add("20 readers", "crowd --readers 20 --mib 16 --rtt 0", bars)
        add("10 readers", "crowd --readers 10 --mib 32 --origin 10 --reader 20 --rtt 0", bars)
        add("5 readers, 50 ms", "crowd --readers 5 --mib 32 --rtt 0.05", bars)
        add("4 readers, 8 MiB, 50 ms", "crowd --readers 4 --mib 8 --rtt 0.05 --stagger 2", bars, quick=True)
        for round_trip, how in ((0.0, "reset"), (0.05, "reset"), (0.05, "cable"), (0.2, "reset")):
            bars = [_deaths(DEATHS), _silence(round_trip)] if ours else []
            add(f"holders die by {how}, {1000 * round_trip:.0f} ms", f"holders --rtt {round_trip} --how {how}", bars)
        add("near and far", "near", [_tenth()] if ours else [], quick=ours)
        add("near fills the line", "near --reader 20", [_near_share(), _tenth()] if ours else [])
        add("a fast one and four slow ones", SLOW, [_tenth()] if ours else [])
        add("near dies", "near --dies 6", [_deaths(1), _silence(0.2)] if ours else [])
        if kind == "libtorrent":
            continue
        after = ("the rest is found within 5 s", lambda r: None not in r["after"] and max(r["after"]) <= 5.0)
        add("two sides cut off", "cut", [after] if ours else [])
        if ours:
            own = ("all of a side's own stays there", lambda r: None not in r["own"])
            add("four sides cut off", "cut --sides 4", [own, after])
            add("strangers flood", "flood", [("99 % of own requests", lambda r: r["own_served"] >= 0.99)])
        add("Mars, 10 s, cold", "mars --rtt 10", _planet("", 10.0, cold=True) if ours else [])
    among = "crowd --kind cidery --readers 6 --with kubo kubo --mib 16 --rtt 0.05"
    runs.append(Run("4 Cidery and 2 Kubo readers", among, real=True, kind="mixed"))
    same = "crowd --kind kubo --readers 6 --mib 16 --rtt 0.05"
    runs.append(Run(KUBO_ALONE, same, real=True, kind="kubo"))
    runs.append(Run("2 Helia readers", "crowd --kind helia --readers 2 --mib 4", real=True, kind="helia", quick=True))
    return runs
