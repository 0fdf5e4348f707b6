"""Runs a command in this process: an event loop, the repository opened as its definition says, no network."""

import asyncio
from pathlib import Path
from typing import Any

from cidery.cli.feeding import fetching_advised, run_with_sink
from cidery.cli.fronts import front_of, implementation_of
from cidery.cli.output import Sink
from cidery.commands.context import TimedOut
from cidery.commands.definition import Call

PROCESSES = (("daemon",), ("gateway", "serve"))
"""Commands that run their own event loops: ``def (repo: Path, call: Call) -> int``."""


def run_local(repo: str, call: Call) -> int:
    """Run to the end. Returns the exit code. Raises CideryError, KeyboardInterrupt."""
    if call.command.path in PROCESSES:
        code: int = implementation_of(call.command)(Path(repo), call)
        return code
    if front := front_of(call.command):
        main = front.run_local(Path(repo), call)
    else:
        main = run_with_sink(Path(repo), call, None, Sink(call))
    with fetching_advised(call):
        return run_coroutine(_within_timeout(main, call.seconds("timeout")))


def run_coroutine(main: Any) -> int:
    """A loop for one command; Ctrl-C cancels the command, waits for its clean-up, then raises KeyboardInterrupt."""
    with asyncio.Runner() as runner:
        code: int = runner.run(main)
        return code


async def _within_timeout(main: Any, seconds: float | None) -> int:
    try:
        async with asyncio.timeout(seconds or None) as limit:
            code: int = await main
            return code
    except TimeoutError as exc:
        if not limit.expired():
            raise
        raise TimedOut(seconds or 0.0) from exc
