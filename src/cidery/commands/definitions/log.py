"""Definitions of the log group."""

from __future__ import annotations

from cidery.commands.definition import Argument, Call, Command, Output, Value, Where, text
from cidery.commands.definitions.message_output import MessageOutput

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypedDict
else:
    from cidery.light_types import TypedDict

LEVELS = ("debug", "info", "warn", "error", "dpanic", "panic", "fatal")
"""Kubo's names; the last three are the same level here."""


class Strings(TypedDict):
    Strings: list[str]


class LogLine(TypedDict):
    """The fields of Kubo's log."""

    level: str
    ts: str
    logger: str
    caller: str
    """``module:line``."""
    msg: str


def _line(value: Value, call: Call) -> str:
    return f"{value['ts']}\t{value['level'].upper()}\t{value['logger']}\t{value['caller']}\t{value['msg']}\n"


COMMANDS = (
    Command(
        ("log", "level"),
        "Set the log level of a part of the running daemon",
        "cidery.commands.run.log:level",
        "cidery log level cidery.rpc debug",
        (
            Argument("subsystem", "A name that `cidery log ls` prints, or all"),
            Argument("level", f"One of {', '.join(LEVELS)}"),
        ),
        result=MessageOutput,
        text=lambda value, call: str(value["Message"]),
        verbatim=True,
        where=Where.DAEMON,
        description="The log is the standard error of the daemon.",
    ),
    Command(
        ("log", "tail"),
        "Print what the running daemon logs, until it is interrupted",
        "cidery.commands.run.log:tail",
        "cidery log tail --log-level=warn",
        options=(text("log-level", "Only lines of this level and above", choices=LEVELS),),
        output=Output.STREAM,
        result=LogLine,
        text=_line,
        where=Where.DAEMON,
        live=True,
        description="`cidery log level all debug` makes the daemon log more.",
    ),
    Command(
        ("log", "ls"),
        "List the parts of the daemon that log",
        "cidery.commands.run.log:ls",
        "cidery log ls",
        result=Strings,
        text=lambda value, call: "".join(f"{name}\n" for name in value["Strings"]),
        where=Where.DAEMON,
    ),
)
