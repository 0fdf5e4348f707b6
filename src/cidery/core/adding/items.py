"""The input of add(): files, directories and symlinks with names, from this machine's disk or from streams."""

import os
import stat
from collections.abc import AsyncIterable, Callable, Iterator
from typing import NamedTuple

from cidery.core.adding.ignore_rules import IgnoreRules
from cidery.errors import CideryError, InvalidInput, LimitExceeded
from cidery.multiformats.varint import Buffer
from cidery.unixfs.metadata import Mtime

MAX_TREE_DEPTH = 1024
"""Deepest folder added, in directories: half of what PATH_MAX (4096 bytes) allows on Linux."""

Identity = tuple[int, int, int, int, int]
"""Device, inode, size, modification and change time in nanoseconds: equal as long as the file is unchanged."""


class CannotAdd(InvalidInput):
    """Something on disk that cannot be added."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"cannot add {_printable(self.path) or repr('')}: {self.reason}"


class NotAddable(InvalidInput):
    """An object that is no source of bytes."""

    def __init__(self, given: str) -> None:
        super().__init__(given)
        self.given = given

    def __str__(self) -> str:
        return (
            f"an object of type {self.given} cannot be added: give a path, bytes, or an asynchronous iterable of bytes"
        )


class TooDeep(LimitExceeded):
    """A folder beyond MAX_TREE_DEPTH."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path

    def __str__(self) -> str:
        return f"cannot add {_printable(self.path)[:120]}...: more than {MAX_TREE_DEPTH} directories deep"


def _printable(path: str) -> str:
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace").replace("\n", "\\n")


class File(NamedTuple):
    """A file of this machine."""

    path: str
    name: str = ""
    follow: bool = False
    """Whether ``path`` may be a symlink to the file."""


class Bytes(NamedTuple):
    """A file by its bytes."""

    data: bytes
    name: str = ""
    mode: int | None = None
    mtime: Mtime | None = None
    identity: Identity | None = None
    """The identity that its sender gave."""
    abspath: str | None = None
    """Where its sender says that it is on this machine."""


class Stream(NamedTuple):
    """A file by its bytes in pieces of any size."""

    stream: AsyncIterable[Buffer]
    name: str = ""
    mode: int | None = None
    mtime: Mtime | None = None
    identity: Identity | None = None
    """As Bytes.identity."""
    abspath: str | None = None
    """As Bytes.abspath."""
    has: int = 0
    """Leading bytes that the sender left out, because an earlier run stored them."""


class Stored(NamedTuple):
    """A file of which nothing was sent, because an earlier run stored it."""

    identity: Identity
    name: str = ""
    mode: int | None = None
    mtime: Mtime | None = None
    abspath: str | None = None
    """As Bytes.abspath."""


class Link(NamedTuple):
    """A symlink."""

    target: str
    name: str
    mtime: Mtime | None = None


class Folder(NamedTuple):
    """A directory; its entries are items of their own."""

    name: str
    path: str | None = None
    """Where it is on this machine."""
    mode: int | None = None
    mtime: Mtime | None = None


Item = File | Bytes | Stream | Stored | Link | Folder
"""One entry. Names are relative with slashes: "photos/2024/a.jpg"; missing parents are created; "" for none."""


def source_of(given: object) -> "str | bytes | AsyncIterable[Buffer]":
    """A path, bytes or a stream that a program gave. Raises NotAddable."""
    match given:
        case str() | os.PathLike():
            return os.fsdecode(given)
        case bytes():
            return given
        case bytearray() | memoryview():
            return bytes(given)
        case AsyncIterable():
            return given
        case _:
            raise NotAddable(type(given).__name__)


async def sent_bytes(items: AsyncIterable[Item], limit: int, too_long: Callable[[int], CideryError]) -> bytes:
    """All bytes of the files that a command was given.

    Raises InvalidInput for others and where there is none, ``too_long`` above ``limit``.
    """
    collected, given = bytearray(), False
    async for item in items:
        given = True
        match item:
            case Bytes(data):
                collected += data
            case Stream(stream, has=0):
                async for piece in stream:
                    collected += piece
                    if len(collected) > limit:
                        raise too_long(len(collected))
            case _:
                raise InvalidInput(f"{_printable(item.name[:80])!r} is not the content of a file")
        if len(collected) > limit:
            raise too_long(len(collected))
    if not given:
        raise InvalidInput("the request holds no file; send one as a part of a multipart body")
    return bytes(collected)


class ScanOptions(NamedTuple):
    """How folders on disk are read."""

    recursive: bool = True
    """False: a directory is an error whose message suggests -r."""
    hidden: bool = False
    """Whether hidden entries (leading dot) inside directories are included."""
    empty_dirs: bool = True
    """False: add() leaves out directories inside others that have no entry."""
    dereference: bool = False
    """Follow symlinks instead of adding them."""
    dereference_args: bool = False
    """Follow the symlinks that are named, but not those inside directories."""
    preserve_mode: bool = False
    preserve_mtime: bool = False
    ignore: IgnoreRules | None = None
    """Entries to leave out inside directories."""


def scan(path: str | os.PathLike[str], options: ScanOptions) -> Iterator[Item]:
    """Items for one path, directories before their contents, each directory sorted by the bytes of its names.

    Blocking; run it in a thread. Raises CannotAdd, TooDeep.
    """
    text = os.fspath(path)
    name = os.path.basename(os.path.abspath(text)) or "root"
    follow = options.dereference or options.dereference_args
    item = _item(text, name, _stat(text, follow), options)
    if not isinstance(item, Folder):
        yield item
        return
    if not options.recursive:
        raise CannotAdd(text, "it is a directory; use --recursive (-r) to add directories")
    visiting = [_identity(text)] if options.dereference else []
    stack: list[Iterator[Item]] = [iter((item,))]
    while stack:
        entry = next(stack[-1], None)
        if entry is None:
            stack.pop()
            if options.dereference and visiting and stack:
                visiting.pop()
            continue
        if not isinstance(entry, Folder):
            yield entry
            continue
        assert entry.path is not None  # _item sets it for directories
        if len(stack) > MAX_TREE_DEPTH:
            raise TooDeep(entry.path)
        if options.dereference and len(stack) > 1:
            identity = _identity(entry.path)
            if identity in visiting:
                raise CannotAdd(entry.path, "the symlink leads back to a directory above it")
            visiting.append(identity)
        children = _list(entry, options)
        yield entry
        stack.append(iter(children))


def _identity(path: str) -> tuple[int, int]:
    result = _stat(path, True)
    return result.st_dev, result.st_ino


def _stat(path: str, follow: bool) -> os.stat_result:
    try:
        return os.stat(path, follow_symlinks=follow)
    except (OSError, ValueError) as exc:
        raise CannotAdd(path, _reason(exc)) from exc


def _reason(exc: OSError | ValueError) -> str:
    return (exc.strerror or str(exc)).lower() if isinstance(exc, OSError) else str(exc)


def _list(directory: Folder, options: ScanOptions) -> list[Item]:
    assert directory.path is not None
    try:
        with os.scandir(directory.path) as entries:
            found = [entry for entry in entries if options.hidden or not entry.name.startswith(".")]
    except OSError as exc:
        raise CannotAdd(directory.path, _reason(exc)) from exc
    if options.ignore:
        _, _, within = directory.name.partition("/")
        found = [entry for entry in found if not _left_out(entry, within, options)]
    found.sort(key=lambda entry: os.fsencode(entry.name))
    return [_listed(entry, f"{directory.name}/{entry.name}", options) for entry in found]


def _left_out(entry: "os.DirEntry[str]", within: str, options: ScanOptions) -> bool:
    assert options.ignore is not None  # the caller looked
    path = f"{within}/{entry.name}" if within else entry.name
    return options.ignore.leaves_out(path, is_directory=entry.is_dir(follow_symlinks=options.dereference))


def _listed(entry: "os.DirEntry[str]", name: str, options: ScanOptions) -> Item:
    """As _item(), without a system call for plain files."""
    try:
        if entry.is_file(follow_symlinks=False):
            return File(entry.path, name)
        result = entry.stat(follow_symlinks=options.dereference)
    except OSError as exc:
        raise CannotAdd(entry.path, _reason(exc)) from exc
    return _item(entry.path, name, result, options)


def _item(path: str, name: str, found: os.stat_result, options: ScanOptions) -> Item:
    mode = stat.S_IMODE(found.st_mode) or None if options.preserve_mode else None  # 0 is not stored, as in Kubo
    mtime = mtime_of(found) if options.preserve_mtime else None
    if stat.S_ISREG(found.st_mode):
        return File(path, name, options.dereference or options.dereference_args)
    if stat.S_ISDIR(found.st_mode):
        return Folder(name, path, mode, mtime)
    if stat.S_ISLNK(found.st_mode):
        try:
            return Link(os.readlink(path), name, mtime)
        except OSError as exc:
            raise CannotAdd(path, _reason(exc)) from exc
    what = next((text for test, text in _SPECIAL if test(found.st_mode)), "special file")
    raise CannotAdd(path, f"it is a {what}; only files, directories and symlinks can be added (or standard input)")


_SPECIAL = ((stat.S_ISFIFO, "pipe"), (stat.S_ISSOCK, "socket"), (stat.S_ISCHR, "device"), (stat.S_ISBLK, "device"))


def mtime_of(found: os.stat_result) -> Mtime:
    """The time of modification of a stat result."""
    seconds, nanoseconds = divmod(found.st_mtime_ns, 1_000_000_000)
    return Mtime(seconds, nanoseconds)
