"""Runs commands without an event loop, whose import would take a third of their time: they wait for the disk alone."""

from __future__ import annotations

import sys

from cidery.cli.fronts import implementation_of
from cidery.cli.output import Sink
from cidery.commands.context import Body, Context
from cidery.commands.definition import Output
from cidery.errors import InvalidInput

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable
    from typing import Any

    from cidery.commands.definition import Call


class SomeFailed(InvalidInput):
    """Some of many values failed; each reported why."""

    def __str__(self) -> str:
        return "errors while displaying some entries"


def run_immediately(call: Call, repo: str) -> int:
    """Run a command by stepping its coroutine. Raises SomeFailed, and as the command."""
    command = call.command
    sink = Sink(call)
    running = implementation_of(command)(Context.outside(repo), call)
    if command.output is Output.STREAM:
        return _run_stream(running, call, sink)
    value = _step(running, command.name)
    assert not isinstance(value, Body)  # bytes come from a repository or an upload
    if value is not None:
        sink.value(value)
    return 1 if sink.failed else 0


def run_reading(call: Call, repo: str) -> int:
    """Run a command for which reads_alone() holds. Returns, raises as local.run_local()."""
    from pathlib import Path

    from cidery.cli.feeding import fetching_advised, run_with_sink

    with fetching_advised(call):
        code: int = _step(run_with_sink(Path(repo), call, None, Sink(call)), call.command.name)
        return code


def _step(running: Awaitable[Any], name: str) -> Any:
    try:
        running.__await__().__next__()
    except StopIteration as stop:
        return stop.value
    raise AssertionError(f"{name} waited")  # its definition says that it does not


def _run_stream(values: AsyncIterator[Any], call: Call, sink: Sink) -> int:
    failed = False
    while True:
        try:
            value = _step(values.__anext__(), call.command.name)
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
