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


def schedule_fault(value: Any, is_rate: Callable[[Any], bool]) -> str:
    """What is wrong with a list of periods, naming the entry and the field; "": nothing."""
    if not isinstance(value, list) or len(value) > MAX_PERIODS:
        return f"it is no list of at most {MAX_PERIODS} periods"
    for at, item in enumerate(value, 1):
        fault = _period_fault(item, is_rate)
        if not fault and item in value[: at - 1]:
            fault = "it is there twice"
        if fault:
            return f"period {at}: {fault}"
    return ""


def _period_fault(item: Any, is_rate: Callable[[Any], bool]) -> str:
    if not isinstance(item, dict):
        return "it is no object"
    strange = [name for name in item if name not in ("From", "To", "Days", *_RATES)]
    if strange:
        return f"{str(strange[0])[:40]!r} is unknown; a period has From, To, Days, {', '.join(_RATES)}"
    for name in ("From", "To"):
        if not isinstance(item.get(name), str) or not _TIME.fullmatch(item[name]):
            return f"{name} is a time such as 08:30, not {str(item.get(name))[:40]!r}"
    days = item.get("Days") or list(DAYS)
    if not isinstance(days, list) or not all(day in DAYS for day in days) or len(set(days)) < len(days):
        return f"Days is a list of some of {', '.join(DAYS)}, each once"
    rates = [name for name in _RATES if item.get(name) is not None]
    if not rates:
        return f"it limits nothing: give it one of {', '.join(_RATES)}"
    wrong = [name for name in rates if not is_rate(item[name])]
    return f'{wrong[0]} is a rate such as "200kB", or "", not {str(item[wrong[0]])[:40]!r}' if wrong else ""


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
