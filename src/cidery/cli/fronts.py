"""Commands that the command line prepares or finishes itself: upload, unpack, show progress."""

from __future__ import annotations

from importlib import import_module

from cidery.commands.definition import Command, Input, load

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Coroutine
    from pathlib import Path
    from typing import Any, Protocol

    from cidery.client.address import Endpoint
    from cidery.commands.definition import Call

    class Front(Protocol):
        """A module of this package that handles the command line's part of a command."""

        def run(self, call: Call, endpoint: Endpoint, query: list[tuple[str, str]]) -> int:
            """With a daemon. Returns the exit code. Raises CideryError."""
            ...

        def run_local(self, repo: Path, call: Call) -> Coroutine[Any, Any, int]:
            """Without one."""
            ...


_FRONTS = {
    ("add",): "adding",
    ("get",): "getting",
    ("dag", "import"): "importing",
    ("diag", "profile"): "profiling",
    ("gateway", "check"): "gateway_check",
    ("jobs", "resume"): "resuming",
    ("repo", "import-kubo"): "kubo_import",
    ("service", "install"): "login_service",
    ("service", "remove"): "login_service",
    ("service", "status"): "login_service",
    ("shutdown",): "stopping",
    ("ui",): "ui",
    ("multibase", "encode"): "multibase",
    ("multibase", "decode"): "multibase",
    ("multibase", "transcode"): "multibase",
}
"""Command -> module of this package. All others that take a file send it unchanged (uploading)."""

_ABOVE = {
    ("config", "edit"): "cidery.node.config_edit:edit",
    ("daemon",): "cidery.node.daemon:run",
    ("doctor",): "cidery.node.checkup:doctor",
    ("gateway", "check"): "cidery.gateway.check.command:check",
    ("gateway", "serve"): "cidery.node.gateway_serve:run",
    ("init",): "cidery.node.create:init",
    ("key", "export"): "cidery.node.key_files:give",
    ("key", "rotate"): "cidery.node.key_files:rotate",
    ("swarm", "key"): "cidery.node.swarm_key:make",
}
"""Command -> its implementation, where that is in a layer above the definitions."""


def implementation_of(command: Command) -> Any:
    """What runs a command in this process; of form as Command.run has it, or of PROCESSES (local.py)."""
    return load(_ABOVE.get(command.path) or command.run)


def front_of(command: Command) -> Front | None:
    """The module for a command, None where the values are only printed."""
    name = _FRONTS.get(command.path)
    argument = command.file_argument
    if name is None and argument is not None and argument.input is Input.FILE_OR_STDIN:
        name = "uploading"
    if name is None:
        return None
    module: Any = import_module(f"cidery.cli.{name}")
    front: Front = module
    return front
