"""Runs a command's implementation in this process, with or without an event loop; a sink gets what it returns."""

from __future__ import annotations

import sys
from contextlib import aclosing, contextmanager

from cidery.cli.fronts import implementation_of
from cidery.commands.context import Body, Context
from cidery.commands.definition import Output, Repo
from cidery.core.session import NotStored

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path
    from typing import Any

    from cidery.cli.output import Sink
    from cidery.commands.definition import Call
    from cidery.core.adding.items import Item


class NeedsFetching(NotStored):
    """A missing block that a daemon could fetch."""

    def __str__(self) -> str:
        return f"{self.cid} is not stored here; start the daemon (cidery daemon) to fetch it from peers"


@contextmanager
def fetching_advised(call: Call) -> Iterator[None]:
    """A missing block is reported together with what could fetch it, unless nobody was to be asked."""
    try:
        yield
    except NotStored as exc:
        raise (exc if call.flag("offline") else NeedsFetching(exc.cid)) from exc


async def run_with_sink(repo: Path, call: Call, uploads: AsyncIterator[Item] | None, sink: Sink) -> int:
    """Run the implementation and give its results to ``sink``."""
    implementation = implementation_of(call.command)
    need = call.command.repo
    try:
        if need in (Repo.NONE, Repo.CONFIG):
            await _feed(implementation, Context(None, repo, uploads), call, sink)
        else:
            from cidery.node.build import Access, build

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
        sink.start(result.length if result.length is not None else result.about)
        async with aclosing(result.chunks) as chunks:
            async for chunk in chunks:
                sink.chunk(chunk)
        sys.stdout.flush()
    elif result is not None:
        sink.value(result)
