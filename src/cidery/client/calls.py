"""Runs commands in a daemon over its RPC: a Caller."""

from __future__ import annotations

import asyncio
import os
import secrets

from cidery.client.asynchronous import AsyncAnswer
from cidery.client.connections import Connections
from cidery.client.multipart import FILE, Part, Selection, content_type, encode_parts, walk_paths
from cidery.client.resumed_upload import known_files, resume_key
from cidery.commands.job_command import PASSING
from cidery.core.adding.items import source_of
from cidery.methods.caller import option_texts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterator, Mapping, Sequence

    from cidery.client.address import Endpoint
    from cidery.core.adding.ignore_rules import IgnoreRules
    from cidery.methods.caller import Option, Value
    from cidery.methods.sources import Source
    from cidery.multiformats.varint import Buffer

UPLOAD_BATCH = 1 << 20
"""Bytes of small body pieces sent together: one hop to a thread for many small files."""
TITLE = 200
"""Most characters of the title of an add."""


class RpcCalls:
    """The commands of one daemon. A connection for each call, unless ``connections`` is open.

    Raises RpcError, DaemonGone, BadResponse. Closing an iterator ends its connection, and the daemon the command.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self.connections = Connections(endpoint)

    async def values(
        self, command: str, *arguments: str, body: AsyncIterable[Buffer] | None = None, **options: Option
    ) -> AsyncGenerator[Value, None]:
        """As Caller.values()."""
        boundary = secrets.token_hex(16)
        sent = None if body is None else _framed(body, "", boundary)
        async with self._answer(command, arguments, options, sent, boundary) as answer:
            async for value in answer.values():
                yield value

    async def chunks(
        self, command: str, *arguments: str, **options: Option
    ) -> AsyncGenerator[bytes | memoryview, None]:
        """As Caller.chunks()."""
        async with self._answer(command, arguments, options) as answer:
            async for chunk in answer.chunks():
                yield chunk

    async def added(
        self, source: Source, name: str, *, hidden: bool, ignore: Sequence[str], **options: Option
    ) -> AsyncGenerator[Value, None]:
        """As Caller.added(): files are read by this process and sent, except those that an interrupted add had sent."""
        boundary = secrets.token_hex(16)
        given = source_of(source)
        if isinstance(given, str):
            selection = Selection(recursive=True, hidden=hidden, ignore=_rules(ignore))
            key = "" if options.get("only_hash") else _key(given, {**options, "hidden": hidden, "ignore": ignore})
            known = await asyncio.to_thread(known_files, self._endpoint, key) if key else {}
            if key:
                options |= {"resume_key": key, "job_title": os.path.abspath(given)[:TITLE]}
                selection = selection._replace(state_identities=True)
            body = _in_batches(encode_parts(walk_paths([given], selection), boundary, known))
        elif isinstance(given, bytes):
            body = _in_batches(encode_parts(iter([Part(name, FILE, given, len(given))]), boundary))
        else:
            body = _framed(given, name, boundary)
        async with self._answer("add", (), options, body, boundary) as answer:
            async for value in answer.values():
                yield value

    def _answer(
        self,
        command: str,
        arguments: Sequence[str],
        options: Mapping[str, Option],
        body: AsyncIterator[bytes] | None = None,
        boundary: str = "",
    ) -> AsyncAnswer:
        query = [*(("arg", text) for text in arguments), *option_texts(options)]
        kind = content_type(boundary) if body is not None else ""
        return AsyncAnswer(
            self._endpoint, command.split(), query, body=body, content_type=kind, connections=self.connections
        )


def _rules(patterns: Sequence[str]) -> IgnoreRules | None:
    if not patterns:
        return None
    from cidery.core.adding.ignore_rules import IgnoreRules

    return IgnoreRules(list(patterns)) or None


def _key(path: str, options: Mapping[str, Option]) -> str:
    return resume_key([path], [one for one in option_texts(options) if one[0] not in PASSING])


async def _in_batches(pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    """The pieces of a blocking iterator, read in a thread."""

    def batch() -> bytes | None:
        taken: list[bytes] = []
        size = 0
        for piece in pieces:
            taken.append(piece)
            size += len(piece)
            if size >= UPLOAD_BATCH:
                break
        return (taken[0] if len(taken) == 1 else b"".join(taken)) if taken else None

    while (data := await asyncio.to_thread(batch)) is not None:
        yield data


async def _framed(source: AsyncIterable[Buffer], name: str, boundary: str) -> AsyncIterator[bytes]:
    """The body with one file."""
    *before, line_end, end = encode_parts(iter([Part(name, FILE, b"", 0)]), boundary)
    yield b"".join(before)
    async for chunk in source:
        yield bytes(chunk)
    yield line_end + end
