"""Definitions of init, daemon, shutdown, version, commands and help."""

from __future__ import annotations

from cidery.commands.definition import (
    BY_COMMAND_LINE,
    Argument,
    Call,
    Command,
    Input,
    OptionType,
    Output,
    Repo,
    Value,
    Where,
    flag,
    ignored,
    number,
    text,
)
from cidery.commands.definitions.config import PROFILES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypedDict
else:
    from cidery.light_types import TypedDict


class Version(TypedDict):
    Version: str
    Commit: str
    Repo: str
    """Number of the repository format."""
    System: str
    Golang: str
    """The interpreter; the field keeps Kubo's name."""


class CommandNode(TypedDict):
    Name: str
    Subcommands: list[Any]
    """CommandNode, nested."""
    Options: list[dict[str, list[str]]]


class Dependency(TypedDict):
    """A package; the fields keep Kubo's names."""

    Path: str
    Version: str
    ReplacedBy: str
    Sum: str


class Script(TypedDict):
    Script: str


def _version(value: Value, call: Call) -> str:
    if call.flag("number"):
        return f"{value['Version']}\n"
    if call.flag("all"):
        return (
            f"cidery version: {value['Version']}\nRepo version: {value['Repo']}\n"
            f"System version: {value['System']}\nPython version: {value['Golang'].removeprefix('python')}\n"
        )
    if call.flag("repo"):
        return f"{value['Repo']}\n"
    commit = f"-{value['Commit']}" if call.flag("commit") and value["Commit"] else ""
    return f"cidery version {value['Version']}{commit}\n"


def _commands(value: Value, call: Call) -> str:
    lines: list[str] = []
    stack: list[tuple[str, Value]] = [("", value)]
    while stack:
        prefix, node = stack.pop()
        name = f"{prefix} {node['Name']}".strip()
        lines.append(name)
        if call.flag("flags"):
            flags = [flag for option in node["Options"] for flag in option["Names"]]
            lines += [f"{name} {'-' if len(flag) == 1 else '--'}{flag}" for flag in flags]
        stack += [(name, child) for child in reversed(node["Subcommands"])]
    return "".join(line + "\n" for line in lines)


def _description(value: Value, call: Call) -> str:
    import json

    return json.dumps(value, indent=1) + "\n"


KEY_TYPES = ("ed25519", "rsa", "secp256k1")
COMMANDS = (
    Command(
        ("init",),
        "Create the repository: identity and config",
        BY_COMMAND_LINE,
        "cidery init",
        (Argument("default-config", "Config to start from (JSON)", Input.FILES, required=False),),
        (
            text("profile", "Config profiles to apply, separated by commas", short="p"),
            text("algorithm", "Kind of the key", default="ed25519", short="a", choices=KEY_TYPES),
            number("bits", "Bits of an RSA key", short="b"),
            flag(
                "empty-repo", "Accepted for Kubo's scripts; the repository always starts empty", default=True, short="e"
            ),
        ),
        Output.STREAM,
        text=lambda value, call: f"{value['Message']}\n",
        waits=True,
        where=Where.CLIENT,
        repo=Repo.NONE,
        description=f"{PROFILES}\nAn existing repository is never changed.",
    ),
    Command(
        ("daemon",),
        "Run the node until it is stopped",
        BY_COMMAND_LINE,
        "cidery daemon --init",
        options=(
            flag("init", "Create the repository if there is none"),
            text("init-profile", "Config profiles for --init, separated by commas"),
            text(
                "routing",
                "Instead of Routing.Type in this run",
                default="default",
                choices=("default", "auto", "autoclient", "dht", "dhtclient", "dhtserver", "none"),
            ),
            flag("lan", "Keep to the local networks: nodes there find each other, nothing goes outside"),
            flag(
                "expose-api",
                "Let every machine that reaches Addresses.API command this node, read its config, change its files",
            ),
            text("init-config", "Config to start from with --init (JSON)"),
            flag("disable-transport-encryption", "Refused: connections are always encrypted"),
            ignored("agent-version-suffix", "the agent version is always cidery/VERSION", type=OptionType.TEXT),
            ignored("unrestricted-api", "the port of the RPC answers commands only; content is on the gateway's"),
            ignored("manage-fdlimit", "the limit on open files is always raised as far as possible"),
            flag("enable-pubsub-experiment", "Instead of Pubsub.Enabled in this run: take part in pubsub"),
            flag(
                "enable-namesys-pubsub", "Instead of Ipns.UsePubsub in this run: pass records of names by pubsub, too"
            ),
            ignored("enable-mplex-experiment", "mplex is not supported"),
            ignored("mount", "nothing is mounted; see: cidery files, cidery get"),
            *(
                ignored(name, "nothing is mounted", type=OptionType.TEXT)
                for name in ("mount-ipfs", "mount-ipns", "mount-mfs")
            ),
            flag("migrate", "Accepted for Kubo's scripts; nothing needs migrating yet", default=True),
            flag("enable-gc", "Collect garbage each Datastore.GCPeriod when the store is nearly full"),
        ),
        output=Output.NOTHING,
        where=Where.CLIENT,
        description="Stops at Ctrl-C, SIGTERM or `cidery shutdown`.",
    ),
    Command(
        ("shutdown",),
        "Stop the running daemon",
        "cidery.commands.run.network:shutdown",
        "cidery shutdown",
        output=Output.NOTHING,
        where=Where.DAEMON,
        description="Returns when the daemon has given the repository back, which takes some seconds at most.",
    ),
    Command(
        ("version",),
        "Print the version",
        "cidery.commands.run.version:version",
        "cidery version --number",
        options=(
            flag("number", "Print the number only", short="n"),
            flag("commit", "Include the commit"),
            flag("repo", "Print the number of the repository format"),
            flag("all", "Print all details"),
        ),
        result=Version,
        text=_version,
        repo=Repo.NONE,
    ),
    Command(
        ("commands",),
        "List all commands",
        "cidery.commands.run.version:commands",
        "cidery commands --flags",
        options=(flag("flags", "Show the options", short="f"),),
        result=CommandNode,
        text=_commands,
        repo=Repo.NONE,
    ),
    Command(
        ("version", "deps"),
        "List the packages that this program depends on",
        "cidery.commands.run.version:deps",
        "cidery version deps",
        output=Output.STREAM,
        result=Dependency,
        text=lambda value, call: f"{value['Path']}@{value['Version']}\n",
        repo=Repo.NONE,
    ),
    Command(
        ("commands", "openapi"),
        "Print the OpenAPI description of the RPC",
        "cidery.commands.run.version:openapi",
        "cidery commands openapi > openapi.json",
        result=dict,
        text=_description,
        verbatim=True,
        repo=Repo.NONE,
        description="For generators of clients, and tools that show or test an API.",
    ),
    *(
        Command(
            ("commands", "completion", shell),
            f"Print a script that completes commands and options in {shell}",
            "cidery.commands.run.version:completion",
            f"cidery commands completion {shell}",
            result=Script,
            text=lambda value, call: str(value["Script"]),
            verbatim=True,
            where=Where.CLIENT,
            repo=Repo.NONE,
            description=how,
        )
        for shell, how in (
            ("bash", "In ~/.bashrc: source <(cidery commands completion bash)"),
            ("fish", "cidery commands completion fish > ~/.config/fish/completions/cidery.fish"),
            ("zsh", "In ~/.zshrc, after compinit: source <(cidery commands completion zsh)"),
        )
    ),
    Command(
        ("help",),
        "Show help for a command",
        BY_COMMAND_LINE,
        "cidery help add",
        (Argument("command", "Words of the command", required=False, variadic=True),),
        output=Output.NOTHING,
        where=Where.CLIENT,
        repo=Repo.NONE,
    ),
)
