"""Definitions of provide."""

from __future__ import annotations

from cidery.commands.definition import Argument, Call, Command, Input, Output, Value, Where, flag, ignored

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypedDict
else:
    from cidery.light_types import TypedDict


class Queued(TypedDict):
    Queued: str
    """The CID."""
    Peers: int
    """The number of peers that took its record; -1: it waits for the sweep."""


class PastOperations(TypedDict):
    KeysProvided: int
    KeysFailed: int
    RecordsProvided: int
    Lookups: int
    Seconds: float


class Operations(TypedDict):
    Cycle: PastOperations
    """This round."""
    LastCycle: PastOperations | None
    New: PastOperations
    """Keys announced for the first time, outside the rounds."""


class Queues(TypedDict):
    PendingRoots: int
    PendingKeyProvides: int


class Schedule(TypedDict):
    Keys: int
    Regions: int
    RegionsDone: int
    Interval: str
    CycleBegan: str
    """RFC 3339."""
    NextReprovideAt: str


class ProvideStat(TypedDict):
    Due: int
    """Keys still to be announced: new and late ones, and waiting roots."""
    Done: int
    """Keys announced within the interval."""
    Late: int
    """Keys whose last announcement is older than an interval."""
    Rate: float
    """Keys announced per minute of work."""
    RootsProvided: int
    RootsFailed: int
    Queues: Queues
    Schedule: Schedule
    Operations: Operations
    Network: dict[str, int]
    """DHT -> peers known."""


class Cleared(TypedDict):
    Cleared: int


def _queued(value: Value, call: Call) -> str:
    if value["Peers"] < 0:
        return f"queued {value['Queued']}\n"
    return f"announced {value['Queued']} to {value['Peers']} peers\n"


PARTS = {
    "network": "the number of known peers of the DHTs",
    "operations": "what was announced, by rounds",
    "queues": "what is waiting",
    "schedule": "the progress of the round",
    "timings": "the speed",
}
"""Parts of ``provide stat``; all of them if none is named."""


def _stat(value: Value, call: Call) -> str:
    parts = _stat_parts(value)
    named = [name for name in PARTS if call.flag(name)]
    if not named or call.flag("all"):
        named = ["keys", "queues", "timings", "schedule", "operations", "network"]
    return "".join(f"{line}\n" for name in named for line in parts[name])


def _stat_parts(value: Value) -> dict[str, list[str]]:
    schedule, queues = value["Schedule"], value["Queues"]
    lines: list[str] = []
    for name, key in (("this round", "Cycle"), ("last round", "LastCycle"), ("new keys", "New")):
        past = value["Operations"][key]
        if past:
            lines.append(
                f"{name}: {past['KeysProvided']} keys, {past['KeysFailed']} failed, {past['RecordsProvided']} records, "
                f"{past['Lookups']} look-ups, {past['Seconds']:.0f} s"
            )
    return {
        "keys": [f"{schedule['Keys']} keys: {value['Done']} announced, {value['Due']} due, {value['Late']} late"],
        "queues": [
            f"roots at once: {value['RootsProvided']} announced, {value['RootsFailed']} taken by nobody, "
            f"{queues['PendingRoots']} waiting"
        ],
        "timings": [f"rate: {value['Rate']:.0f} keys a minute of work"],
        "schedule": [
            f"round: {schedule['RegionsDone']} of {schedule['Regions']} regions since {schedule['CycleBegan']}, "
            f"one round in {schedule['Interval']}, next region {schedule['NextReprovideAt']}"
        ],
        "operations": lines,
        "network": [f"peers of the {name} DHT: {count}" for name, count in value["Network"].items()],
    }


_CIDS = Argument("key", "CID that is stored here", Input.TEXT_OR_STDIN, variadic=True)

_UNPRINTED = ("compact", "connectivity", "workers", "lan")
_PROVIDE_OPTIONS = (
    flag("recursive", "Announce everything below too, with the next sweep", short="r"),
    flag("verbose", "Accepted for Kubo's scripts", short="v"),
)
COMMANDS = (
    Command(
        ("provide", "once"),
        "Announce content now",
        "cidery.commands.run.provide:once",
        "cidery provide once bafy...",
        (_CIDS,),
        (flag("recursive", "Announce everything below too, with the next sweep", short="r"),),
        Output.STREAM,
        result=Queued,
        text=_queued,
        where=Where.DAEMON,
        description="The root is announced before the command ends; it says how many peers took the record.",
    ),
    Command(
        ("routing", "provide"),
        "Announce content now",
        "cidery.commands.run.provide:once",
        "cidery routing provide bafy...",
        (_CIDS,),
        _PROVIDE_OPTIONS,
        Output.STREAM,
        result=Queued,
        text=_queued,
        where=Where.DAEMON,
        deprecated="provide once",
    ),
    Command(
        ("provide", "stat"),
        "Print the state of announcing",
        "cidery.commands.run.provide:stat",
        "cidery provide stat",
        options=(
            flag("all", "Print everything, as without options", short="a"),
            *(flag(name, f"Print {what}") for name, what in PARTS.items()),
            *(ignored(name, "this node has no such numbers") for name in _UNPRINTED),
        ),
        result=ProvideStat,
        text=_stat,
        where=Where.DAEMON,
        aliases=(("stats", "provide"), ("stats", "reprovide")),
    ),
    Command(
        ("routing", "reprovide"),
        "Refused: the sweep announces everything in its time",
        "cidery.commands.run.provide:reprovide",
        "cidery provide once bafy...",
        output=Output.NOTHING,
        where=Where.DAEMON,
        aliases=(("bitswap", "reprovide"),),
        deprecated="provide once",
    ),
    Command(
        ("dht", "provide"),
        "Announce content now",
        "cidery.commands.run.provide:once",
        "cidery dht provide bafy...",
        (_CIDS,),
        _PROVIDE_OPTIONS,
        Output.STREAM,
        result=Queued,
        text=_queued,
        where=Where.DAEMON,
        deprecated="provide once",
    ),
    Command(
        ("provide", "clear"),
        "Forget all announced keys; pinned content returns with the next round",
        "cidery.commands.run.provide:clear",
        "cidery provide clear",
        options=(flag("quiet", "Print nothing", short="q"),),
        result=Cleared,
        text=lambda value, call: "" if call.flag("quiet") else f"removed {value['Cleared']} keys\n",
        where=Where.DAEMON,
    ),
)
