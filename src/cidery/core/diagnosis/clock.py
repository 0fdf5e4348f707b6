"""Whether the clock can be right, as far as this machine alone can tell."""

from pathlib import Path

BUILT = 1_767_225_600.0
"""2026-01-01: no clock that is right shows an earlier time."""
SKEW = 120.0
"""Seconds by which a file may seem to come from the future."""
WRITTEN = ("config", "version", "meta", "blocks")
"""Of a repository; one of them is as young as its last start at least."""
ADVICE = "set the clock, or let it be set: timedatectl set-ntp true"


def clock_fault(repo: Path, now: float) -> str:
    """Why the clock cannot be right; "" if nothing speaks against it. ``now``: seconds since 1970. Blocks for a moment.

    Names expire by the clock, and certificates are refused by a wrong one.
    """
    if now < BUILT:
        return "earlier than this program"
    newest = max(((repo / name).stat().st_mtime for name in WRITTEN if (repo / name).exists()), default=0.0)
    return "earlier than files of the repository" if newest > now + SKEW else ""
