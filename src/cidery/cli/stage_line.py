"""One line on standard error that says what a running command is doing, for a terminal; the next one replaces it."""

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic

QUIET = 2.0
"""Seconds after which the line says for how long nothing has changed."""
WIDTH = 80
"""Columns of a terminal that does not say how many it has."""


class StageLine:
    """Satisfies output.Progress. Any thread may call say()."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._doing = self._counted = ""
        self._since = monotonic()
        self._drawn = self._closed = self._within_line = False

    def start(self, label: str, total: int | None) -> None:
        """The line shows by itself when there is something to say."""

    def advance(self, amount: int, *, stage: str = "", total: int | None = None) -> None:
        """Bytes went out: something happens."""
        if amount:
            self._since = monotonic()

    def say(self, doing: str) -> None:
        """What goes on, in printable characters; "" for nothing worth a line."""
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
        """Erased, and not drawn by others meanwhile, nor later while the cursor stands behind what was written."""
        with self._lock:
            self._erase()
            self._within_line = within_line
            yield
            self._since = monotonic()

    def close(self) -> None:
        """Erase it for good. Idempotent."""
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
