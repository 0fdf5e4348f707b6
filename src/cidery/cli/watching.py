"""Polls the daemon about a running command and shows its activity on a line; prints the totals at the end."""

from __future__ import annotations

import secrets
import threading
from time import monotonic
from typing import TYPE_CHECKING, Any

from cidery.cli.output import printable
from cidery.client.address import Endpoint
from cidery.client.blocking import call as rpc
from cidery.commands.definition import Call
from cidery.errors import CideryError

if TYPE_CHECKING:
    from cidery.cli.output import Progress

FIRST = 0.15
"""Seconds until the first question: most commands have finished by then."""
INTERVAL = 0.5
"""Seconds between two questions: a change of stage shows within a second."""
_MIB = 1 << 20


class Watch:
    """Names the session of a call; between start() and stop() a thread polls its progress.

    Gives up if the daemon does not support the question.
    """

    def __init__(self, endpoint: Endpoint, bar: Progress, call: Call) -> None:
        name = call.text("session") if "session" in call.options else ""
        self._endpoint = endpoint
        self._bar = bar
        self._given = bool(name)  # by the user: it is in the query already
        self._name = name or secrets.token_hex(8)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._poll, name="cidery-watch", daemon=True)
        self._began = monotonic()

    @property
    def query(self) -> list[tuple[str, str]]:
        """To be added to the call's query."""
        return [("watch-as", self._name)] if not self._given else []

    def start(self) -> None:
        self._began = monotonic()
        self._thread.start()

    def stop(self) -> None:
        """Idempotent; waits for a question under way, which a daemon answers at once."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(INTERVAL)

    def _ask(self) -> dict[str, Any] | None:
        try:
            with rpc(self._endpoint, ["bitswap", "session"], [("arg", self._name)]) as answer:
                return next(iter(answer.values()), None)
        except (CideryError, OSError):
            return None  # not begun yet, or another server: the bar does without

    def _poll(self) -> None:
        pause = FIRST
        while not self._stopping.wait(pause):
            pause = INTERVAL
            if (report := self._ask()) is not None:
                self._bar.say(printable(describe(report)))

    def summary(self, size: int) -> str:
        """One line for the end of a run that wrote ``size`` bytes; "" if there is nothing to say."""
        report = self._ask()
        if report is None:
            return ""
        seconds = max(monotonic() - self._began, 1e-3)
        parts = [f"{one['Blocks']} from {one['Peer']}" for one in report["Sources"]]
        parts += [f"{report['LocalBlocks']} read here"] if report["LocalBlocks"] else []
        blocks = f"; blocks: {', '.join(parts)}" if parts else ""
        return f"{size / _MIB:.1f} MiB in {seconds:.1f} s, {size / _MIB / seconds:.1f} MiB/s{blocks}"


def describe(report: dict[str, Any]) -> str:
    """The stage in a few words: ``receiving from 12D3KooWabc and 2 more``."""
    stage, sources = str(report["Stage"]), report["Sources"]
    if stage == "done":
        return ""
    if stage == "local":
        return "reading what is here"
    if stage == "dialling":
        return "dialling peers that have it"
    if stage == "finding":
        return "finding peers that have it"
    if stage == "receiving" and sources:
        by_size = sorted(sources, key=lambda one: -int(one["Bytes"]))
        return f"receiving, from {_few([one['Peer'] for one in by_size])}"
    owing = report.get("Owing") or [one["Peer"] for one in sources]
    if stage == "stalled" and owing:
        return f"stalled, waiting for {_few(owing)}"
    return f"asking {_few(owing)}" if stage == "asking" and owing else stage


def _few(peers: list[str]) -> str:
    """The end of the first peer's id, and the number of others."""
    return f"...{peers[0][-8:]}" + (f" and {len(peers) - 1} more" if len(peers) > 1 else "")
