"""Definitions of config and bootstrap."""

from __future__ import annotations

from cidery.commands.definition import (
    BY_COMMAND_LINE,
    Argument,
    Call,
    Command,
    Input,
    Output,
    Repo,
    Value,
    Where,
    flag,
    ignored,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypedDict
else:
    from cidery.light_types import TypedDict

PROFILES = """Profiles: test, server, lan, lowpower, data, local-discovery, default-networking, randomports,
announce-on, announce-off, unixfs-v1-2025, unixfs-v0-2015 (also named legacy-cid-v0)."""


class ConfigField(TypedDict):
    Key: str
    Value: Any


class ProfileApplied(TypedDict):
    OldCfg: dict[str, Any]
    NewCfg: dict[str, Any]


class Peers(TypedDict):
    Peers: list[str]


def _json(value: object) -> str:
    import json

    return json.dumps(value, indent=2) + "\n"


def _field(value: Value, call: Call) -> str:
    if call.optional("value") is not None:
        return ""
    return f"{value['Value']}\n" if isinstance(value["Value"], str) else _json(value["Value"])


def _show(value: Value, call: Call) -> str:
    return _json(dict(value))


def _applied(value: Value, call: Call) -> str:
    import difflib

    old, new = (_json(value[name]).splitlines() for name in ("OldCfg", "NewCfg"))
    return "".join(f"{line}\n" for line in difflib.unified_diff(old, new, "before", "after", lineterm="", n=1))


def _peers(value: Value, call: Call) -> str:
    return "".join(f"{peer}\n" for peer in value["Peers"])


def _peers_added(value: Value, call: Call) -> str:
    return "".join(f"added {peer}\n" for peer in value["Peers"])


def _peers_removed(value: Value, call: Call) -> str:
    return "".join(f"removed {peer}\n" for peer in value["Peers"])


_PEERS = Argument("peer", "Address with the peer id: /ip4/1.2.3.4/tcp/4001/p2p/12D3Koo...", Input.TEXT_OR_STDIN)

_EXPAND = flag("expand-auto", "Show what `auto` stands for")
COMMANDS = (
    Command(
        ("config",),
        "Print or set a value of the config",
        "cidery.commands.run.config:config",
        "cidery config Datastore.StorageMax 20GB",
        (
            Argument("key", "Name of the value, as Addresses.API"),
            Argument("value", "New value; printed if absent", required=False),
        ),
        (flag("bool", "The value is true or false"), flag("json", "The value is JSON"), _EXPAND),
        result=ConfigField,
        repo=Repo.CONFIG,
        text=_field,
        verbatim=True,
        description="Changes take effect when the daemon starts. The private key is never shown or set here.",
    ),
    Command(
        ("config", "show"),
        "Print the config without the private key",
        "cidery.commands.run.config:show",
        "cidery config show",
        options=(_EXPAND,),
        result=dict,
        repo=Repo.CONFIG,
        text=_show,
        verbatim=True,
    ),
    Command(
        ("config", "edit"),
        "Open the config in $EDITOR, and check it afterwards",
        BY_COMMAND_LINE,
        "cidery config edit",
        output=Output.NOTHING,
        where=Where.CLIENT,
        repo=Repo.CONFIG,
    ),
    Command(
        ("config", "replace"),
        "Replace the config with a file; the identity stays",
        "cidery.commands.run.config_change:replace",
        "cidery config replace new-config.json",
        (Argument("file", "JSON file", Input.FILE_OR_STDIN),),
        output=Output.NOTHING,
        repo=Repo.CONFIG,
    ),
    Command(
        ("config", "profile", "apply"),
        "Apply a profile to the config",
        "cidery.commands.run.config_change:profile_apply",
        "cidery config profile apply server",
        (Argument("profile", "One of those below"),),
        (flag("dry-run", "Show what would change"),),
        result=ProfileApplied,
        repo=Repo.CONFIG,
        text=_applied,
        verbatim=True,
        description=f"{PROFILES}\nThe old config is kept in the same directory, as config-pre-PROFILE-....",
    ),
    Command(
        ("bootstrap", "list"),
        "List the peers that are dialled first",
        "cidery.commands.run.bootstrap:bootstrap_list",
        "cidery bootstrap list",
        options=(ignored("expand-auto", "`auto` is always expanded"),),
        result=Peers,
        repo=Repo.CONFIG,
        text=_peers,
        aliases=(("bootstrap",),),
    ),
    Command(
        ("bootstrap", "add"),
        "Add peers that are dialled first",
        "cidery.commands.run.bootstrap:bootstrap_add",
        "cidery bootstrap add /ip4/192.0.2.1/tcp/4001/p2p/12D3KooW...",
        (_PEERS._replace(variadic=True),),
        result=Peers,
        repo=Repo.CONFIG,
        text=_peers_added,
    ),
    Command(
        ("bootstrap", "rm", "all"),
        "Remove all peers that are dialled first",
        "cidery.commands.run.bootstrap:bootstrap_rm_all",
        "cidery bootstrap rm all",
        result=Peers,
        repo=Repo.CONFIG,
        text=_peers_removed,
    ),
    Command(
        ("bootstrap", "rm"),
        "Remove peers that are dialled first",
        "cidery.commands.run.bootstrap:bootstrap_rm",
        "cidery bootstrap rm --all",
        (_PEERS._replace(required=False, variadic=True, unless="all"),),
        (flag("all", "Remove every peer"),),
        result=Peers,
        repo=Repo.CONFIG,
        text=_peers_removed,
    ),
)
