"""Commands that need neither a node nor an event loop: version, commands."""

import sys

from cidery.cli.arguments import Line
from cidery.cli.output import text_of
from cidery.commands.bind import bind
from cidery.commands.context import Context
from cidery.commands.definition import load


def run_immediately(line: Line) -> int:
    """Run a command that never waits, by stepping its coroutine once."""
    assert line.command is not None  # main() chose the command
    call = bind(line.command, line.arguments, line.options)
    running = load(line.command.run)(Context(None), call)
    try:
        running.send(None)
    except StopIteration as stop:
        sys.stdout.write(text_of(stop.value, call))
        return 0
    raise AssertionError(f"{line.command.name} waited")  # it has nothing to wait for
