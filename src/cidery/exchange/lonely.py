"""Whether a session that has met no source yet waits for nobody. Pure; its timer is an argument."""

from collections.abc import Callable
from typing import Protocol

NOBODY_SECONDS = 1.0
"""Seconds for which somebody may still connect while there is nobody to ask, and nothing that could find anybody."""


class Timer(Protocol):
    """As an event loop's call_later() returns."""

    def cancel(self) -> None: ...


class Lonely:
    """Of one session: looks around while it waits for its first source."""

    def __init__(self, alone: Callable[[], bool], fail: Callable[[], object]) -> None:
        """``alone``: whether there is nobody to ask; ``fail`` is called when it still is so after a while."""
        self._alone = alone
        self._fail = fail
        self._met = False
        self._timer: Timer | None = None

    def meets(self) -> None:
        """A source is there; should it go, it may come back."""
        self._met = True

    def waits(self, later: Callable[..., Timer]) -> None:
        """For a block. ``later``: call_later() of the event loop."""
        if not self._met and self._timer is None:
            self._timer = later(NOBODY_SECONDS, self._look, later)

    def end(self) -> None:
        """Idempotent."""
        if self._timer is not None:
            self._timer.cancel()

    def _look(self, later: Callable[..., Timer]) -> None:
        self._timer = None
        if self._alone():
            self._fail()
        else:
            self.waits(later)
