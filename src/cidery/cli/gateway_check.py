"""The command line's part of gateway check: a count while it runs, and an exit code for each kind of end."""

import sys
from pathlib import Path
from typing import Any

from cidery.cli.output import Sink, printable, progress_for
from cidery.client.address import Endpoint
from cidery.commands.bind import BadCall
from cidery.commands.definition import Call
from cidery.gateway.check.probe import NoFixtures, NoGateway
from cidery.gateway.check.table import UnknownLeaf
from cidery.gateway.check.wire import BadUrl, Unreachable

NOT_CHECKED = 2
"""Exit code when no request was made."""


class CountingSink(Sink):
    """Counts the checks; one that failed makes the exit code 1."""

    def __init__(self, call: Call) -> None:
        self._line = progress_for(call, wanted=False)
        super().__init__(call, self._line)
        self._made = self._wrong = 0

    def value(self, value: Any) -> None:
        self.failed = self.failed or not value["Passed"]
        super().value(value)
        if value["Type"] == "Check":
            self._made += 1
            self._wrong += not value["Passed"]
            self._line.count(f"{self._made} checked, {self._wrong} failed")


def run(call: Call, endpoint: Endpoint, query: list[tuple[str, str]]) -> int:
    raise AssertionError("its definition says that no daemon runs it")


async def run_local(repo: Path, call: Call) -> int:
    from cidery.cli.feeding import run_with_sink

    try:
        return await run_with_sink(repo, call, None, CountingSink(call))
    except (BadCall, BadUrl, UnknownLeaf, Unreachable, NoGateway, NoFixtures) as exc:
        print(f"Error: {printable(' '.join(str(exc).splitlines()))}", file=sys.stderr)
        return NOT_CHECKED
