"""Definitions of the pin group."""

from __future__ import annotations

from cidery.commands.definition import (
    FAST_PROVIDE,
    Argument,
    Call,
    Command,
    Input,
    Option,
    OptionType,
    Output,
    Repo,
    Value,
    flag,
    page_options,
    text,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NotRequired, TypedDict
else:
    from cidery.light_types import TypedDict

PIN_PATH = Argument("path", "CID or path to an object", Input.TEXT_OR_STDIN, variadic=True)


class QueuedPin(TypedDict):
    Path: str
    Job: int
    """Number of the job, for `jobs` and `pin status`."""


class PinStatus(TypedDict):
    Job: int
    Cid: str
    """The CID, or the path below one."""
    Status: str
    """queued, pinning, pinned or failed, as in the pinning service API."""
    Name: NotRequired[str]
    Created: str
    Blocks: int
    Bytes: int
    Attempts: int
    Error: NotRequired[str]
    """Why the last attempt failed."""
    NextTry: NotRequired[str]


class PinsChanged(TypedDict):
    Pins: list[str]
    Progress: NotRequired[int]
    """Blocks walked so far; such a value has an empty Pins."""
    Bytes: NotRequired[int]
    """Their bytes."""
    Total: NotRequired[int]
    """Bytes below the object being pinned, as its root states them: at most so many come."""
    Queued: NotRequired[list[QueuedPin]]
    """With --background."""


class PinLine(TypedDict):
    Cid: str
    Type: str
    Name: NotRequired[str]
    Expires: NotRequired[str]
    """When the pin expires, as 2026-01-31T12:00:00Z; absent for never."""
    Unwalked: NotRequired[str]
    """Why its contents could not be listed in full; the line repeats that of the pin."""


class PinKey(TypedDict):
    Type: str
    Name: str
    """Empty unless names were asked for."""
    Expires: NotRequired[str]
    Unwalked: NotRequired[str]
    """Why its contents could not be listed in full."""


class PinKeys(TypedDict):
    Keys: dict[str, PinKey]


class BadNode(TypedDict):
    Cid: str
    Err: str


class PinVerified(TypedDict):
    Cid: str
    Ok: bool
    BadNodes: NotRequired[list[BadNode]]
    Err: NotRequired[str]


def _verified(value: Value, call: Call) -> str:
    if value["Ok"]:
        return f"{value['Cid']} ok\n" if call.flag("verbose") and not call.flag("quiet") else ""
    if call.flag("quiet"):
        return f"{value['Cid']}\n"
    bad = "".join(f"  {node['Cid']}: {node['Err']}\n" for node in value.get("BadNodes", ()))
    return f"{value['Cid']} broken\n{bad}"


def _added(value: Value, call: Call) -> str:
    mode = "recursively" if call.flag("recursive") else "directly"
    if "Queued" in value:
        rows = value["Queued"]
        return "".join(f"queued {row['Path']} as job {row['Job']}; see: cidery pin status\n" for row in rows)
    return "".join(f"pinned {cid} {mode}\n" for cid in value["Pins"] or ())


def _status(value: Value, call: Call) -> str:
    parts = [f"{value['Job']:>5} {value['Status']:<7} {value['Cid']}"]
    if value.get("Name"):
        parts.append(value["Name"])
    if value["Blocks"]:
        parts.append(f"{value['Blocks']} blocks, {value['Bytes']} bytes")
    if value.get("Error"):
        tried = "1 try" if value["Attempts"] == 1 else f"{value['Attempts']} tries"
        parts.append(f"({tried}; {value['Error']})")
    if value.get("NextTry"):
        parts.append(f"next try {value['NextTry']}")
    return " ".join(parts) + "\n"


def _removed(value: Value, call: Call) -> str:
    return "".join(f"unpinned {cid}\n" for cid in value["Pins"])


def _line(cid: str, pin: Value, call: Call) -> str:
    if call.flag("quiet"):
        return f"{cid}\n"
    parts = [cid, pin["Type"], pin.get("Name", ""), f"({pin['Unwalked']})" if pin.get("Unwalked") else ""]
    return " ".join(filter(None, parts)) + "\n"


def _listed(value: Value, call: Call) -> str:
    if "Keys" in value:
        return "".join(_line(cid, pin, call) for cid, pin in value["Keys"].items())
    return _line(value["Cid"], value, call)


COMMANDS = (
    Command(
        ("pin", "add"),
        "Pin objects, fetching missing blocks",
        "cidery.commands.run.pin:add",
        "cidery pin add bafy...",
        (PIN_PATH,),
        (
            flag("recursive", "Pin everything below too", default=True, short="r"),
            text("name", "Name of the pin", short="n"),
            flag("progress", "Report progress"),
            Option("expire-in", OptionType.TEXT, "Let the pin expire after this time (30d, 12h, 1h30m)"),
            flag("background", "Queue it and return; a daemon fetches it, and tries again if that fails"),
            *FAST_PROVIDE,
        ),
        Output.STREAM,
        result=PinsChanged,
        text=_added,
        progress=True,
        loopless=True,
        loops_with=("background",),
        description="With --background the request is on disk when the command returns. A daemon makes four attempts\n"
        "at a time; a failed one is repeated after 30 s, then after twice as long each time, at most an hour,\n"
        "and when `swarm connect` adds a peer. After 30 days without a new block it has failed.",
    ),
    Command(
        ("pin", "status"),
        "Show the state of pins in the background",
        "cidery.commands.run.pin:status",
        "cidery pin status",
        (Argument("path", "Only these objects", Input.TEXT, required=False, variadic=True),),
        (text("status", "Only these", choices=("queued", "pinning", "pinned", "failed")),),
        Output.STREAM,
        result=PinStatus,
        text=_status,
        repo=Repo.READ,
    ),
    Command(
        ("pin", "update"),
        "Replace a pin with one of another object, faster than adding it",
        "cidery.commands.run.pin:update",
        "cidery pin update /ipfs/bafyold... /ipfs/bafynew...",
        (Argument("from-path", "The object pinned now"), Argument("to-path", "The object to pin")),
        (flag("unpin", "Remove the old pin", default=True), *FAST_PROVIDE),
        result=PinsChanged,
        text=lambda value, call: f"updated {value['Pins'][0]} to {value['Pins'][1]}\n",
    ),
    Command(
        ("pin", "verify"),
        "Check that all pinned content is stored and intact",
        "cidery.commands.run.pin:verify",
        "cidery pin verify --verbose",
        options=(
            flag("verbose", "Print the complete pins, too"),
            flag("quiet", "Print the CIDs of broken pins only", short="q"),
        ),
        output=Output.STREAM,
        result=PinVerified,
        text=_verified,
    ),
    Command(
        ("pin", "ls"),
        "List pinned objects",
        "cidery.commands.run.pin_list:ls",
        "cidery pin ls --type=recursive",
        (Argument("path", "Only these objects", Input.TEXT, required=False, variadic=True),),
        (
            text("type", "Which pins", default="all", short="t", choices=("all", "direct", "indirect", "recursive")),
            flag("quiet", "Print CIDs only", short="q"),
            text("name", "Only pins whose name contains this", short="n"),
            flag("names", "Include the names"),
            flag("stream", "Print pins as they are found", short="s"),
            *page_options("the CID"),
        ),
        Output.STREAM,
        result=PinKeys | PinLine,
        text=_listed,
        repo=Repo.READ,
        loopless=True,
        description="--limit needs --type recursive or direct: what is pinned indirectly has no order to go on in.",
    ),
    Command(
        ("pin", "rm"),
        "Remove pins",
        "cidery.commands.run.pin:rm",
        "cidery pin rm bafy...",
        (PIN_PATH,),
        (flag("recursive", "Remove recursive pins", default=True, short="r"),),
        result=PinsChanged,
        text=_removed,
    ),
)
