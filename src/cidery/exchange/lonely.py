"""Whether a session that has met no source yet waits for nobody."""

import asyncio
from collections.abc import Callable

NOBODY_SECONDS = 1.0
"""Seconds for which somebody may still connect while there is nobody to ask, and nothing that could find anybody."""


class Lonely:
    """Of one session: looks around while it waits for its first source."""

    def __init__(self, alone: Callable[[], bool], fail: Callable[[], object]) -> None:
        """``alone``: whether there is nobody to ask; ``fail`` is called when it still is so after a while."""
        self._alone = alone
        self._fail = fail
        self._met = False
        self._timer: asyncio.TimerHandle | None = None

    def meets(self) -> None:
        """A source is there; should it go, it may come back."""
        self._met = True

    def waits(self) -> None:
        """For a block."""
        if not self._met and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(NOBODY_SECONDS, self._look)

    def end(self) -> None:
        """Idempotent."""
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        self._timer = None
        if self._alone():
            self._fail()
        else:
            self.waits()
