"""The client's part of add, block put and config replace: paths and standard input to uploads, progress to a bar."""

import os
import secrets
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from cidery.cli.output import NoProgress, Progress, Sink, progress_for, text_of
from cidery.client.address import Endpoint
from cidery.client.blocking import call as rpc
from cidery.client.multipart import (
    FILE,
    CannotUpload,
    Part,
    Selection,
    content_type,
    encode_parts,
    identity_of,
    walk_paths,
)
from cidery.client.resumed_upload import known_files, resume_key
from cidery.commands.bind import BadCall, usage
from cidery.commands.definition import Call
from cidery.commands.job_command import PASSING

if TYPE_CHECKING:
    from cidery.core.add_items import AddItem

READ_SIZE = 1 << 20
"""Bytes of standard input read at once."""
WORTH_BAR = 16 << 20
"""Bytes to send from which on a bar is shown: less takes no time."""


class AddSink(Sink):
    """Prints finished entries; with -Q the last only. Progress is what values with Bytes say."""

    def __init__(self, call: Call) -> None:
        super().__init__(call)
        self._last: dict[str, Any] | None = None
        quiet = call.flag("quieter") or call.flag("silent")
        self._progress = NoProgress() if quiet else progress_for(call)
        self._seen = (0, "")
        self._progress.start("add", _total(call))

    def value(self, value: dict[str, Any]) -> None:
        before, name = self._seen
        if "Bytes" in value:
            done = int(value["Bytes"])
            self._progress.advance(done - (before if name == value["Name"] else 0), stage=value["Name"][-40:])
            self._seen = (done, value["Name"])
        if "Hash" not in value:
            return
        self._last = value
        if not self._call.flag("quieter"):
            sys.stdout.write(text_of(value, self._call))

    def finish(self) -> None:
        """Everything is stored."""
        if self._call.flag("quieter") and self._last is not None:
            sys.stdout.write(text_of(self._last, self._call))


def _total(call: Call) -> int | None:
    """Bytes to read if that is known at once: a single file."""
    paths = call.many("path")
    if len(paths) == 1 and paths[0] != "-" and os.path.isfile(paths[0]):
        return os.path.getsize(paths[0])
    return None


def _selection(call: Call, *, identities: bool = False) -> Selection:
    from cidery.commands.run.content import ignore_rules

    return Selection(
        recursive=call.flag("recursive"),
        hidden=call.flag("hidden"),
        empty_dirs=call.flag("empty-dirs"),
        dereference=call.flag("dereference-symlinks"),
        ignore=ignore_rules(call),
        preserve_mode=call.flag("preserve-mode"),
        preserve_mtime=call.flag("preserve-mtime"),
        state_paths=call.flag("nocopy"),
        state_identities=identities,
    )


def _file_paths(call: Call) -> list[str]:
    argument = call.command.file_argument
    assert argument is not None  # the definitions of these commands have one
    return call.arguments[argument.name]


def _from_stdin(call: Call) -> bool:
    """Whether the bytes come from standard input. Raises BadCall for a mixture with paths."""
    paths = _file_paths(call)
    if "-" in paths and len(paths) > 1:
        raise BadCall("'-' (standard input) cannot be added together with paths")
    if not paths and sys.stdin.isatty():
        raise BadCall(f"give a file or folder: {usage(call.command)}")
    return not paths or paths == ["-"]


def _raw_stdin() -> BinaryIO:
    """Standard input without a buffer: the buffer's lock, held by a thread that waits, would break the exit."""
    return open(sys.stdin.fileno(), "rb", buffering=0, closefd=False)


def _parts(call: Call, *, identities: bool = False) -> Iterator[Part]:
    if _from_stdin(call):
        yield Part(call.text("stdin-name"), FILE, _raw_stdin(), None)
        return
    selection = _selection(call, identities=identities)
    for path in call.many("path"):
        if _is_web(path):
            from cidery.client.web_file import WebFile, web_name

            file = WebFile(path)
            yield Part(web_name(path), FILE, file, file.size)
        else:
            yield from walk_paths([path], selection)


def _is_web(path: str) -> bool:
    return path.startswith(("http://", "https://"))


def _upload(
    endpoint: Endpoint,
    call: Call,
    query: list[tuple[str, str]],
    parts: Iterator[Part],
    sink: Sink,
    known: dict[str, int] | None = None,
    bar: Progress | None = None,
) -> int:
    """``bar``: moves with the bytes that are sent; the sink's, which closes it."""
    boundary = secrets.token_hex(16)
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


def _go_on(endpoint: Endpoint, paths: list[str], query: list[tuple[str, str]]) -> tuple[str, dict[str, int]]:
    """The key under which the daemon finds these files again, "" for none, and what it has of them; adds to ``query``.

    Raises DaemonGone.
    """
    key = resume_key(paths, [one for one in query if one[0] not in PASSING])
    if not key:
        return "", {}
    query += [("resume-key", key), ("job-title", os.path.abspath(paths[0])[:200])]
    return key, known_files(endpoint, key)


def run(call: Call, endpoint: Endpoint, query: list[tuple[str, str]]) -> int:
    """``add`` in the daemon: this process reads the files and sends them."""
    sink = AddSink(call)
    paths = call.many("path")
    key, query = "", list(query)
    known: dict[str, int] = {}
    if paths and not any(path == "-" or _is_web(path) for path in paths):
        if not call.flag("only-hash") and not call.flag("nocopy"):
            key, known = _go_on(endpoint, paths, query)
    query += [("progress", str(sink.shows_progress).lower())]
    return _upload(endpoint, call, query, _parts(call, identities=bool(key)), sink, known)


async def run_local(repo: Path, call: Call) -> int:
    """``add`` without a daemon: the files are read by the importer itself."""
    from cidery.cli.local import run_with_sink

    sink = AddSink(call)
    call.options["progress"] = sink.shows_progress
    uploads: AsyncIterator[AddItem] | None = None
    if _from_stdin(call):
        uploads = _stdin_items(call.text("stdin-name"))
    elif any(map(_is_web, call.many("path"))):
        uploads = _web_and_local_items(call)
    return await run_with_sink(repo, call, uploads, sink)


async def _stdin_items(name: str) -> "AsyncIterator[AddItem]":
    from cidery.core.add_items import AddItem

    yield AddItem.of_stream(stdin_chunks(), name)


async def _web_and_local_items(call: Call) -> "AsyncIterator[AddItem]":
    import asyncio

    from cidery.client.web_file import WebFile, web_name
    from cidery.commands.run.content import scan_options
    from cidery.core.add_items import AddItem, scan

    async def chunks(url: str) -> AsyncIterator[bytes]:
        file = await asyncio.to_thread(WebFile, url)
        while data := await asyncio.to_thread(file.read, READ_SIZE):
            yield data

    options = scan_options(call)
    for path in call.many("path"):
        if _is_web(path):
            yield AddItem.of_stream(chunks(path), web_name(path))
            continue
        walk = scan(path, options)
        while item := await asyncio.to_thread(next, walk, None):
            yield item


async def stdin_chunks() -> AsyncIterator[bytes]:
    """Standard input, read by a thread that may be left behind: a read from a terminal cannot be interrupted."""
    import asyncio
    import threading

    loop = asyncio.get_running_loop()
    while True:
        arrived: asyncio.Future[bytes] = loop.create_future()

        def read(arrived: asyncio.Future[bytes] = arrived) -> None:
            data = os.read(sys.stdin.fileno(), READ_SIZE)
            if not loop.is_closed():
                loop.call_soon_threadsafe(lambda: None if arrived.done() else arrived.set_result(data))

        threading.Thread(target=read, daemon=True).start()
        if not (data := await arrived):
            return
        yield data


def single_files(call: Call, *, identities: bool = False) -> Iterator[Part]:
    """The files named on the line, each whole, or standard input.

    ``identities``: say what files are known by in a later run. Raises CannotUpload.
    """
    paths = _file_paths(call)
    if _from_stdin(call):
        yield Part("", FILE, _raw_stdin(), None)
        return
    for path in paths:
        if not os.path.isfile(path):
            raise CannotUpload(path, "there is no such file")
        found = os.stat(path)
        yield Part("", FILE, path, found.st_size, identity=identity_of(found) if identities else "")


def run_block_put(call: Call, endpoint: Endpoint, query: list[tuple[str, str]]) -> int:
    """``block put`` in the daemon."""
    bar = _upload_bar(call)
    return _upload(endpoint, call, query, single_files(call), Sink(call, bar), bar=bar)


def run_archives(call: Call, endpoint: Endpoint, query: list[tuple[str, str]]) -> int:
    """``dag import`` in the daemon: of an import that was cut off, only the rest is sent."""
    bar, query = _upload_bar(call), list(query)
    paths = _file_paths(call)
    key, known = ("", {}) if not paths or paths == ["-"] else _go_on(endpoint, paths, query)
    parts = single_files(call, identities=bool(key))
    return _upload(endpoint, call, query, parts, Sink(call, bar), known, bar)


def _upload_bar(call: Call) -> Progress:
    """A bar for what is sent, if that takes long."""
    sizes = [os.path.getsize(path) for path in _file_paths(call) if os.path.isfile(path)]
    if sum(sizes) < WORTH_BAR and "-" not in _file_paths(call):
        return NoProgress()
    bar = progress_for(call)
    bar.start(call.command.name, sum(sizes) or None)
    return bar


async def run_block_put_local(repo: Path, call: Call) -> int:
    """``block put`` without a daemon."""
    from cidery.cli.local import run_with_sink

    return await run_with_sink(repo, call, file_items(call), Sink(call))


run_config_replace, run_config_replace_local = run_block_put, run_block_put_local


async def file_items(call: Call) -> "AsyncIterator[AddItem]":
    from cidery.core.add_items import AddItem

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
