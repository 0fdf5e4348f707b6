"""Definitions of what shows how much goes over the connections."""

from __future__ import annotations

from cidery.commands.byte_size import human_size
from cidery.commands.definition import Call, Command, Option, OptionType, Output, Value, Where, flag, text
from cidery.commands.moment import moment

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypedDict
else:
    from cidery.light_types import TypedDict


class BandwidthStat(TypedDict):
    TotalIn: int
    TotalOut: int
    RateIn: float
    """Bytes a second."""
    RateOut: float


class BandwidthSpell(TypedDict):
    Began: int
    """Seconds since 1970."""
    In: int
    """Bytes."""
    Out: int


class BandwidthDay(TypedDict):
    Every: int
    """Seconds of a spell; those in which nothing went are left out."""
    Spells: list[BandwidthSpell]


def _bandwidth(value: Value, call: Call) -> str:
    sizes = [f"{name}: {human_size(value[name])}" for name in ("TotalIn", "TotalOut")]
    rates = [f"{name}: {human_size(round(value[name]))}/s" for name in ("RateIn", "RateOut")]
    return "  ".join([*sizes, *rates]) + "\n" if call.flag("poll") else "\n".join(["Bandwidth", *sizes, *rates]) + "\n"


def _day(value: Value, call: Call) -> str:
    hours: dict[int, tuple[int, int]] = {}
    for spell in value["Spells"]:
        hour = spell["Began"] // 3600
        came, went = hours.get(hour, (0, 0))
        hours[hour] = (came + spell["In"], went + spell["Out"])
    return "".join(
        f"{moment(hour * 3600)}  In: {human_size(came)}  Out: {human_size(went)}\n"
        for hour, (came, went) in hours.items()
    )


COMMANDS = (
    Command(
        ("stats", "day"),
        "Show how much went over the connections in the last day, by the hour",
        "cidery.commands.run.bandwidth:stats_day",
        "cidery stats day",
        result=BandwidthDay,
        text=_day,
        where=Where.DAEMON,
        description="The daemon keeps a sum for every five minutes, also over restarts. --enc=json has those.",
    ),
    Command(
        ("stats", "bw"),
        "Show how much went over the connections, and how fast",
        "cidery.commands.run.bandwidth:stats_bw",
        "cidery stats bw --poll",
        options=(
            text("peer", "Over those to this peer only", short="p"),
            text("proto", "The content of streams of this protocol only", short="t"),
            flag("poll", "Show it again and again, until interrupted"),
            Option(
                "interval",
                OptionType.DURATION,
                "Between two lines of --poll, such as 500ms",
                1.0,
                short="i",
            ),
        ),
        output=Output.STREAM,
        result=BandwidthStat,
        text=_bandwidth,
        where=Where.DAEMON,
        live=True,
        description="TotalIn and TotalOut are bytes since the daemon started; RateIn and RateOut are bytes a second,\n"
        "averaged over some ten seconds. Swarm.Limits of the config bounds them. Not both --peer and --proto.",
    ),
)
