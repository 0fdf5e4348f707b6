"""The command line's part of diag profile: the archive goes into a file."""

from __future__ import annotations

import sys
import time

from cidery.client.blocking import call as rpc
from cidery.errors import Unavailable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Coroutine
    from pathlib import Path
    from typing import Any

    from cidery.client.address import Endpoint
    from cidery.commands.definition import Call

STDOUT = "-"


class CannotWrite(Unavailable):
    """The file cannot be written."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(name, reason)
        self.name = name
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.name} cannot be written: {self.reason}; choose another file with -o"


def run(call: Call, endpoint: Endpoint, query: list[tuple[str, str]]) -> int:
    """Raises CannotWrite: a file that is there is not replaced."""
    name = call.text("output") or time.strftime("cidery-profile-%Y-%m-%dT%H-%M-%S.zip", time.gmtime())
    with rpc(endpoint, list(call.command.path), query) as answer:
        data = b"".join(answer.chunks())
    if name == STDOUT:
        sys.stdout.buffer.write(data)
        sys.stdout.flush()
        return 0
    try:
        with open(name, "xb") as file:
            file.write(data)
    except OSError as exc:
        raise CannotWrite(name, exc.strerror or str(exc)) from exc
    print(f"Wrote {name}: look through it before you pass it on, it names your files and peers", file=sys.stderr)
    return 0


def run_local(repo: Path, call: Call) -> Coroutine[Any, Any, int]:
    raise AssertionError("its definition says that a daemon runs it")
