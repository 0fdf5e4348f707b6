"""Runs a command in this process: an event loop, the repository opened as its definition says, no network."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

from cidery.cli.fronts import front_of
from cidery.cli.output import Sink
from cidery.commands.context import Body, Context, TimedOut
from cidery.commands.definition import Call, Output, Repo, load
from cidery.core.adding.items import Item
from cidery.core.session import NotStored
from cidery.node.build import Access, build

PROCESSES = (("daemon",), ("gateway", "serve"))
"""Commands that run their own event loops: ``def (repo: Path, call: Call) -> int``."""


class NeedsFetching(NotStored):
    """A missing block that a daemon could fetch."""

    def __str__(self) -> str:
        return f"{self.cid} is not stored here; start the daemon (cidery daemon) to fetch it from peers"


def run_local(repo: str, call: Call) -> int:
    """Run to the end. Returns the exit code. Raises CideryError, KeyboardInterrupt."""
    if call.command.path in PROCESSES:
        code: int = load(call.command.run)(Path(repo), call)
        return code
    if front := front_of(call.command):
        main = front.run_local(Path(repo), call)
    else:
        main = run_with_sink(Path(repo), call, None, Sink(call))
    try:
        return run_coroutine(_within_timeout(main, call.seconds("timeout")))
    except NotStored as exc:
        raise (exc if call.flag("offline") else NeedsFetching(exc.cid)) from exc


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


async def run_with_sink(repo: Path, call: Call, uploads: AsyncIterator[Item] | None, sink: Sink) -> int:
    """Run the implementation and give its results to ``sink``."""
    implementation = load(call.command.run)
    need = call.command.repo
    try:
        if need in (Repo.NONE, Repo.CONFIG):
            await _feed(implementation, Context(None, repo, uploads), call, sink)
        else:
            writes = need is Repo.WRITE or any(call.flag(name) for name in call.command.writes_with)
            access = Access.WRITE if writes else Access.READ
            async with build(repo, access) as api:
                await _feed(implementation, Context(api, repo, uploads), call, sink)
        sink.finish()
    finally:
        sink.close()
    return 1 if sink.failed else 0


async def _feed(implementation: Any, context: Context, call: Call, sink: Sink) -> None:
    if call.command.output is Output.STREAM:
        async with aclosing(implementation(context, call)) as values:
            async for value in values:
                sink.value(value)
        return
    result = await implementation(context, call)
    if isinstance(result, Body):
        sink.start(result.length)
        async with aclosing(result.chunks) as chunks:
            async for chunk in chunks:
                sink.chunk(chunk)
        sys.stdout.flush()
    elif result is not None:
        sink.value(result)
