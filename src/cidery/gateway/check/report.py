"""Outcomes as values of the command: requests as curl lines, counts by part. Pure."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterable

from cidery.commands.definitions.gateway import GatewayCheck, PartCount
from cidery.gateway.check.model import LEAVES, Answer, Ask, Check
from cidery.gateway.check.run import Outcome
from cidery.gateway.check.wire import Place

SHOWN_HEADERS = ("Location", "Content-Type", "Etag", "Cache-Control", "Content-Range")
"""Headers of a wrong answer that are shown, next to those that are named in its differences."""


def finding(place: Place, outcome: Outcome) -> GatewayCheck:
    """One outcome."""
    check = outcome.check
    return {
        "Type": "Check",
        "Part": "+".join(check.leaves),
        "Name": check.name,
        "Ours": check.ours,
        "Passed": not outcome.differences,
        "Request": curl(place, outcome.asked),
        "Got": shown(outcome.answer),
        "Differences": list(outcome.differences),
        "Parts": [],
    }


def absent(path: str, count: int) -> GatewayCheck:
    """An archive that is not on the gateway, and the checks that are not made for it."""
    return {**_EMPTY, "Type": "Missing", "Name": path, "Differences": [f"{count} checks are skipped"]}


_EMPTY: GatewayCheck = {
    "Type": "",
    "Part": "",
    "Name": "",
    "Ours": False,
    "Passed": False,
    "Request": "",
    "Got": "",
    "Differences": [],
    "Parts": [],
}


def summary(outcomes: Iterable[tuple[Check, bool]], skipped: Iterable[Check], *, complete: bool = True) -> GatewayCheck:
    """The last value: counts by part, in the order of the parts.

    ``outcomes``: with whether each passed. ``complete``: whether nothing was skipped for want of its content.
    """
    counts = Counter((check.leaves[0], check.ours, passed) for check, passed in outcomes)
    left_out = Counter(check.leaves[0] for check in skipped)
    parts: list[PartCount] = [
        {
            "Part": leaf,
            "Passed": counts[leaf, False, True],
            "Failed": counts[leaf, False, False],
            "OursPassed": counts[leaf, True, True],
            "OursFailed": counts[leaf, True, False],
            "Skipped": left_out[leaf],
        }
        for leaf in LEAVES
    ]
    wrong = sum(part["Failed"] + part["OursFailed"] for part in parts)
    return {**_EMPTY, "Type": "Summary", "Passed": complete and not wrong, "Parts": parts}


def curl(place: Place, asked: Ask) -> str:
    """The request as a command line."""
    words = ["curl", "-sS", "-i", "--path-as-is"]
    if asked.method == "HEAD":
        words.append("-I")
    elif asked.method != "GET":
        words += ["-X", asked.method]
    for name, value in asked.headers:
        words += ["-H", f"{name}: {value}"]
    absolute = "://" in asked.target
    if asked.tunnel or absolute:
        words += ["-x", place.url, *(["-p"] if asked.tunnel else [])]
        url = asked.target if absolute else f"http://{asked.host}{asked.target}"
    else:
        words += ["-H", f"Host: {asked.host}"] if asked.host else []
        url = place.url + asked.target
    return shlex.join([*words, url])


def shown(answer: Answer | None) -> str:
    """An answer in one line: its status, and the headers that matter most."""
    if answer is None:
        return "no answer"
    headers = [f"{name}: {value}" for name in SHOWN_HEADERS if (value := answer.header(name)) is not None]
    return "; ".join([f"{answer.status} with {len(answer.body)} bytes", *headers])
