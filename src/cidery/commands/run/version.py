"""version and commands: all data is at hand, so they import next to nothing."""

from __future__ import annotations

import sys

from cidery.commands.context import Context
from cidery.commands.definition import Call
from cidery.commands.definitions.life import CommandNode, Dependency, Script, Version
from cidery.commands.registry import all_commands
from cidery.version import REPO_FORMAT, __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from typing import Any

_MACHINES = {"x86_64": "amd64", "AMD64": "amd64", "aarch64": "arm64"}
"""Go's names, which scripts written for Kubo compare with."""


def _system() -> str:
    if sys.platform == "win32":
        return "windows"
    import os

    info = os.uname()
    return f"{_MACHINES.get(info.machine, info.machine)}/{info.sysname.lower()}"


async def version(context: Context, call: Call) -> Version:
    python = ".".join(str(part) for part in sys.version_info[:3])
    return Version(Version=__version__, Commit="", Repo=str(REPO_FORMAT), System=_system(), Golang=f"python{python}")


async def deps(context: Context, call: Call) -> AsyncIterator[Dependency]:
    """The installed dependencies of the package."""
    import re
    from importlib.metadata import PackageNotFoundError, requires
    from importlib.metadata import version as version_of

    for one in sorted(requires("cidery") or ()):
        name = re.split(r"[^A-Za-z0-9._-]", one, maxsplit=1)[0]
        try:
            found = version_of(name)
        except PackageNotFoundError:
            continue  # an extra that is not installed
        yield Dependency(Path=name, Version=found, ReplacedBy="", Sum="")


async def completion(context: Context, call: Call) -> Script:
    from cidery.commands.completion import bash_script, fish_script, zsh_script

    made = {"bash": bash_script, "fish": fish_script, "zsh": zsh_script}[call.command.path[-1]]
    return Script(Script=made())


async def openapi(context: Context, call: Call) -> dict[str, Any]:
    from cidery.commands.openapi import describe

    return describe()


async def commands(context: Context, call: Call) -> CommandNode:
    root = CommandNode(Name="cidery", Subcommands=[], Options=[])
    for path, command in sorted((path, one) for one in all_commands() for path in (one.path, *one.aliases)):
        at = root
        for word in path:
            child = next((node for node in at["Subcommands"] if node["Name"] == word), None)
            if child is None:
                child = CommandNode(Name=word, Subcommands=[], Options=[])
                at["Subcommands"].append(child)
            at = child
        at["Options"] = [{"Names": list(option.names)} for option in command.options]
    return root
