"""A live bar on standard error. Imports rich, so it is imported only for a terminal."""

import sys
from time import monotonic

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

_MIB = 1 << 20


class Bar:
    """Amount, MiB/s and stage."""

    def __init__(self) -> None:
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(binary_units=True),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[stage]}"),
            console=Console(file=sys.stderr),
            transient=True,
        )
        self._task: TaskID | None = None
        self._done = 0
        self._began = monotonic()

    def start(self, label: str, total: int | None) -> None:
        self._began = monotonic()
        self._task = self._bar.add_task(label, total=total, rate="", stage="waiting for the first block")
        self._bar.start()

    def advance(self, amount: int, *, stage: str = "") -> None:
        if self._task is None:
            return
        self._done += amount
        rate = self._done / _MIB / max(monotonic() - self._began, 1e-3)
        self._bar.update(self._task, advance=amount, rate=f"{rate:.1f} MiB/s", stage=stage)

    def close(self) -> None:
        self._bar.stop()
