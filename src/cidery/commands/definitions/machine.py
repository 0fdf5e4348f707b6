"""Definitions of doctor, install-as, ui and service: what concerns this machine rather than content."""

from __future__ import annotations

from cidery.commands.definition import BY_COMMAND_LINE, Argument, Call, Command, Output, Repo, Value, Where, flag, text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal, TypedDict
else:
    from cidery.light_types import TypedDict


class Checked(TypedDict):
    """One thing that was looked at."""

    About: str
    State: Literal["ok", "note", "problem"]
    Text: str
    Advice: str
    """What to do; "" if nothing."""


class Installed(TypedDict):
    Path: str


_MARKS = {"ok": "ok", "note": "--", "problem": "!!"}


def _checked(value: Value, call: Call) -> str:
    advice = f"\n{'':18}-> {value['Advice']}" if value["Advice"] else ""
    return f"{_MARKS[value['State']]:3}{value['About']:14} {value['Text']}{advice}\n"


COMMANDS = (
    Command(
        ("doctor",),
        "Look for what keeps a node on this machine from working well, and say what to do",
        BY_COMMAND_LINE,
        "cidery doctor",
        output=Output.STREAM,
        result=Checked,
        text=_checked,
        where=Where.CLIENT,
        repo=Repo.CONFIG,
        description="Looks at the repository, the disk, the clock, the limits of the system, the ports of the config\n"
        "and who listens there, the name server, and who answers ipfs:// in fsspec. Changes nothing.\n"
        "Exit code 1 if there is a problem (!!). --offline: asks no name server.",
    ),
    Command(
        ("install-as",),
        "Make a command of another name that runs cidery, for scripts written for Kubo",
        "cidery.commands.run.install_as:install_as",
        "cidery install-as ipfs",
        (Argument("name", "Name of the command, as ipfs"),),
        (
            text("to", "Folder for it (default: where cidery is)"),
            flag("force", "Replace a command of this name that is there already", short="f"),
        ),
        result=Installed,
        text=lambda value, call: f"{value['Path']}\n",
        where=Where.CLIENT,
        repo=Repo.NONE,
        description="A command called ipfs adds with Kubo's CIDs if it makes the repository (profile unixfs-v0-2015).",
    ),
    Command(
        ("ui",),
        "Open the web page of the node in the browser, and start the daemon if none runs",
        BY_COMMAND_LINE,
        "cidery ui",
        options=(flag("no-open", "Print the link instead of opening it; it works once")._replace(alias="print"),),
        output=Output.NOTHING,
        where=Where.CLIENT,
        description="The daemon keeps running when the terminal is closed; to end it: cidery shutdown. The repository\n"
        "is made if there is none. What the daemon prints is in daemon.log there. docs/webui.md has more.",
    ),
    *(
        Command(
            ("service", word),
            summary,
            BY_COMMAND_LINE,
            f"cidery service {word}",
            output=Output.NOTHING,
            where=Where.CLIENT,
            description="Of this user alone: a unit of systemd, an agent of launchd, or a task of Windows.",
        )
        for word, summary in (
            ("install", "Have the system start the daemon now and at each login"),
            ("remove", "Undo service install"),
            ("status", "Show whether the system starts the daemon"),
        )
    ),
)
