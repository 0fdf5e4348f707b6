"""Command lines run on an open node, as the daemon runs them: parsed by the definition, results in their text form."""

from collections.abc import AsyncIterator
from contextlib import aclosing

from cidery.commands.bind import bind
from cidery.commands.context import Body, Context
from cidery.commands.definition import OptionType, Output, load
from cidery.commands.registry import find
from cidery.core.adding.items import Bytes, Item
from cidery.core.api import Api


class Shell:
    """Commands on one Api; words are split at spaces."""

    def __init__(self, api: Api) -> None:
        self.api = api

    async def run(self, line: str, data: bytes | Item | None = None) -> str:
        """Run a line; ``data`` is the file it takes. Returns what it prints."""
        words = line.split()
        found = find(words)
        assert found is not None, f"no such command: {line}"
        known = {name: option for option in found.command.options for name in option.names}
        arguments: list[str] = []
        options: list[tuple[str, str]] = []
        rest = iter(words[found.words :])
        for word in rest:
            if not word.startswith("-"):
                arguments.append(word)
                continue
            name, given, text = word.lstrip("-").partition("=")
            if not given:
                text = "true" if known[name].type is OptionType.BOOL else next(rest)
            options.append((name, text))
        call = bind(found.command, arguments, options, body=data is not None)
        context = Context(self.api, self.api.path, _uploads(data) if data is not None else None)
        implementation = load(found.command.run)
        if found.command.output is Output.STREAM:
            async with aclosing(implementation(context, call)) as values:
                return "".join([call.shown(value) async for value in values])
        result = await implementation(context, call)
        if isinstance(result, Body):
            return b"".join([bytes(chunk) async for chunk in result.chunks]).decode("latin-1")
        if result is None:
            return ""
        return call.shown(result) if found.command.text is not None else str(result)


async def _uploads(data: bytes | Item) -> AsyncIterator[Item]:
    yield Bytes(data) if isinstance(data, bytes) else data
