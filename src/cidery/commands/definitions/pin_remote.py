"""Definitions of pin remote: what services are asked to keep."""

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
    text,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NotRequired, TypedDict
else:
    from cidery.light_types import TypedDict


class RemotePin(TypedDict):
    Status: str
    """queued, pinning, pinned or failed."""
    Cid: str
    Name: str
    Progress: NotRequired[int]
    """Seconds waited so far; the last value has none."""
    Details: NotRequired[str]
    """What the service says about it, with Progress."""


class PinCount(TypedDict):
    Queued: int
    Pinning: int
    Pinned: int
    Failed: int


class ServiceStat(TypedDict):
    Status: str
    """valid, or invalid: it did not answer as a service does, or did not accept the key."""
    PinCount: NotRequired[PinCount]


class RemoteService(TypedDict):
    Service: str
    ApiEndpoint: str
    Stat: NotRequired[ServiceStat]


class RemoteServices(TypedDict):
    RemoteServices: list[RemoteService]


def _added(value: Value, call: Call) -> str:
    if "Progress" in value:
        return ""
    return f"CID:    {value['Cid']}\nName:   {value['Name']}\nStatus: {value['Status']}\n"


def _services(value: Value, call: Call) -> str:
    services = value["RemoteServices"]
    name = max((len(one["Service"]) for one in services), default=0)
    endpoint = max((len(one["ApiEndpoint"]) for one in services), default=0)
    return "".join(
        f"{one['Service']:<{name}} {one['ApiEndpoint']:<{endpoint}} {_stat(one['Stat'])}\n"
        if "Stat" in one
        else f"{one['Service']:<{name}} {one['ApiEndpoint']}\n"
        for one in services
    )


def _stat(stat: Value) -> str:
    counts = stat.get("PinCount")
    return "/".join(str(counts[one]) for one in ("Queued", "Pinning", "Pinned", "Failed")) if counts else stat["Status"]


_SERVICE = text("service", "Name of the service (mandatory)")
_STATUS = Option(
    "status",
    OptionType.TEXTS,
    "Only pins in these states (queued, pinning, pinned, failed; with commas between them)",
    ["pinned"],
)
_FILTERS = (
    _SERVICE,
    text("name", "Only pins with this name"),
    Option("cid", OptionType.TEXTS, "Only pins of these CIDs (with commas between them)"),
    _STATUS,
)
COMMANDS = (
    Command(
        ("pin", "remote", "add"),
        "Ask a service to pin an object, and wait until it has",
        "cidery.commands.run.pin_remote:add",
        "cidery pin remote add --service=mysrv --name=photos bafy...",
        (Argument("ipfs-path", "CID or path to the object"),),
        (
            _SERVICE,
            text("name", "Name of the pin"),
            flag("background", "Return when the service has the request, without waiting for the pin"),
            flag("progress", "Report progress"),
        ),
        Output.STREAM,
        result=RemotePin,
        text=_added,
        repo=Repo.READ,
        progress=True,
        description="The service is told this node's addresses if the object is stored here, and this node connects\n"
        "to the peers that the service names. Ctrl-C ends the waiting only: the service continues.",
    ),
    Command(
        ("pin", "remote", "ls"),
        "List what a service pins",
        "cidery.commands.run.pin_remote:ls",
        "cidery pin remote ls --service=mysrv --status=queued,pinning,pinned,failed",
        options=_FILTERS,
        output=Output.STREAM,
        result=RemotePin,
        text=lambda value, call: f"{value['Cid']}\t{value['Status']}\t{value['Name']}\n",
        repo=Repo.CONFIG,
        waits=True,
    ),
    Command(
        ("pin", "remote", "rm"),
        "Remove pins from a service",
        "cidery.commands.run.pin_remote:rm",
        "cidery pin remote rm --service=mysrv --cid=bafy...",
        options=(*_FILTERS, flag("force", "Remove all pins that match, if there are several")),
        output=Output.NOTHING,
        repo=Repo.CONFIG,
        waits=True,
        description="Takes the options of `pin remote ls`; list first what would go.",
    ),
    Command(
        ("pin", "remote", "service", "add"),
        "Add a service, and its key",
        "cidery.commands.run.pin_remote_service:add",
        "cidery pin remote service add mysrv https://pin-api.example.com KEY",
        (
            Argument("service", "Name of your own for it"),
            Argument("endpoint", "Its URL, without /pins"),
            Argument("key", "The key that it gave you", Input.TEXT_OR_STDIN, secret=True),
        ),
        output=Output.NOTHING,
        repo=Repo.CONFIG,
        description="Both are kept in the config (Pinning.RemoteServices); the key is never printed. Without KEY it\n"
        "is read from standard input: other users of this machine can see the arguments of a command.",
    ),
    Command(
        ("pin", "remote", "service", "ls"),
        "List the services",
        "cidery.commands.run.pin_remote_service:ls",
        "cidery pin remote service ls --stat",
        options=(flag("stat", "Ask each how many pins it has (queued/pinning/pinned/failed)"),),
        result=RemoteServices,
        text=_services,
        repo=Repo.CONFIG,
        waits=True,
    ),
    Command(
        ("pin", "remote", "service", "rm"),
        "Remove a service, and its key; what it pins stays there",
        "cidery.commands.run.pin_remote_service:rm",
        "cidery pin remote service rm mysrv",
        (Argument("service", "Name of the service"),),
        output=Output.NOTHING,
        repo=Repo.CONFIG,
    ),
)
