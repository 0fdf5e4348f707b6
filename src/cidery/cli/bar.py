"""A live bar on standard error. Imports rich, so it is imported only for a terminal."""

import sys
from contextlib import AbstractContextManager, nullcontext
from time import monotonic

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, ProgressColumn, Task, TaskID, TextColumn
from rich.table import Column
from rich.text import Text

from cidery.cli.pace import Pace

_MIB = 1 << 20
SILENCE = 1.0
"""Seconds without progress after which the bar says so."""


class _Stage(ProgressColumn):
    """The current activity; redrawn by the bar's own clock, so that a stall shows without an event."""

    max_refresh = None

    def render(self, task: Task) -> Text:
        quiet = monotonic() - task.fields["since"]
        doing = task.fields["doing"]
        if quiet < SILENCE:
            return Text(doing or task.fields["stage"])
        what = doing or ("stalled" if task.completed else "waiting for the first block")
        return Text(f"{what}; nothing for {quiet:.0f} s")


class Bar:
    """Amount, MiB/s, remaining time and stage."""

    def __init__(self) -> None:
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            DownloadColumn(binary_units=True),
            TextColumn("{task.fields[rate]}"),
            _Stage(Column(no_wrap=True, overflow="ellipsis")),
            console=Console(file=sys.stderr),
            transient=True,
            # Results that go to the same terminal are printed above the bar; others must not be caught.
            redirect_stdout=sys.stdout.isatty(),
        )
        self._task: TaskID | None = None
        self._done = 0
        self._pace = Pace(monotonic())
        self._total: int | None = None

    def start(self, label: str, total: int | None) -> None:
        now = monotonic()
        self._pace, self._total = Pace(now), total
        self._task = self._bar.add_task(label, total=total, rate="", stage="", doing="", since=now)
        self._bar.start()

    def advance(self, amount: int, *, stage: str = "", total: int | None = None) -> None:
        if self._task is None:
            return
        now = monotonic()
        self._done += amount
        self._total = self._total if total is None else total
        self._pace.note(now, self._done)
        rate = " ".join([f"{self._pace.rate / _MIB:.1f} MiB/s", self._pace.left(self._total)]).rstrip()
        self._bar.update(self._task, advance=amount, total=total, rate=rate, stage=stage, since=now)

    def say(self, doing: str) -> None:
        """The current activity; from any thread."""
        if self._task is not None:
            self._bar.update(self._task, doing=doing)

    def count(self, text: str) -> None:
        """Nothing to do: the bar counts by itself."""

    def hidden(self, *, within_line: bool = False) -> AbstractContextManager[None]:
        """Nothing to do: rich prints terminal output above the bar."""
        return nullcontext()

    def close(self) -> None:
        self._bar.stop()
