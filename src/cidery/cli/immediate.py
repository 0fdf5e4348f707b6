"""Runs commands without an event loop, whose import would take a third of their time: they wait for the disk alone."""

from __future__ import annotations

import sys

from cidery.cli.fronts import front_of, implementation_of
from cidery.cli.output import Sink
from cidery.commands.context import Body, Context
from cidery.commands.definition import Output, Repo
from cidery.errors import InvalidInput

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from typing import Any

    from cidery.commands.definition import Call


class SomeFailed(InvalidInput):
    """Some of many values failed; each reported why."""

    def __str__(self) -> str:
        return "errors while displaying some entries"


def run_immediately(call: Call, repo: str) -> int:
    """Run a command for which steps_alone() holds. Raises SomeFailed, and as the command."""
    from cidery.waiting import without_loop

    command = call.command
    sink = Sink(call)
    running = implementation_of(command)(Context.outside(repo), call)
    if command.output is Output.STREAM:
        return _run_stream(running, call, sink)
    value = without_loop(running)
    assert not isinstance(value, Body)  # bytes come from a repository or an upload
    if value is not None:
        sink.value(value)
    return 1 if sink.failed else 0


def run_with_disk(call: Call, repo: str) -> int:
    """Run a command for which needs_disk_alone() holds. Returns, raises as local.run_local()."""
    from contextlib import nullcontext
    from pathlib import Path

    from cidery.cli.feeding import fetching_advised, run_with_sink
    from cidery.waiting import Interrupts, without_loop

    front, path = front_of(call.command), Path(repo)
    main = front.run_local(path, call) if front else run_with_sink(path, call, None, Sink(call))
    with fetching_advised(call), Interrupts() if call.command.repo is Repo.WRITE else nullcontext():
        return without_loop(main)


def _run_stream(values: AsyncIterator[Any], call: Call, sink: Sink) -> int:
    from cidery.waiting import without_loop

    failed = False
    while True:
        try:
            value = without_loop(values.__anext__())
        except StopAsyncIteration:
            break
        if message := value.get("ErrorMsg"):
            failed = True
            print(f"{value['CidStr']}: {message}", file=sys.stderr)
        else:
            sink.value(value)
    if failed:
        raise SomeFailed
    return 1 if sink.failed else 0
