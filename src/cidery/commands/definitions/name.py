"""Definitions of the name group."""

from __future__ import annotations

from cidery.commands.definition import (
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
    number,
    text,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NotRequired, TypedDict
else:
    from cidery.light_types import TypedDict

_BASE = text("ipns-base", "Multibase of the name; b58mh: the older form", default="base36", alias="ipns-base-encoding")
_NAME = Argument("name", "IPNS name (k51...) or peer id, with or without /ipns/")
_OFFLINE = flag("allow-offline", "Also without a network: it is stored here and published when there is one")


class NameEntry(TypedDict):
    Name: str
    Value: str
    Warnings: NotRequired[list[str]]
    """Routers that could not be reached, or that no peer took the record: it is stored, and publishing is retried."""


class NamePath(TypedDict):
    Path: str


class InspectedEntry(TypedDict):
    Value: str
    ValidityType: int
    Validity: str
    Sequence: int
    TTL: int
    """Nanoseconds."""


class Validation(TypedDict):
    Valid: bool
    Reason: str
    Name: str


class Inspected(TypedDict):
    Entry: InspectedEntry
    PbSize: int
    SignatureType: str
    HexDump: NotRequired[str]
    Validation: NotRequired[Validation]


class Followed(TypedDict):
    Name: str
    Value: str
    Validity: str


class FollowedNames(TypedDict):
    Names: list[Followed]


def _published(value: Value, call: Call) -> str:
    if call.flag("quieter"):
        return f"{value['Name']}\n"
    warnings = "".join(f"warning: {line}\n" for line in value.get("Warnings", ()))
    return f"Published to {value['Name']}: {value['Value']}\n{warnings}"


def _path(value: Value, call: Call) -> str:
    return f"{value['Path']}\n"


def _inspected(value: Value, call: Call) -> str:
    entry = value["Entry"]
    lines = [
        f"Value:          {entry['Value']}",
        "Validity Type:  EOL",
        f"Validity:       {entry['Validity']}",
        f"Sequence:       {entry['Sequence']}",
        f"TTL:            {entry['TTL'] / 1e9:g}s",
        f"Protobuf Size:  {value['PbSize']}",
        f"Signature Type: {value['SignatureType']}",
    ]
    if (checked := value.get("Validation")) is not None:
        lines += ["", "Validation results:", f"  Valid:     {str(checked['Valid']).lower()}"]
        lines += [f"  Reason:    {checked['Reason']}"] if checked["Reason"] else []
        lines.append(f"  Name:      {checked['Name']}")
    if value.get("HexDump"):
        lines += ["", value["HexDump"]]
    return "\n".join(lines) + "\n"


def _put(value: Value, call: Call) -> str:
    return "" if call.flag("quiet") else f"Published record of {value['Name']}: {value['Value']}\n"


def _followed(value: Value, call: Call) -> str:
    return "".join(f"{one['Name']} {one['Value']} until {one['Validity']}\n" for one in value["Names"])


COMMANDS = (
    Command(
        ("name", "publish"),
        "Make a name point to content",
        "cidery.commands.run.name:publish",
        "cidery name publish /ipfs/bafy...",
        (Argument("ipfs-path", "Path that the name points to: /ipfs/CID, or another name", Input.TEXT_OR_STDIN),),
        (
            text("key", "Key that owns the name", default="self", short="k"),
            flag("resolve", "Check first that the path leads to something", default=True),
            Option("lifetime", OptionType.DURATION, "How long the record lives (48h)", short="t"),
            Option("ttl", OptionType.DURATION, "How long readers rely on it without asking again (5m)"),
            flag("quieter", "Print the name only", short="Q"),
            flag("v1compat", "Add the fields that readers of before 2022 need", default=True),
            _OFFLINE,
            flag("allow-delegated", "Also where only HTTP routers can be reached"),
            number("sequence", "Sequence of the record; the next one if absent"),
            _BASE,
        ),
        result=NameEntry,
        text=_published,
    ),
    Command(
        ("name", "resolve"),
        "Print what a name points to",
        "cidery.commands.run.name:resolve",
        "cidery name resolve k51...",
        (Argument("name", "IPNS name or domain; this node's own if absent", required=False),),
        (
            flag("recursive", "Follow names that point to other names", default=True, short="r"),
            flag("nocache", "Ask the network, even if an answer is cached", short="n"),
            number("dht-record-count", "Number of answers from peers to wait for", default=16, alias="dhtrc"),
            Option("dht-timeout", OptionType.DURATION, "Longest search (1m)", alias="dhtt"),
            flag("stream", "Print better records as they are found", short="s"),
        ),
        Output.STREAM,
        result=NamePath,
        text=_path,
        repo=Repo.READ,
    ),
    Command(
        ("name", "inspect"),
        "Show the fields of a record",
        "cidery.commands.run.name:inspect",
        "cidery name get k51... | cidery name inspect --verify=k51...",
        (Argument("record", "File with the record; standard input if absent", Input.FILE_OR_STDIN),),
        (text("verify", "Name whose record it should be"), flag("dump", "Also in hexadecimal", default=True)),
        result=Inspected,
        text=_inspected,
        repo=Repo.NONE,
    ),
    Command(
        ("name", "get"),
        "Write the record of a name",
        "cidery.commands.run.name:get",
        "cidery name get k51... > website.ipns-record",
        (_NAME,),
        output=Output.BYTES,
        media_type="application/vnd.ipfs.ipns-record",
        repo=Repo.READ,
    ),
    Command(
        ("name", "put"),
        "Publish a record that its owner has signed",
        "cidery.commands.run.name:put",
        "cidery name put k51... website.ipns-record",
        (_NAME, Argument("record", "File with the record; standard input if absent", Input.FILE_OR_STDIN)),
        (
            flag("force", "Even if a newer one is known", short="f"),
            _OFFLINE,
            flag("allow-delegated", "Also where only HTTP routers can be reached"),
            flag("quiet", "Print nothing", short="q"),
        ),
        result=NameEntry,
        text=_put,
    ),
    Command(
        ("name", "follow"),
        "Keep somebody else's name alive by republishing its newest record",
        "cidery.commands.run.name:follow",
        "cidery name follow k51...",
        (_NAME,),
        (_BASE,),
        result=NameEntry,
        text=lambda value, call: f"following {value['Name']}: {value['Value']}\n",
    ),
    Command(
        ("name", "unfollow"),
        "Stop keeping a name alive",
        "cidery.commands.run.name:unfollow",
        "cidery name unfollow k51...",
        (_NAME,),
        (_BASE,),
        result=NameEntry,
        text=lambda value, call: f"no longer following {value['Name']}\n",
    ),
    Command(
        ("name", "ls"),
        "List the names that are kept alive for others",
        "cidery.commands.run.name:ls",
        "cidery name ls",
        (),
        (_BASE,),
        result=FollowedNames,
        text=_followed,
        repo=Repo.READ,
    ),
)
