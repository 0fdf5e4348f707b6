"""Definitions of the diag group."""

from __future__ import annotations

from cidery.commands.definition import (
    Call,
    Command,
    Option,
    OptionType,
    Output,
    Repo,
    Value,
    Where,
    flag,
    ignored,
    text,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypedDict
else:
    from cidery.light_types import TypedDict

_OF_GO = "it is about the runtime of Go"


class RunningCommand(TypedDict):
    """A call of the RPC; the fields are Kubo's."""

    ID: int
    Command: str
    Options: dict[str, Any]
    Args: list[str]
    Active: bool
    StartTime: str
    EndTime: str


class SysInfo(TypedDict):
    """The machine; the fields are Kubo's."""

    diskinfo: dict[str, Any]
    """free_space, total_space in bytes; fstype."""
    environment: dict[str, str]
    ipfs_commit: str
    ipfs_version: str
    memory: dict[str, int]
    """swap, virt: bytes of the machine."""
    net: dict[str, Any]
    runtime: dict[str, Any]


class Healthy(TypedDict):
    Healthy: bool


def _commands(value: Value, call: Call) -> str:
    lines: list[str] = []
    for one in value:  # a list of RunningCommand
        assert isinstance(one, dict)
        shown = " ".join(one["Args"] if call.flag("verbose") else one["Args"][:1])
        lines.append(f"{one['ID']}\t{one['Command']}\t{one['StartTime']}\t{shown}\n")
    return "".join(lines)


def _indented(value: Value, call: Call) -> str:
    import json

    return f"{json.dumps(value, indent=2)}\n"


COMMANDS = (
    Command(
        ("diag", "cmds"),
        "List the commands that the daemon runs now",
        "cidery.commands.run.diag:commands",
        "cidery diag cmds",
        options=(flag("verbose", "Print all arguments", short="v"),),
        result=list[RunningCommand],
        text=_commands,
        where=Where.DAEMON,
        description="Number, command, start, first argument. Finished commands are not kept.",
    ),
    Command(
        ("diag", "sys"),
        "Print what a report of a fault needs to know about the machine",
        "cidery.commands.run.diag:system",
        "cidery diag sys",
        result=SysInfo,
        text=_indented,
        verbatim=True,
        repo=Repo.READ,
    ),
    Command(
        ("diag", "healthy"),
        "Tell whether the daemon answers and reads its store",
        "cidery.commands.run.diag:healthy",
        "cidery diag healthy && echo fine",
        result=Healthy,
        text=lambda value, call: "healthy\n",
        where=Where.DAEMON,
        description="For scripts and containers: exit code 0 if it is, 1 if it is not or no daemon runs.",
    ),
    Command(
        ("diag", "profile"),
        "Save what the daemon is doing, for a report of a fault: a ZIP archive",
        "cidery.commands.run.diag:profile",
        "cidery diag profile -o profile.zip",
        options=(
            text("output", "File to write (default: cidery-profile-TIME.zip)", short="o")._replace(client_only=True),
            Option("profile-time", OptionType.DURATION, "How long to watch what runs", 5.0),
            ignored("collectors", "everything that can be told is collected", type=OptionType.TEXTS),
            ignored("mutex-profile-fraction", _OF_GO, type=OptionType.INT),
            ignored("block-profile-rate", _OF_GO, type=OptionType.TEXT),
        ),
        output=Output.BYTES,
        media_type="application/zip",
        where=Where.DAEMON,
        description="The stacks of all threads and tasks, samples of the stacks over the time, versions, the config\n"
        "without its secrets, and the result of `status`. Look through it before you pass it on: it names your\n"
        "files and peers.",
    ),
)
