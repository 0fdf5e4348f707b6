"""install-as: another name for the program."""

from __future__ import annotations

import os
import re
import shutil
import sys

from cidery.commands.bind import BadCall
from cidery.commands.context import Context
from cidery.commands.definition import Call
from cidery.commands.definitions.machine import Installed
from cidery.errors import InvalidInput, Unavailable

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_SCRIPT = """#!{python}
from cidery.cli.main import run

run()
"""


class NameTaken(InvalidInput):
    """A command of this name exists."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path

    def __str__(self) -> str:
        return f"{self.path} exists and is another program; give --force to replace it, or another folder with --to"


class CannotInstall(Unavailable):
    """The file cannot be written."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.path} cannot be written: {self.reason}; choose another folder with --to"


async def install_as(context: Context, call: Call) -> Installed:
    """Raises BadCall, NameTaken, CannotInstall. A file that is there is replaced as a whole, or not at all."""
    name = call.one("name")
    if not _NAME.fullmatch(name):
        raise BadCall(f"{name[:80]!r} is no name for a command; give one such as ipfs")
    folder = os.path.abspath(call.text("to") or _own_folder())
    path, script = os.path.join(folder, name), _SCRIPT.format(python=sys.executable)
    if os.path.lexists(path) and not call.flag("force") and _content(path) != script:
        raise NameTaken(path)
    part = f"{path}.{os.getpid()}.part"
    try:
        with open(part, "x", encoding="utf-8") as file:
            file.write(script)
        os.chmod(part, 0o755)
        os.replace(part, path)
    except OSError as exc:
        if os.path.lexists(part):
            os.unlink(part)
        raise CannotInstall(path, exc.strerror or str(exc)) from exc
    if shutil.which(name) != path:
        print(f"{folder} is not searched first for {name!r}: put it first into PATH", file=sys.stderr)
    return Installed(Path=path)


def _own_folder() -> str:
    """Where the program is: that of the script, or of the interpreter that runs it as a module."""
    program = shutil.which(sys.argv[0]) if sys.argv and not sys.argv[0].endswith("__main__.py") else None
    return os.path.dirname(os.path.abspath(program or sys.executable))


def _content(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read(4096)
    except OSError:
        return ""
