"""The command line's part of commands that take one file, or standard input: it is sent unchanged."""

from __future__ import annotations

import os
import sys

from cidery.cli.output import AS_TEXT, NoProgress, Sink, comes_as_text, progress_for
from cidery.cli.pipes import READ_SIZE, Pipe, chunks_from, is_pipe, raw_stdin
from cidery.client.answer import DaemonGone
from cidery.client.blocking import SMALL_BODY
from cidery.client.blocking import call as rpc
from cidery.client.http1 import BadResponse
from cidery.client.multipart import FILE, CannotUpload, Part, content_type, encode_parts, identity_of
from cidery.commands.bind import BadCall, usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from cidery.cli.output import Progress
    from cidery.client.address import Endpoint
    from cidery.client.blocking import Answer
    from cidery.commands.definition import Call
    from cidery.core.adding.items import Item

MAX_AROUND = 4096 * 2
"""Bytes of a body beside those of its file: a path three times as long when it is quoted, and headers."""
WORTH_BAR = 16 << 20
"""Upload size from which a bar is shown: less takes no time."""


def run(call: Call, endpoint: Endpoint, query: list[tuple[str, str]]) -> int:
    """With a daemon."""
    bar = upload_bar(call)
    return upload(endpoint, call, query, single_files(call), Sink(call, bar), bar=bar)


async def run_local(repo: Path, call: Call) -> int:
    """Without one."""
    from cidery.cli.feeding import run_with_sink

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
    if sys.stdin is None and (not paths or paths == ["-"]):
        raise BadCall(f"standard input is closed; give a file or folder: {usage(call.command)}")
    if not paths and sys.stdin.isatty():
        raise BadCall(f"give a file or folder: {usage(call.command)}")
    return not paths or paths == ["-"]


def upload(
    endpoint: Endpoint,
    call: Call,
    query: list[tuple[str, str]],
    parts: Iterator[Part],
    sink: Sink,
    known: dict[str, int] | None = None,
    bar: Progress | None = None,
) -> int:
    """``bar``: moves with the bytes sent; it belongs to the sink, which closes it."""
    boundary = os.urandom(16).hex()
    body = _counted(encode_parts(parts, boundary, known), bar or NoProgress())
    as_text = comes_as_text(endpoint, call, bar or NoProgress()) and not sink.shows_progress
    query = [*query, AS_TEXT] if as_text else query
    try:
        with _sent(endpoint, call, query, body, content_type(boundary)) as answer:
            if as_text:
                for lines in answer.texts():
                    sink.text(lines)
            else:
                for value in answer.values():
                    sink.value(value)
        sink.finish()
    finally:
        sink.close()
    return 0


def _sent(endpoint: Endpoint, call: Call, query: list[tuple[str, str]], body: Iterator[bytes], kind: str) -> Answer:
    """The answer to an upload. Raises as rpc(), and DaemonGone if files can be read again without the daemon."""
    small = _is_small(file_paths(call))
    try:
        return rpc(endpoint, list(call.command.path), query, body=body, content_type=kind, at_once=small)
    except BadResponse as exc:
        if not endpoint.token or _reads_once(file_paths(call)):
            raise  # without the daemon there would be the rest only
        raise DaemonGone(endpoint.name, exc.reason) from exc


def _reads_once(paths: list[str]) -> bool:
    """Whether there is a stream among what is sent."""
    return not paths or "-" in paths or any(map(is_pipe, paths))


def _is_small(paths: list[str]) -> bool:
    """Whether there is one file, so short that it fits into the system's buffers with what is around it."""
    if len(paths) != 1 or not os.path.isfile(paths[0]):
        return False
    return os.path.getsize(paths[0]) <= SMALL_BODY - MAX_AROUND


def _counted(body: Iterator[bytes], bar: Progress) -> Iterator[bytes]:
    sent = 0
    for chunk in body:
        yield chunk
        sent += len(chunk)
        if sent >= WORTH_BAR:
            _note_sent(sent)
        bar.advance(len(chunk), stage="sending")
    bar.say("storing")


def _note_sent(sent: int) -> None:
    from cidery.core.worth import KEPT, WORTH_BYTES  # a short upload imports nothing of the node

    KEPT.noted = KEPT.noted or sent >= WORTH_BYTES


def upload_bar(call: Call) -> Progress:
    """A bar for what is sent, if that takes long."""
    sizes = [os.path.getsize(path) for path in file_paths(call) if os.path.isfile(path)]
    if sum(sizes) < WORTH_BAR and "-" not in file_paths(call) and not any(map(is_pipe, file_paths(call))):
        return NoProgress()
    bar = progress_for(call)
    bar.start(call.command.name, sum(sizes) or None)
    return bar


def single_files(call: Call, *, identities: bool = False) -> Iterator[Part]:
    """The files named on the line, each whole, or standard input.

    ``identities``: state the identities of files, for a later run. Raises CannotUpload.
    """
    paths = file_paths(call)
    if from_stdin(call):
        yield Part("", FILE, raw_stdin(), None)
        return
    for path in paths:
        if is_pipe(path):
            yield Part("", FILE, Pipe(path), None)
            continue
        if not os.path.isfile(path):
            raise CannotUpload(path, "it is a directory" if os.path.isdir(path) else "there is no such file", "read")
        found = os.stat(path)
        yield Part("", FILE, path, found.st_size, identity=identity_of(found) if identities else "")


async def file_items(call: Call) -> AsyncIterator[Item]:
    from cidery.core.adding.items import Stream

    for part in single_files(call):
        source = part.source
        if isinstance(source, str):
            yield Stream(_file_chunks(source))
        elif not isinstance(source, bytes):  # single_files() makes none of bytes
            yield Stream(chunks_from(source))


async def _file_chunks(path: str) -> AsyncIterator[bytes]:
    try:
        with open(path, "rb") as file:
            while chunk := file.read(READ_SIZE):
                yield chunk
    except OSError as exc:
        raise CannotUpload(path, (exc.strerror or str(exc)).lower(), "read") from exc
