"""One line on standard error that says what a running command is doing, for a terminal; each replaces the last."""

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic

QUIET = 2.0
"""Seconds after which the line says for how long nothing has changed."""
WIDTH = 80
"""Columns assumed if the terminal does not report its width."""


class StageLine:
    """Satisfies output.Progress. Any thread may call say()."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._doing = self._counted = ""
        self._since = monotonic()
        self._drawn = self._closed = self._within_line = False

    def start(self, label: str, total: int | None) -> None:
        """Nothing to do: the line appears once there is something to say."""

    def advance(self, amount: int, *, stage: str = "", total: int | None = None) -> None:
        """Bytes were written: there is progress."""
        if amount:
            self._since = monotonic()

    def say(self, doing: str) -> None:
        """The current activity, in printable characters; "" if it is not worth a line."""
        with self._lock:
            if doing != self._doing:
                self._doing, self._since = doing, monotonic()
            self._draw()

    def count(self, text: str) -> None:
        with self._lock:
            if text != self._counted:
                self._counted, self._since = text, monotonic()
            self._draw()

    @contextmanager
    def hidden(self, *, within_line: bool = False) -> Iterator[None]:
        """Keep the line erased inside the context and, if ``within_line``, until the cursor is at a line start."""
        with self._lock:
            self._erase()
            self._within_line = within_line
            yield
            self._since = monotonic()

    def close(self) -> None:
        """Erase it permanently. Idempotent."""
        with self._lock:
            self._erase()
            self._closed = True

    def _draw(self) -> None:
        parts = [part for part in (self._counted, self._doing) if part]
        if self._closed or self._within_line or not parts:
            self._erase()
            return
        quiet = monotonic() - self._since
        parts += [f"nothing new for {quiet:.0f} s"] if self._doing and quiet >= QUIET else []
        text = "; ".join(parts)[: _columns() - 1]
        sys.stderr.write(f"\r{text}\x1b[K")
        sys.stderr.flush()
        self._drawn = True

    def _erase(self) -> None:
        if self._drawn:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
            self._drawn = False


def _columns() -> int:
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns or WIDTH
    except (OSError, ValueError):
        return WIDTH
