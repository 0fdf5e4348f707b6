"""Runs commands on an open repository in this process, as the command line and the RPC do: a Caller."""

from __future__ import annotations

import asyncio
from contextlib import aclosing, asynccontextmanager

from cidery.commands.bind import bind
from cidery.commands.context import Body, Context, TimedOut
from cidery.commands.definition import Output, Repo, Where, load
from cidery.commands.registry import find, suggest
from cidery.core.adding.items import Bytes, Stream, source_of
from cidery.errors import Unavailable
from cidery.methods.caller import option_texts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable

    from cidery.commands.definition import Call, Command
    from cidery.core.adding.items import Item
    from cidery.core.api import Api
    from cidery.methods.caller import Option, Value
    from cidery.methods.sources import Source
    from cidery.multiformats.varint import Buffer

ASK_THE_NETWORK = frozenset(
    ("id", "name publish", "name put", "name resolve", "name follow", "routing get", "routing put", "why")
)
"""Commands that do without a network if there is none: they wait for one that is coming up."""


class OpenedForReading(Unavailable):
    """A method that changes something, on a node that was opened read-only."""

    def __init__(self, command: str) -> None:
        super().__init__(command)
        self.command = command

    def __str__(self) -> str:
        return f"{self.command!r} writes, and the node was opened with read_only=True; open it without"


class InProcess:
    """The commands of one node. ``opened``: its Api, or an error."""

    def __init__(self, opened: Callable[[], Api], *, read_only: bool) -> None:
        self._opened = opened
        self._read_only = read_only
        self._commands: dict[str, Command] = {}

    async def values(
        self, command: str, *arguments: str, body: AsyncIterable[Buffer] | None = None, **options: Option
    ) -> AsyncGenerator[Value, None]:
        """As Caller.values(). Raises OpenedForReading, BadCall, NoNetwork, and as the command."""
        items = None if body is None else _each(Stream(body))
        async with aclosing(self._run(command, list(arguments), items, options)) as values:
            async for value in values:
                yield value

    async def added(self, source: Source, name: str, **options: Option) -> AsyncGenerator[Value, None]:
        """As Caller.added()."""
        given = source_of(source)
        items: AsyncIterator[Item] | None = None
        if not isinstance(given, str):
            items = _each(Bytes(given, name) if isinstance(given, bytes) else Stream(given, name))
        async with aclosing(self._run("add", [given] if isinstance(given, str) else [], items, options)) as values:
            async for value in values:
                yield value

    async def _run(
        self, name: str, arguments: list[str], items: AsyncIterator[Item] | None, options: dict[str, Option]
    ) -> AsyncGenerator[Value, None]:
        context, call = await self._prepared(name, arguments, items, options)
        running = load(call.command.run)(context, call)
        async with _within(call.seconds("timeout")):
            if call.command.output is Output.STREAM:
                async with aclosing(running):
                    async for value in running:
                        yield value
            elif (value := await running) is not None:
                yield value

    async def chunks(
        self, command: str, *arguments: str, **options: Option
    ) -> AsyncGenerator[bytes | memoryview, None]:
        """As Caller.chunks()."""
        context, call = await self._prepared(command, list(arguments), None, options)
        result = await load(call.command.run)(context, call)
        assert isinstance(result, Body)  # the methods ask for commands of Output.BYTES
        async with aclosing(result.chunks) as chunks:
            async for chunk in chunks:
                yield chunk

    def _found(self, name: str) -> Command:
        words = name.split()
        found = find(words)
        if found is None or found.words != len(words):
            raise suggest(words)
        return self._commands.setdefault(name, found.command)

    async def _prepared(
        self, name: str, arguments: list[str], items: AsyncIterator[Item] | None, options: dict[str, Option]
    ) -> tuple[Context, Call]:
        api = self._opened()
        command = self._commands.get(name) or self._found(name)
        if self._read_only and _writes(command, options):
            raise OpenedForReading(name)
        if command.where is Where.DAEMON or name in ASK_THE_NETWORK:
            await api.arrived()
        call = bind(command, arguments, option_texts(options), body=items is not None)
        return Context(api, api.path, items), call


def _writes(command: Command, options: dict[str, Option]) -> bool:
    return command.repo is Repo.WRITE or any(options.get(flag) for flag in command.writes_with)


async def _each(item: Item) -> AsyncIterator[Item]:
    yield item


@asynccontextmanager
async def _within(seconds: float | None) -> AsyncIterator[None]:
    """Raises TimedOut."""
    try:
        async with asyncio.timeout(seconds or None) as limit:
            yield
    except TimeoutError as exc:
        if not limit.expired():
            raise
        raise TimedOut(seconds or 0.0) from exc
