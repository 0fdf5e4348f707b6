"""How fast something goes, and how long the rest takes at that pace."""

from collections import deque

WINDOW = 10.0
"""Seconds over which a rate is measured: a change shows soon, and the figure is calm."""
SOONEST = 0.2
"""Seconds after which a rate means something."""
_MIB = 1 << 20


class Pace:
    """Times are seconds of one clock, amounts never shrink."""

    def __init__(self, now: float) -> None:
        self._samples: deque[tuple[float, float]] = deque([(now, 0.0)])

    def note(self, now: float, done: float) -> None:
        """So much is done by now."""
        self._samples.append((now, done))
        while len(self._samples) > 2 and self._samples[1][0] <= now - WINDOW:
            self._samples.popleft()

    @property
    def rate(self) -> float:
        """Amount in a second; 0 if that cannot be told yet."""
        (began, before), (now, done) = self._samples[0], self._samples[-1]
        return (done - before) / (now - began) if now - began >= SOONEST else 0.0

    def left(self, total: float | None) -> str:
        """The time that the rest takes, as ``0:42 left``; "" if that cannot be told."""
        done = self._samples[-1][1]
        if total is None or done >= total or self.rate <= 0:
            return ""
        minutes, seconds = divmod(round((total - done) / self.rate), 60)
        hours, minutes = divmod(minutes, 60)
        return f"{hours}:{minutes:02}:{seconds:02} left" if hours else f"{minutes}:{seconds:02} left"


def blocks_line(pace: Pace, now: float, value: dict[str, int]) -> str:
    """A report of progress (Progress: blocks, Bytes, Total: either, at most) in words; notes it in ``pace``."""
    blocks, size, total = value["Progress"], value.get("Bytes"), value.get("Total")
    if size is None:
        pace.note(now, blocks)
        parts = [f"{blocks} of {total} blocks" if total is not None and total >= blocks else f"{blocks} blocks"]
        parts += [f"{pace.rate:.0f} blocks/s"] if pace.rate else []
    else:
        pace.note(now, size)
        of = f" of {total / _MIB:.1f}" if total is not None and total >= size else ""
        parts = [f"{blocks} blocks", f"{size / _MIB:.1f}{of} MiB"]
        parts += [f"{pace.rate / _MIB:.1f} MiB/s"] if pace.rate else []
    left = pace.left(total)
    return ", ".join([*parts, left] if left else parts)
