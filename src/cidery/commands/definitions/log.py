"""Definitions of log level and log ls."""

from typing import TypedDict

from cidery.commands.definition import Argument, Command, Where
from cidery.commands.definitions.message_output import MessageOutput

LEVELS = ("debug", "info", "warn", "error", "dpanic", "panic", "fatal")
"""Kubo's names; the last three are the same level here."""


class Strings(TypedDict):
    Strings: list[str]


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
        ("log", "ls"),
        "List the parts of the daemon that log",
        "cidery.commands.run.log:ls",
        "cidery log ls",
        result=Strings,
        text=lambda value, call: "".join(f"{name}\n" for name in value["Strings"]),
        where=Where.DAEMON,
    ),
)
