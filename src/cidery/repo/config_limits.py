"""``Swarm.Limits``: how fast the node may send and receive, by the time of the week."""

import re
from collections.abc import Callable
from typing import Any, NamedTuple

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
MAX_PERIODS = 100
"""Most entries of Swarm.Limits.Schedule."""
_TIME = re.compile(r"([01]\d|2[0-3]):([0-5]\d)")
_RATES = ("Up", "Down", "PeerUp", "PeerDown")


class RateLimits(NamedTuple):
    """Bytes a second; None: no limit."""

    up: int | None
    down: int | None
    peer_up: int | None
    """For each connection."""
    peer_down: int | None


class LimitPeriod(NamedTuple):
    """Limits at some times of the week."""

    start: int
    """Minute of the day, local time."""
    end: int
    """Minute of the day; not after ``start``: of the next day."""
    days: tuple[int, ...]
    """0 is Monday."""
    limits: RateLimits


class LimitsConfig(NamedTuple):
    """How fast the node may send and receive."""

    up: int | None
    """Bytes a second of all connections together; None: no limit."""
    down: int | None
    peer_up: int | None
    """Bytes a second of each connection; None: no limit."""
    peer_down: int | None
    schedule: tuple[LimitPeriod, ...]
    """Other limits at some times; the first that holds."""


def is_schedule(value: Any, is_rate: Callable[[Any], bool]) -> bool:
    """Whether this is a list of periods, each with rates."""

    def one(item: Any) -> bool:
        if not isinstance(item, dict) or not item.keys() <= {"From", "To", "Days", *_RATES}:
            return False
        days = item.get("Days") or list(DAYS)
        return (
            all(isinstance(item.get(name), str) and _TIME.fullmatch(item[name]) for name in ("From", "To"))
            and isinstance(days, list)
            and all(day in DAYS for day in days)
            and all(is_rate(item[name]) for name in _RATES if item.get(name) is not None)
        )

    return isinstance(value, list) and len(value) <= MAX_PERIODS and all(map(one, value))


def limits_of(get: Callable[[str, Any], Any], rate: Callable[[str | int], int]) -> LimitsConfig:
    """From checked values. A rate that a period does not name is the usual one; "" is no limit."""

    def parsed(value: Any) -> int | None:
        return rate(value) or None if value != "" else None

    usual = RateLimits(*(parsed(get(f"Swarm.Limits.{name}", "")) for name in _RATES))

    def period(item: dict[str, Any]) -> LimitPeriod:
        start, end = (int(item[name][:2]) * 60 + int(item[name][3:]) for name in ("From", "To"))
        given = (item.get(name) for name in _RATES)
        limits = RateLimits(
            *(before if value is None else parsed(value) for before, value in zip(usual, given, strict=True))
        )
        return LimitPeriod(start, end, tuple(map(DAYS.index, item.get("Days") or DAYS)), limits)

    return LimitsConfig(*usual, tuple(map(period, get("Swarm.Limits.Schedule", []))))
