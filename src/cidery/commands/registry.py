"""All commands by name. A group's definitions are imported when one of its names is looked up."""

from __future__ import annotations

from importlib import import_module

from cidery.commands.definition import Command
from cidery.errors import InvalidInput

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NamedTuple
else:
    from cidery.light_types import NamedTuple

_MODULES = {
    "add": "content", "cat": "content", "get": "content", "ls": "content", "refs": "content", "block": "block",
    "dag": "dag", "denylist": "denylist", "resolve": "dag", "cid": "cid", "multibase": "cid", "files": "files",
    "filestore": "filestore", "gateway": "gateway", "jobs": "jobs", "log": "log",
    "pin": "pin pin_remote", "repo": "repo", "stats": "repo bandwidth network routing provide", "config": "config",
    "bootstrap": "config", "key": "key", "name": "name pubsub later", "diag": "diag later", "doctor": "machine",
    "install-as": "machine",
    "bitswap": "network provide", "ping": "network", "id": "network",
    "init": "life", "daemon": "life", "shutdown": "life", "ui": "machine", "service": "machine",
    "status": "status", "swarm": "network filters status",
    "routing": "routing provide", "dht": "routing provide", "provide": "provide",
    "why": "why", "version": "life later", "mount": "later", "object": "objects later", "p2p": "later",
    "pubsub": "pubsub", "update": "later", "commands": "life", "help": "life",
}  # fmt: skip
"""First word -> modules in commands/definitions, each with a tuple COMMANDS."""

SUMMARIES = {
    "add": "Add a file or a folder and print its CID",
    "bitswap": "The block exchange",
    "block": "Work with raw blocks",
    "bootstrap": "The peers by which a node joins the network",
    "cat": "Print the contents of files",
    "cid": "Convert and understand CIDs",
    "commands": "List all commands",
    "config": "Print or set a value of the config",
    "config profile": "Apply profiles to the config",
    "daemon": "Run the node until it is stopped",
    "dag": "Work with nodes of any codec, and with CAR archives",
    "denylist": "What this node neither fetches nor serves",
    "diag": "Find out what goes wrong",
    "dht": "The distributed hash table",
    "doctor": "Look for what keeps a node on this machine from working well, and say what to do",
    "files": "Work with mutable files",
    "filestore": "Blocks whose data stays in your files (add --nocopy)",
    "gateway": "HTTP gateways, of this program or any other",
    "get": "Save a file or folder to disk",
    "help": "Show help for a command",
    "id": "Print this node's identity, or a peer's",
    "init": "Create the repository: identity and config",
    "install-as": "Make a command of another name that runs cidery, for scripts written for Kubo",
    "jobs": "List long operations: running, interrupted and finished ones",
    "key": "Keys, each of which owns a name",
    "log": "What the daemon logs",
    "ls": "List a directory",
    "mount": "Not here: it only says what to do instead",
    "multibase": "Bytes as text in any base",
    "name": "Names that can change what they point to (IPNS)",
    "object": "Change links of nodes (deprecated)",
    "p2p": "Connections of other programs (not available yet)",
    "pin": "Keep content from being collected as garbage",
    "pin remote": "Ask services to keep content",
    "pin remote service": "The services that are asked",
    "ping": "Measure the round trip to a peer",
    "provide": "Announcing what this node has",
    "pubsub": "Messages to the listeners of a topic",
    "refs": "List the links of an object",
    "repo": "Look at and check the repository",
    "resolve": "Print the CID that a path leads to",
    "routing": "Find content, peers and records",
    "service": "Have the system start the daemon at login",
    "shutdown": "Stop the running daemon",
    "stats": "Statistics",
    "status": "Show how the node is: peers, traffic, space, budgets, and what needs attention",
    "swarm": "Connections to peers",
    "ui": "Open the web page of the node in the browser, and start the daemon if none runs",
    "update": "Not here: it only says what to do instead",
    "version": "Print the version",
    "why": "Explain the state of a CID: stored, announced, reachable; who has it, where it stalls, what to do",
}
"""First words and other groups -> summary; those of commands must equal their definitions, which a test checks."""


class UnknownCommand(InvalidInput):
    """No command has this name."""

    def __init__(self, words: str, near: str = "") -> None:
        super().__init__(words, near)
        self.words = words
        self.near = near

    def __str__(self) -> str:
        advice = f"did you mean {self.near!r}?" if self.near else "see: cidery help"
        return f"unknown command {self.words[:80]!r}; {advice}"


class Found(NamedTuple):
    """A command and how many words of the line named it."""

    command: Command
    words: int


def _module_commands(modules: str) -> list[Command]:
    return [
        command
        for module in modules.split()
        for command in import_module(f"cidery.commands.definitions.{module}").COMMANDS
    ]


def all_commands() -> list[Command]:
    """Every command, sorted by name. Imports all definitions."""
    modules = {module for names in _MODULES.values() for module in names.split()}
    found = _module_commands(" ".join(sorted(modules)))
    return sorted(found, key=lambda command: command.path)


def first_words() -> list[str]:
    return sorted(_MODULES)


def subcommands(prefix: Sequence[str]) -> list[Command]:
    """Commands below a group by all of their names, sorted; empty if there is no such group."""
    words = tuple(prefix)
    if not words or words[0] not in _MODULES:
        return []
    below = [
        command._replace(path=path)
        for command in _module_commands(_MODULES[words[0]])
        for path in (command.path, *command.aliases)
        if path[: len(words)] == words and path != words
    ]
    return sorted(below, key=lambda command: command.path)


def find(words: Sequence[str]) -> Found | None:
    """The command with the longest path (or alias) that starts ``words``; the rest are its arguments."""
    if not words or words[0] not in _MODULES:
        return None
    best: Found | None = None
    for command in _module_commands(_MODULES[words[0]]):
        for path in (command.path, *command.aliases):
            if tuple(words[: len(path)]) == path and (best is None or len(path) > best.words):
                best = Found(command, len(path))
    return best


def suggest(words: Sequence[str]) -> UnknownCommand:
    """The error for words that name no command, with the nearest name."""
    from difflib import get_close_matches

    names = [command.name for command in all_commands()] + first_words()
    text = " ".join(words[:3])
    for wanted in (text, " ".join(words[:2]), words[0]):
        for near in get_close_matches(wanted, names, n=1, cutoff=0.6):
            if get_close_matches(words[0], [near, near.split()[0]], cutoff=0.6):  # not only what follows is alike
                return UnknownCommand(wanted, near)
    return UnknownCommand(words[0])
