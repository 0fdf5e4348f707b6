"""Commands that need neither a node nor an event loop: version, commands, cid, multibase list."""

import sys
from collections.abc import AsyncIterator
from typing import Any

from cidery.cli.arguments import Line
from cidery.cli.output import text_of
from cidery.commands.bind import bind
from cidery.commands.context import Context
from cidery.commands.definition import Call, Command, Input, Output, load
from cidery.errors import InvalidInput


class SomeFailed(InvalidInput):
    """Some of many values could not be made; each said why."""

    def __str__(self) -> str:
        return "errors while displaying some entries"


def run_immediately(line: Line) -> int:
    """Run a command that never waits, by stepping its coroutine. Raises SomeFailed and what the command raises."""
    command = line.command
    assert command is not None  # main() chose the command
    call = bind(command, _arguments(command, line.arguments), line.options)
    running = load(command.run)(Context(None), call)
    if command.output is Output.STREAM:
        return _run_stream(running, call)
    try:
        running.send(None)
    except StopIteration as stop:
        sys.stdout.write(text_of(stop.value, call))
        return 0
    raise AssertionError(f"{command.name} waited")  # it has nothing to wait for


def _arguments(command: Command, given: list[str]) -> list[str]:
    if given or not any(argument.input is Input.TEXT_OR_STDIN for argument in command.arguments):
        return given
    from cidery.cli.dispatch import with_stdin

    return with_stdin(command, given)


def _run_stream(values: AsyncIterator[Any], call: Call) -> int:
    failed = False
    while True:
        try:
            values.__anext__().__await__().__next__()
        except StopIteration as stop:
            value = stop.value
        except StopAsyncIteration:
            break
        else:
            raise AssertionError(f"{call.command.name} waited")  # it has nothing to wait for
        if message := value.get("ErrorMsg"):
            failed = True
            print(f"{value['CidStr']}: {message}", file=sys.stderr)
        else:
            sys.stdout.write(text_of(value, call))
    if failed:
        raise SomeFailed
    return 0
