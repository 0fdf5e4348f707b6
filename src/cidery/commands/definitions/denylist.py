"""Definitions of denylist ls and check."""

from __future__ import annotations

from cidery.commands.definition import Argument, Call, Command, Input, Output, Repo, Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NotRequired, TypedDict
else:
    from cidery.light_types import TypedDict


class DenylistLine(TypedDict):
    File: str
    Name: str
    """As its header says, else that of the file."""
    Rules: int
    """In force."""
    BadLines: int
    """Lines that are no rules."""
    Error: NotRequired[str]
    """Why the file, or its newest version, is not in force."""
    FirstBadLine: NotRequired[str]


class DenyVerdict(TypedDict):
    Path: str
    Denied: bool
    File: NotRequired[str]
    Line: NotRequired[int]
    Rule: NotRequired[str]
    Hints: NotRequired[dict[str, str]]


def _ls_text(value: Value, call: Call) -> str:
    line = f"{value['Rules']:>9} {value['File']} ({value['Name']})\n"
    if value["BadLines"]:
        line += f"{'':>9} {value['BadLines']} lines are no rules, the first: {value['FirstBadLine']}\n"
    if "Error" in value:
        line += f"{'':>9} cannot be used: {value['Error']}\n"
    return line


def _check_text(value: Value, call: Call) -> str:
    if not value["Denied"]:
        return f"{value['Path']} is not denied\n"
    return f"{value['Path']} is denied by {value['File']}, line {value['Line']}: {value['Rule']}\n"


_WHERE = """Lists are files *.deny in the folder denylists of the repository, in ~/.config/ipfs/denylists and in
/etc/ipfs/denylists, in the compact format (https://specs.ipfs.tech/compact-denylist-format/). A running daemon
notices within five seconds what is added to them or changed."""

COMMANDS = (
    Command(
        ("denylist", "ls"),
        "List the denylists, how many rules are in force, and what is wrong with them",
        "cidery.commands.run.denylist:ls",
        "cidery denylist ls",
        output=Output.STREAM,
        result=DenylistLine,
        text=_ls_text,
        repo=Repo.READ,
        description=_WHERE,
    ),
    Command(
        ("denylist", "check"),
        "Tell whether paths are denied, and by which rule",
        "cidery.commands.run.denylist:check",
        "cidery denylist check /ipfs/bafybeih.../videos",
        (Argument("path", "CID, path or name; nothing is resolved or fetched", Input.TEXT_OR_STDIN, variadic=True),),
        output=Output.STREAM,
        result=DenyVerdict,
        text=_check_text,
        repo=Repo.READ,
        description=_WHERE,
    ),
)
