"""The command line's part of add: paths and standard input to uploads, progress to a bar."""

from __future__ import annotations

import os
import sys

from cidery.cli.output import NoProgress, Sink, progress_for, text_of
from cidery.cli.pipes import READ_SIZE, Pipe, chunks_from, is_added_as_pipe, raw_stdin
from cidery.cli.uploading import from_stdin, upload
from cidery.client.multipart import FILE, Part, Selection, walk_paths
from cidery.commands.ignore_options import ignore_rules

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path
    from typing import Any

    from cidery.client.address import Endpoint
    from cidery.commands.definition import Call
    from cidery.core.adding.items import Item


class AddSink(Sink):
    """Prints finished entries; with -Q only the last. Values with Bytes move the bar."""

    def __init__(self, call: Call) -> None:
        super().__init__(call)
        self._last: dict[str, Any] | None = None
        self._last_line = ""
        quiet = call.flag("quieter") or call.flag("silent")
        self._progress = NoProgress() if quiet else progress_for(call)
        self._seen = (0, "")
        self._progress.start("add", _total(call))

    def value(self, value: Any) -> None:
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

    def text(self, lines: str) -> None:
        if self._call.flag("quieter"):
            self._last_line = lines.rstrip("\n").rpartition("\n")[2] or self._last_line
        else:
            super().text(lines)

    def finish(self) -> None:
        """Everything is stored."""
        if self._call.flag("quieter") and self._last is not None:
            sys.stdout.write(text_of(self._last, self._call))
        elif self._last_line:
            super().text(f"{self._last_line}\n")


def _total(call: Call) -> int | None:
    """Bytes to read if that is known at once: a single file."""
    paths = call.many("path")
    if len(paths) == 1 and paths[0] != "-" and os.path.isfile(paths[0]):
        return os.path.getsize(paths[0])
    return None


def _takes_hidden(call: Call, endpoint: Endpoint) -> bool:
    """What the line says, else Import.Hidden of the daemon's config. Raises DaemonGone."""
    if "hidden" in call.given or not call.flag("recursive"):
        return call.flag("hidden")
    from cidery.client.answer import RpcError
    from cidery.client.blocking import call as rpc

    try:
        with rpc(endpoint, ["config"], [("arg", "Import.Hidden")]) as answer:
            return any(value.get("Value") is True for value in answer.values())
    except RpcError:
        return False  # the key is not set, or this caller may not read the config


def _selection(call: Call, hidden: bool, *, identities: bool = False) -> Selection:
    return Selection(
        recursive=call.flag("recursive"),
        hidden=hidden,
        dereference=call.flag("dereference-symlinks"),
        dereference_args=call.flag("dereference-args"),
        ignore=ignore_rules(call),
        preserve_mode=call.flag("preserve-mode"),
        preserve_mtime=call.flag("preserve-mtime"),
        state_paths=call.flag("nocopy"),
        state_identities=identities,
    )


def _parts(call: Call, hidden: bool, *, identities: bool = False) -> Iterator[Part]:
    if from_stdin(call):
        yield Part(call.text("stdin-name"), FILE, raw_stdin(), None)
        return
    selection = _selection(call, hidden, identities=identities)
    for path in call.many("path"):
        if _is_web(path):
            from cidery.client.web_file import WebFile, web_name

            file = WebFile(path)
            yield Part(web_name(path), FILE, file, file.size)
        elif is_added_as_pipe(path):
            yield Part(os.path.basename(path), FILE, Pipe(path), None)
        else:
            yield from walk_paths([path], selection)


def _is_web(path: str) -> bool:
    return path.startswith(("http://", "https://"))


def _distinct(paths: list[str]) -> list[str]:
    """Each file once: Kubo's scripts name one twice, and get one entry."""
    places: dict[str, str] = {}
    for path in paths:
        folder, name = os.path.split(path.rstrip("/") or path)
        places.setdefault(path if _is_web(path) or path == "-" else os.path.join(os.path.realpath(folder), name), path)
    return list(places.values())


def _is_stream(path: str) -> bool:
    """Whether it can be read only once."""
    return _is_web(path) or is_added_as_pipe(path)


def run(call: Call, endpoint: Endpoint, query: list[tuple[str, str]]) -> int:
    """``add`` in the daemon: this process reads the files and sends them."""
    call.arguments["path"] = paths = _distinct(call.many("path"))
    sink = AddSink(call)
    key, query = "", list(query)
    known: dict[str, int] = {}
    if paths and not any(path == "-" or _is_stream(path) for path in paths):
        if not call.flag("only-hash") and not call.flag("nocopy"):
            from cidery.client.resumed_upload import go_on

            key, known = go_on(endpoint, paths, query)
    query += [("progress", str(sink.shows_progress).lower())]
    parts = _parts(call, _takes_hidden(call, endpoint), identities=bool(key))
    return upload(endpoint, call, query, parts, sink, known)


async def run_local(repo: Path, call: Call) -> int:
    """``add`` without a daemon: the files are read by the importer itself."""
    from cidery.cli.feeding import run_with_sink

    call.arguments["path"] = _distinct(call.many("path"))
    sink = AddSink(call)
    call.options["progress"] = sink.shows_progress
    uploads: AsyncIterator[Item] | None = None
    if from_stdin(call):
        uploads = _stdin_items(call.text("stdin-name"))
    elif any(map(_is_stream, call.many("path"))):
        uploads = _mixed_items(repo, call)
    return await run_with_sink(repo, call, uploads, sink)


async def _stdin_items(name: str) -> AsyncIterator[Item]:
    from cidery.core.adding.items import Stream

    yield Stream(chunks_from(raw_stdin()), name)


async def _mixed_items(repo: Path, call: Call) -> AsyncIterator[Item]:
    import asyncio

    from cidery.client.web_file import WebFile, web_name
    from cidery.commands.run.adding import scan_options
    from cidery.core.adding.items import Stream, scan
    from cidery.repo.config_file import lookup, read_raw
    from cidery.repo.layout import RepoLayout

    async def chunks(url: str) -> AsyncIterator[bytes]:
        file = await asyncio.to_thread(WebFile, url)
        while data := await asyncio.to_thread(file.read, READ_SIZE):
            yield data

    hidden = lookup(read_raw(RepoLayout(repo).config), "Import.Hidden") is True
    options = scan_options(call, hidden=hidden)
    for path in call.many("path"):
        if _is_web(path):
            yield Stream(chunks(path), web_name(path))
            continue
        if is_added_as_pipe(path):
            yield Stream(chunks_from(Pipe(path)), os.path.basename(path))
            continue
        walk = scan(path, options)
        while item := await asyncio.to_thread(next, walk, None):
            yield item
