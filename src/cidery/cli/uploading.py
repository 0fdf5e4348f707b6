"""The command line's part of commands that take one file, or standard input: it is sent as it is."""

from __future__ import annotations

import os
import sys

from cidery.cli.output import NoProgress, Sink, progress_for
from cidery.client.blocking import call as rpc
from cidery.client.multipart import FILE, CannotUpload, Part, content_type, encode_parts, identity_of
from cidery.commands.bind import BadCall, usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from asyncio import Future
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path
    from typing import BinaryIO

    from cidery.cli.output import Progress
    from cidery.client.address import Endpoint
    from cidery.commands.definition import Call
    from cidery.core.adding.items import AddItem

READ_SIZE = 1 << 20
"""Bytes of standard input read at once."""
WORTH_BAR = 16 << 20
"""Bytes to send from which on a bar is shown: less takes no time."""


def run(call: Call, endpoint: Endpoint, query: list[tuple[str, str]]) -> int:
    """With a daemon."""
    bar = upload_bar(call)
    return upload(endpoint, call, query, single_files(call), Sink(call, bar), bar=bar)


async def run_local(repo: Path, call: Call) -> int:
    """Without one."""
    from cidery.cli.local import run_with_sink

    return await run_with_sink(repo, call, file_items(call), Sink(call))


def file_paths(call: Call) -> list[str]:
    argument = call.command.file_argument
    assert argument is not None  # the definitions of these commands have one
    return call.arguments[argument.name]


def from_stdin(call: Call) -> bool:
    """Whether the bytes come from standard input. Raises BadCall for a mixture with paths."""
    paths = file_paths(call)
    if "-" in paths and len(paths) > 1:
        raise BadCall("'-' (standard input) cannot be added together with paths")
    if not paths and sys.stdin.isatty():
        raise BadCall(f"give a file or folder: {usage(call.command)}")
    return not paths or paths == ["-"]


def raw_stdin() -> BinaryIO:
    """Standard input without a buffer: the buffer's lock, held by a thread that waits, would break the exit."""
    return open(sys.stdin.fileno(), "rb", buffering=0, closefd=False)


def upload(
    endpoint: Endpoint,
    call: Call,
    query: list[tuple[str, str]],
    parts: Iterator[Part],
    sink: Sink,
    known: dict[str, int] | None = None,
    bar: Progress | None = None,
) -> int:
    """``bar``: moves with the bytes that are sent; the sink's, which closes it."""
    boundary = os.urandom(16).hex()
    body = encode_parts(parts, boundary, known)
    if bar is not None:
        body = _counted(body, bar)
    answer = rpc(endpoint, list(call.command.path), query, body=body, content_type=content_type(boundary))
    try:
        with answer:
            for value in answer.values():
                sink.value(value)
        sink.finish()
    finally:
        sink.close()
    return 0


def _counted(body: Iterator[bytes], bar: Progress) -> Iterator[bytes]:
    for chunk in body:
        yield chunk
        bar.advance(len(chunk), stage="sending")
    bar.say("storing")


def upload_bar(call: Call) -> Progress:
    """A bar for what is sent, if that takes long."""
    sizes = [os.path.getsize(path) for path in file_paths(call) if os.path.isfile(path)]
    if sum(sizes) < WORTH_BAR and "-" not in file_paths(call):
        return NoProgress()
    bar = progress_for(call)
    bar.start(call.command.name, sum(sizes) or None)
    return bar


def single_files(call: Call, *, identities: bool = False) -> Iterator[Part]:
    """The files named on the line, each whole, or standard input.

    ``identities``: say what files are known by in a later run. Raises CannotUpload.
    """
    paths = file_paths(call)
    if from_stdin(call):
        yield Part("", FILE, raw_stdin(), None)
        return
    for path in paths:
        if not os.path.isfile(path):
            raise CannotUpload(path, "there is no such file")
        found = os.stat(path)
        yield Part("", FILE, path, found.st_size, identity=identity_of(found) if identities else "")


async def file_items(call: Call) -> AsyncIterator[AddItem]:
    from cidery.core.adding.items import AddItem

    for part in single_files(call):
        if isinstance(part.source, str):
            yield AddItem.of_stream(_file_chunks(part.source))
        else:
            yield AddItem.of_stream(stdin_chunks())


async def _file_chunks(path: str) -> AsyncIterator[bytes]:
    try:
        with open(path, "rb") as file:
            while chunk := file.read(READ_SIZE):
                yield chunk
    except OSError as exc:
        raise CannotUpload(path, (exc.strerror or str(exc)).lower()) from exc


async def stdin_chunks() -> AsyncIterator[bytes]:
    """Standard input, read by a thread that may be left behind: a read from a terminal cannot be interrupted."""
    import asyncio
    import threading

    loop = asyncio.get_running_loop()
    while True:
        arrived: Future[bytes] = loop.create_future()

        def read(arrived: Future[bytes] = arrived) -> None:
            data = os.read(sys.stdin.fileno(), READ_SIZE)
            if not loop.is_closed():
                loop.call_soon_threadsafe(lambda: None if arrived.done() else arrived.set_result(data))

        threading.Thread(target=read, daemon=True).start()
        if not (data := await arrived):
            return
        yield data
