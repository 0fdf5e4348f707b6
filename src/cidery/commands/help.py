"""Help texts, derived from the definitions."""

from collections.abc import Sequence

from cidery.commands.bind import usage
from cidery.commands.definition import GLOBAL_OPTIONS, Command, Option, OptionType, Where
from cidery.commands.registry import SUMMARIES, subcommands

_VALUE_WORDS = {OptionType.INT: "N", OptionType.TEXT: "TEXT", OptionType.TEXTS: "TEXT", OptionType.DURATION: "TIME"}
_COLUMN = 28
ROOMS = (
    ("Content", ("add", "get", "cat", "ls", "refs", "resolve", "why", "files", "pin", "name", "key")),
    ("Blocks, nodes and archives", ("block", "dag", "cid", "multibase", "filestore")),
    (
        "The node",
        (
            *("init", "daemon", "ui", "service", "shutdown", "status", "doctor", "id", "config", "denylist", "jobs"),
            *("log", "diag", "repo", "stats", "version", "install-as"),
        ),
    ),
    ("The network", ("swarm", "ping", "bitswap", "routing", "provide", "bootstrap", "dht", "gateway", "pubsub")),
    ("Help", ("help", "commands")),
)
"""The groups of ``cidery --help`` and their titles."""
UNLISTED = ("mount", "object", "p2p", "update")
"""First words that it leaves out: they are for Kubo's scripts, or only say that they are not here."""


def _option_line(option: Option) -> str:
    names = ", ".join(
        [f"-{option.short}"] * bool(option.short) + [f"--{name}" for name in (option.name, option.alias) if name]
    )
    if option.type is not OptionType.BOOL:
        names += f" {_VALUE_WORDS[option.type]}"
    notes = option.help
    if option.choices:
        notes += f" [{', '.join(option.choices)}]"
    if option.default not in (None, False, ""):
        default = str(option.default).lower() if isinstance(option.default, bool) else option.default
        if option.type is OptionType.DURATION:
            default = f"{option.default:g}s"
        notes += f" (default: {default})"
    if option.deprecated:
        notes += f" (deprecated: use {option.deprecated})"
    return _row(names, notes)


def _row(left: str, right: str) -> str:
    return f"  {left:<{_COLUMN}}  {right}" if len(left) <= _COLUMN else f"  {left}\n  {'':<{_COLUMN}}  {right}"


def command_help(command: Command) -> str:
    """The text of ``cidery COMMAND --help``."""
    lines = [f"{command.summary}.", "", f"Usage: {usage(command)}"]
    if command.description:
        lines += ["", command.description]
    if command.deprecated:
        lines += ["", f"Deprecated: use {command.deprecated}"]
    if command.where is Where.DAEMON:
        lines += ["", "Needs a running daemon (cidery daemon)."]
    if command.arguments:
        lines += ["", "Arguments:", *(_row(f"<{arg.name}>", arg.help) for arg in command.arguments)]
    if command.options:
        lines += ["", "Options:", *map(_option_line, command.options)]
    lines += ["", "Example:", f"  {command.example}"]
    if below := subcommands(command.path):
        lines += ["", "Subcommands:", *(_row(f"cidery {child.name}", child.summary) for child in below)]
    lines += ["", "Options of every command: cidery help"]
    return "\n".join(lines) + "\n"


def group_help(prefix: Sequence[str]) -> str:
    """The text of ``cidery GROUP --help``."""
    name = " ".join(prefix)
    lines = [f"{SUMMARIES.get(name, 'Commands')}.", "", f"Usage: cidery {name} <command>", "", "Commands:"]
    lines += [_row(f"cidery {child.name}", child.summary) for child in subcommands(prefix)]
    lines += ["", f"Help for one: cidery {name} <command> --help"]
    return "\n".join(lines) + "\n"


def root_help() -> str:
    """The text of ``cidery --help``."""
    lines = ["Cidery, an IPFS node.", "", "Usage: cidery <command> [arguments] [options]", "", "Start here:"]
    start = ("cidery init", "cidery daemon", "cidery add -r photos", "cidery get <cid>")
    lines += [f"  {line}" for line in start]
    for title, words in ROOMS:
        lines += ["", f"{title}:", *(_row(word, SUMMARIES[word]) for word in words)]
    lines += ["", "Options of every command:", *map(_option_line, GLOBAL_OPTIONS)]
    lines += ["", "Its subcommands, options and an example: cidery <command> --help. All at once: cidery commands"]
    return "\n".join(lines) + "\n"
