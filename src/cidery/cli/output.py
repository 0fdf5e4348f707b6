"""Results to standard output, progress to standard error if that is a terminal."""

from __future__ import annotations

import sys

from cidery.commands.definition import Call, Value
from cidery.commands.escaping import escaped

TYPE_CHECKING = False
if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from typing import Any, Protocol

    from cidery.cli.pace import Pace
    from cidery.client.address import Endpoint

    class Progress(Protocol):
        """A bar, or nothing."""

        def start(self, label: str, total: int | None) -> None: ...

        def advance(self, amount: int, *, stage: str = "", total: int | None = None) -> None: ...

        def say(self, doing: str) -> None:
            """The current activity; from any thread."""
            ...

        def count(self, text: str) -> None:
            """The progress, in words; "": nothing more to report."""
            ...

        def hidden(self, *, within_line: bool = False) -> AbstractContextManager[None]:
            """Hide the bar while something else is written to the terminal; for longer if that ends within a line."""
            ...

        def close(self) -> None: ...


def text_of(value: Value, call: Call) -> str:
    """The form of a value that the user asked for: text, or JSON with --enc=json."""
    if call.text("encoding") == "json" or call.command.text is None:
        import json

        return json.dumps(value, separators=(",", ":")) + "\n"
    return printable(call.shown(value))


AS_TEXT = ("encoding", "text")
"""Of a query: the daemon makes the text. Reading JSON takes longer than the rest of a small command."""


def comes_as_text(endpoint: Endpoint, call: Call, progress: Progress) -> bool:
    """Whether the values of a call may come from a daemon as the text that is to be printed.

    Not from a daemon that makes other texts than this program, nor where a value may mean more than its text.
    """
    if not endpoint.token or call.command.text is None or "encoding" in call.given:
        return False
    if not isinstance(progress, NoProgress) or ("progress" in call.options and call.flag("progress")):
        return False
    kinds = getattr(call.command.result, "__args__", (call.command.result,))
    return not any("Err" in getattr(kind, "__annotations__", ()) for kind in kinds)


def printable(text: str) -> str:
    """Text of several lines without control characters, which could drive a terminal."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() or char in "\n\t" else escaped(char) for char in text)


class _Nothing:
    """A context in which nothing is different."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        return None


class NoProgress:
    """Standard error is no terminal, or the user asked for quiet."""

    def start(self, label: str, total: int | None) -> None:
        return None

    def advance(self, amount: int, *, stage: str = "", total: int | None = None) -> None:
        return None

    def say(self, doing: str) -> None:
        return None

    def count(self, text: str) -> None:
        return None

    def hidden(self, *, within_line: bool = False) -> AbstractContextManager[None]:
        return _Nothing()

    def close(self) -> None:
        return None


def progress_for(call: Call, *, wanted: bool = True) -> Progress:
    """When standard error is a terminal: a live bar if ``wanted``, else a line with the current activity."""
    if not sys.stderr.isatty():
        return NoProgress()
    if "progress" in call.options and "progress" in call.given and not call.flag("progress"):
        return NoProgress()
    if not wanted:
        from cidery.cli.stage_line import StageLine

        return StageLine()
    from cidery.cli.bar import Bar

    return Bar()


class Sink:
    """Takes a run's results as they arrive. Used by one run."""

    def __init__(self, call: Call, progress: Progress | None = None) -> None:
        """``progress``: the bar for bytes; None: created when bytes arrive."""
        self._call = call
        self._progress = progress or NoProgress()
        self._pace: Pace | None = None
        self.failed = False
        """A value reported a fault: exit code 1."""

    @property
    def shows_progress(self) -> bool:
        return not isinstance(self._progress, NoProgress)

    def start(self, length: int | None) -> None:
        """Bytes come next, ``length`` in total if known."""
        self._progress = progress_for(self._call, wanted=not sys.stdout.isatty())
        self._progress.start(self._call.command.name, length)

    def expect(self, length: int | None) -> None:
        """The number of bytes to come, for a bar that is drawn already."""
        self._progress.advance(0, total=length)

    def value(self, value: Any) -> None:
        if isinstance(value, dict) and value.get("Err"):
            self.failed = True
            print(f"Error: {escaped(value['Err'])}", file=sys.stderr)
        text = text_of(value, self._call)
        if text:
            with self._progress.hidden():
                sys.stdout.write(text)
                if self._call.command.live:
                    sys.stdout.flush()
        elif self._call.command.progress and isinstance(value.get("Progress"), int) and sys.stderr.isatty():
            if not self.shows_progress:
                self._progress = progress_for(self._call, wanted=False)
            self._progress.count(self._paced(value))

    def text(self, lines: str) -> None:
        """Values that came as text."""
        sys.stdout.write(printable(lines))
        if self._call.command.live:
            sys.stdout.flush()

    def _paced(self, value: dict[str, Any]) -> str:
        if "Status" in value:
            return f"{value['Status']}, {value['Progress']} s"
        from time import monotonic

        from cidery.cli.pace import Pace, blocks_line

        if self._pace is None:
            self._pace = Pace(monotonic())
        return blocks_line(self._pace, monotonic(), value)

    def chunk(self, data: bytes | memoryview) -> None:
        shown = sys.stdout.isatty()
        with self._progress.hidden(within_line=shown and bytes(data[-1:]) != b"\n"):
            sys.stdout.buffer.write(data)
            if shown:
                sys.stdout.buffer.flush()
        self._progress.advance(len(data))

    def finish(self) -> None:
        """The run ended well; close() follows."""

    def close(self) -> None:
        self._progress.close()
