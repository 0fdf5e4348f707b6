"""Definitions of pin add, rm and ls."""

from typing import NotRequired, TypedDict

from cidery.commands.definition import Argument, Call, Command, Input, Output, Repo, Value, flag, text

PIN_PATH = Argument("path", "CID or path to an object", Input.TEXT_OR_STDIN, variadic=True)


class PinsChanged(TypedDict):
    Pins: list[str]
    Progress: NotRequired[int]
    """Blocks walked so far; such a value has an empty Pins."""


class PinLine(TypedDict):
    Cid: str
    Type: str
    Name: NotRequired[str]


class PinKey(TypedDict):
    Type: str
    Name: NotRequired[str]


class PinKeys(TypedDict):
    Keys: dict[str, PinKey]


def _added(value: Value, call: Call) -> str:
    mode = "recursively" if call.flag("recursive") else "directly"
    return "".join(f"pinned {cid} {mode}\n" for cid in value["Pins"] or ())


def _removed(value: Value, call: Call) -> str:
    return "".join(f"unpinned {cid}\n" for cid in value["Pins"])


def _line(cid: str, pin: Value, call: Call) -> str:
    if call.flag("quiet"):
        return f"{cid}\n"
    return f"{cid} {pin['Type']} {pin['Name']}\n" if pin.get("Name") else f"{cid} {pin['Type']}\n"


def _listed(value: Value, call: Call) -> str:
    if "Keys" in value:
        return "".join(_line(cid, pin, call) for cid, pin in value["Keys"].items())
    return _line(value["Cid"], value, call)


COMMANDS = (
    Command(
        ("pin", "add"),
        "Keep objects, fetching what is missing",
        "cidery.commands.run.pin:add",
        "cidery pin add bafy...",
        (PIN_PATH,),
        (
            flag("recursive", "Pin everything below too", default=True, short="r"),
            text("name", "Name of the pin", short="n"),
            flag("progress", "Report progress"),
        ),
        Output.STREAM,
        result=PinsChanged,
        text=_added,
        progress=True,
    ),
    Command(
        ("pin", "ls"),
        "List pinned objects",
        "cidery.commands.run.pin:ls",
        "cidery pin ls --type=recursive",
        (Argument("path", "Only these objects", Input.TEXT, required=False, variadic=True),),
        (
            text("type", "Which pins", default="all", short="t", choices=("all", "direct", "indirect", "recursive")),
            flag("quiet", "Print CIDs only", short="q"),
            text("name", "Only pins whose name contains this", short="n"),
            flag("names", "Include the names"),
            flag("stream", "Print pins as they are found", short="s"),
        ),
        Output.STREAM,
        result=PinKeys,
        text=_listed,
        repo=Repo.READ,
    ),
    Command(
        ("pin", "rm"),
        "Stop keeping objects",
        "cidery.commands.run.pin:rm",
        "cidery pin rm bafy...",
        (PIN_PATH,),
        (flag("recursive", "Remove recursive pins", default=True, short="r"),),
        result=PinsChanged,
        text=_removed,
    ),
)
