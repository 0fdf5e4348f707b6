"""denylist ls and check."""

import asyncio
from collections.abc import AsyncIterator

from cidery.commands.context import Context
from cidery.commands.definition import Call
from cidery.commands.definitions.denylist import DenylistLine, DenyVerdict
from cidery.core.reading.content_path import name_path, parse_path
from cidery.denylist.denylists import Denylists, Match
from cidery.repo.denylists import rule_at


async def ls(context: Context, call: Call) -> AsyncIterator[DenylistLine]:
    """In the order in which they count: of two rules that contradict each other, that of the later list wins."""
    files = context.node.deny_files
    for file in files.files.values() if files is not None else ():
        rules = file.rules
        line = DenylistLine(
            File=str(file.path),
            Name=rules.title if rules is not None else file.path.name,
            Rules=rules.rules if rules is not None else 0,
            BadLines=rules.bad_lines if rules is not None else 0,
        )
        if file.error:
            line["Error"] = file.error
        if rules is not None and rules.errors:
            line["FirstBadLine"] = rules.errors[0].reason
        yield line


async def check(context: Context, call: Call) -> AsyncIterator[DenyVerdict]:
    files = context.node.deny_files
    for text in call.many("path"):
        match = None if files is None else _judged(text, files.denylists)
        verdict = DenyVerdict(Path=text, Denied=match is not None)
        if match is not None:
            line, rule = await asyncio.to_thread(rule_at, match)
            verdict |= DenyVerdict(
                Path=text, Denied=True, File=match.source, Line=line, Rule=rule, Hints=dict(match.hints)
            )
        yield verdict


def _judged(text: str, denylists: Denylists) -> Match | None:
    """Raises PathError."""
    named = name_path(text)
    if named is None:
        path = parse_path(text)
        return denylists.path(path.root, path.segments)
    name, _, below = named.removeprefix("/ipns/").partition("/")
    return denylists.name(name, below)
