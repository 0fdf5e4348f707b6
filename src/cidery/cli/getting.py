"""The client's part of get: where to save, progress, and in the daemon's case unpacking."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager

from cidery.cli.dispatch import length_of, watched
from cidery.cli.output import NoProgress, Sink, progress_for
from cidery.commands.bind import BadCall
from cidery.commands.definition import Call
from cidery.commands.escaping import escaped
from cidery.errors import Unavailable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path
    from typing import BinaryIO

    from cidery.cli.output import Progress
    from cidery.client.address import Endpoint
    from cidery.client.blocking import Answer
    from cidery.core.getting.extents import FileRange
    from cidery.core.getting.record import GetRecord
    from cidery.multiformats.varint import Buffer


STDOUT = "/dev/stdout"
"""What `--output=-` means: the bytes of a file, or an archive, with nothing else among them."""


def target_of(call: Call) -> str:
    """Where to save: --output, or the last part of the path, in the current directory."""
    from cidery.core.reading.content_path import last_name

    name = last_name(call.one("path"))
    output = call.text("output")
    if not output:
        return name
    if output == "-":
        return STDOUT
    # As in Kubo: into an existing directory, when the output is written as a directory
    return os.path.join(output, name) if output.endswith("/") else output


def wants_archive(call: Call) -> bool:
    """Whether the result is a file in an archive format. Raises BadCall for a bad level."""
    level = call.number_or_none("compression-level")
    if level is not None and call.flag("compress") and not 1 <= level <= 9:
        raise BadCall(f"option 'compression-level' takes 1 to 9, not {level}")
    return call.flag("archive") or call.flag("compress")


def archive_path(call: Call, target: str) -> str:
    """Where an archive goes: the target, plus the suffixes of its format if missing."""
    from cidery.core.getting.special_file import is_special

    if is_special(target):
        return target
    if call.flag("archive") and not target.endswith((".tar", ".tar.gz")):
        target += ".tar"
    return target + ".gz" if call.flag("compress") and not target.endswith(".gz") else target


async def run_local(repo: Path, call: Call) -> int:
    """``get`` without a daemon: the tree goes to disk as it is read."""
    from cidery.cli.feeding import run_with_sink
    from cidery.core.getting.get import get, is_file
    from cidery.core.getting.special_file import is_special
    from cidery.core.reading.cat import cat
    from cidery.core.reading.content_path import last_name
    from cidery.node.build import Access, build

    target = target_of(call)
    if wants_archive(call):
        return await run_with_sink(repo, call, None, archive_sink(call, archive_path(call, target)))
    if is_special(target):
        async with build(repo, Access.READ) as api, api.session() as session:
            sink, where = SpecialSink(call, target), await api.locate(call.one("path"))
            try:
                async for chunk in cat(where, session):
                    sink.chunk(chunk)
            finally:
                sink.close()
        return 0
    bar = progress_for(call)
    bar.start("get", None)
    said = False
    try:
        async with build(repo, Access.READ) as api, api.session() as session:
            done = 0
            where = await api.locate(call.one("path"))
            if os.path.isdir(target) and await is_file(where, session):
                target = os.path.join(target, last_name(call.one("path")))
            with on_record(repo, call, target, str(where)) as record:
                async for progress in get(where, session, target, record):
                    if not said:
                        with bar.hidden():
                            say_saving(target)
                        said = True
                    bar.advance(progress.written - done, total=progress.total or None, stage=progress.name[-40:])
                    done = progress.written
    finally:
        bar.close()
    return 0


@contextmanager
def on_record(repo: str | Path, call: Call, target: str, what: str, *, way: str = "") -> Iterator[GetRecord | None]:
    """The record of a get, kept if the get does not finish. ``way``: as GetRecord.open()."""
    import time

    from cidery.commands.job_command import command_of
    from cidery.core.getting.record import GetRecord
    from cidery.core.worth import KEPT, WORTH_SECONDS
    from cidery.repo.places import jobs_directory

    command = [word for word in command_of(call) if not word.startswith("--output=")]
    command.insert(1, f"--output={os.path.abspath(target)}")
    record = GetRecord.open(jobs_directory(repo), what, target, time.time, command, way)
    began, keep, worth = time.monotonic(), True, False
    try:
        yield record
        keep = False
    except BaseException as exc:
        # stopped from outside: what was fetched by then is stored, though no file may have begun
        worth = not isinstance(exc, Exception) and time.monotonic() - began >= WORTH_SECONDS
        raise
    finally:
        if record is not None:
            KEPT.noted = record.close(keep=keep, empty=worth)


def say_saving(target: str) -> None:
    print(f"Saving file(s) to {escaped(target)}", flush=True)


def run(call: Call, endpoint: Endpoint, query: list[tuple[str, str]]) -> int:
    """``get`` in the daemon: it sends TAR, this process unpacks it (or keeps it, with --archive)."""
    from cidery.client.blocking import call as rpc
    from cidery.core.getting.special_file import is_special

    bar = progress_for(call)
    bar.start("get", None)
    bar.say("looking at what is here already")
    try:
        with watched(endpoint, bar, call) as watch:
            target = target_of(call)
            if wants_archive(call):
                with rpc(endpoint, ["get"], [*query, *watch.query]) as answer:
                    bar.advance(0, total=length_of(answer.headers))
                    size = _save_archive(call, target, answer, bar)
            elif is_special(target):
                size = _pour(endpoint, call, [*query, *watch.query], target)
            else:
                size = _receive(call, endpoint, [*query, *watch.query], target, bar)
    finally:
        bar.close()
    if summary := watch.summary(size):
        print(summary, file=sys.stderr)
    return 0


def _receive(call: Call, endpoint: Endpoint, query: list[tuple[str, str]], target: str, bar: Progress) -> int:
    """Save what the daemon finds, and what an earlier run did not; returns the bytes written."""
    from cidery.blockstore.places import BLOCKS_DIR
    from cidery.client.blocking import call as rpc
    from cidery.core.getting.extents import NotReadable, can_read
    from cidery.core.reading.content_path import last_name
    from cidery.node.location import repo_dir

    what = call.one("path")
    if what.startswith(("/ipns/", "ipns:")):  # the next time it may be another tree
        with rpc(endpoint, ["resolve"], [("arg", what)]) as answer:
            what = str(next(iter(answer.values()))["Path"])
        query = [(name, what if name == "arg" else value) for name, value in query]
    if os.path.isdir(target) and _is_file(endpoint, what):
        target = os.path.join(target, last_name(call.one("path")))
    repo = repo_dir(call.text("repo-dir") or None)
    # the daemon of this repository, whose token was readable here: its segments may be, too
    blocks = os.path.join(repo, BLOCKS_DIR) if endpoint.token else ""
    if blocks and can_read(blocks):
        try:
            return _unpack(call, endpoint, query, target, what, bar, repo, blocks)
        except NotReadable:
            bar.say("asking for the bytes")
            return _unpack(call, endpoint, query, target, what, bar, repo, "", again=True)
    return _unpack(call, endpoint, query, target, what, bar, repo, "")


def _unpack(
    call: Call,
    endpoint: Endpoint,
    query: list[tuple[str, str]],
    target: str,
    what: str,
    bar: Progress,
    repo: str,
    blocks: str,
    *,
    again: bool = False,
) -> int:
    """Unpack the daemon's stream, which omits what an earlier run wrote. ``blocks``: where its segments are, or ""."""
    from time import monotonic

    from cidery.core.getting.untar import resume_point, unpack_tar

    done = 0
    with on_record(repo, call, target, what, way="stream") as record:
        files, size = resume_point(record, target)
        if files or size:
            query = [*query, ("skip-files", str(files)), ("skip-bytes", str(size))]
        with _answered(endpoint, query, blocks) as (answer, pieces):
            total = length_of(answer.headers)
            bar.advance(0, total=total)
            if not again:
                say_saving(target)
            for written in unpack_tar(pieces, target, record):
                bar.advance(written - done)
                done = written
                if record is not None:
                    record.progress(done, total or 0, monotonic())
            for _ in pieces:
                continue  # what follows the tree: the daemon ends its call once all is taken
    return done


@contextmanager
def _answered(
    endpoint: Endpoint, query: list[tuple[str, str]], blocks: str
) -> Iterator[tuple[Answer, Iterable[bytes | memoryview | FileRange]]]:
    """The daemon's answer to ``get`` and the pieces of its stream, read from ``blocks`` if both sides can do that."""
    from cidery.client.blocking import call as rpc
    from cidery.core.getting.extents import MEDIA_TYPE, Segments, extent_pieces

    segments = Segments(blocks)
    try:
        with rpc(endpoint, ["get"], query, content_type=MEDIA_TYPE if blocks else "") as answer:
            if answer.headers.get("content-type") == MEDIA_TYPE:
                yield answer, extent_pieces(answer.chunks(), segments, answer.say)
            else:
                yield answer, answer.chunks()
    finally:
        segments.close()


def _is_file(endpoint: Endpoint, what: str) -> bool:
    """Whether the daemon finds a file or symlink there, not a directory."""
    from cidery.client.blocking import call as rpc

    path = what if what.startswith("/") else f"/ipfs/{what.removeprefix('ipfs:').lstrip('/')}"
    with rpc(endpoint, ["files", "stat"], [("arg", path)]) as answer:
        return str(next(iter(answer.values()))["Type"]) != "directory"


def _pour(endpoint: Endpoint, call: Call, query: list[tuple[str, str]], target: str) -> int:
    """Write the bytes of a file into an existing special file; returns their number."""
    from cidery.client.blocking import call as rpc

    size = 0
    with rpc(endpoint, ["cat"], query) as answer:
        sink = SpecialSink(call, target)
        try:
            for chunk in answer.chunks():
                sink.chunk(chunk)
                size += len(chunk)
        finally:
            sink.close()
    return size


def _save_archive(call: Call, target: str, answer: Answer, bar: Progress) -> int:
    sink = archive_sink(call, archive_path(call, target), bar)
    sink.start(None)
    size = 0
    try:
        for chunk in answer.chunks():
            sink.chunk(chunk)
            size += len(chunk)
        sink.finish()
    finally:
        sink.close()
    return size


def archive_sink(call: Call, path: str, progress: Progress | None = None) -> Sink:
    """Where an archive goes."""
    from cidery.core.getting.special_file import is_special

    return SpecialSink(call, path, progress) if is_special(path) else ArchiveSink(call, path, progress)


class SpecialSink(Sink):
    """Bytes into a device, a pipe, or a stream of this process, which must carry nothing else."""

    def __init__(self, call: Call, path: str, progress: Progress | None = None) -> None:
        from cidery.core.getting.special_file import SpecialFile

        super().__init__(call, progress)
        self._file = SpecialFile(path)

    def start(self, length: int | None) -> None:
        """Nothing to begin: there is no bar."""

    def chunk(self, data: Buffer) -> None:
        self._file.write(data)

    def finish(self) -> None:
        """Every byte is written."""

    def close(self) -> None:
        super().close()
        self._file.close()


class ArchiveSink(Sink):
    """Bytes into a file that receives its name once it is complete."""

    def __init__(self, call: Call, path: str, progress: Progress | None = None) -> None:
        super().__init__(call, progress)
        self._path = path
        self._part = f"{path}.cidery-part"
        self._file: BinaryIO | None = None

    def start(self, length: int | None) -> None:
        print(f"Saving archive to {escaped(self._path)}", flush=True)
        try:
            self._file = open(self._part, "wb")
        except OSError as exc:
            raise CannotSave(self._path, (exc.strerror or str(exc)).lower()) from exc
        if isinstance(self._progress, NoProgress):
            self._progress = progress_for(self._call)
            self._progress.start("get", length)

    def chunk(self, data: bytes | memoryview) -> None:
        assert self._file is not None  # start() comes first
        try:
            self._file.write(data)
        except OSError as exc:
            raise CannotSave(self._path, (exc.strerror or str(exc)).lower()) from exc
        self._progress.advance(len(data))

    def finish(self) -> None:
        """The archive is complete: give it its name."""
        assert self._file is not None  # start() comes first
        self._file.close()
        os.replace(self._part, self._path)

    def close(self) -> None:
        super().close()
        if self._file is not None:
            self._file.close()
        if os.path.exists(self._part):
            os.unlink(self._part)


class CannotSave(Unavailable):
    """The file system refused."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"cannot write {self.path}: {self.reason}"
