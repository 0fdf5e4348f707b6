"""Unpacks TAR streams with the safety of getting.target: nothing is written outside the target.

Knows files, directories and symlinks in ustar and PAX form; everything else (hard links, devices, sparse files) is
refused. Blocking, for clients; imports neither asyncio nor the network.
"""

import os
from collections.abc import Iterable, Iterator
from os import PathLike
from zlib import adler32, crc32

from cidery.core.getting.extents import FileRange
from cidery.core.getting.record import GetRecord, identity_of
from cidery.core.getting.special_file import is_special
from cidery.core.getting.tar_header import BLOCK, BadHeader, TarHeader
from cidery.core.getting.target import CannotWrite, InTheWay, Target, UnsafeName, cut_to, write_at
from cidery.errors import IntegrityError, InvalidInput
from cidery.unixfs.metadata import MAX_SYMLINK_TARGET, MAX_TREE_DEPTH, Mtime

MAX_PAX = 64 * 1024
"""Longest PAX header read, in bytes: a path of 4096 bytes and a target of as many, with room."""
MAX_SIZE = 1 << 62
"""Largest file accepted, in bytes: the limit of offsets."""
SKIPPED = "skipped:"
"""Prefix of the owner's name of a file whose first bytes were left out; their number follows."""
NOTE_EVERY = 4 << 20
"""Bytes of a file between two progress notes."""
_PIECE = 1 << 20
"""Bytes written at a time."""
_TYPES = {b"0": "file", b"\0": "file", b"5": "directory", b"2": "symlink"}


class TarError(IntegrityError):
    """A stream that is not TAR, ends early, or holds unsupported entries."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"bad TAR stream: {self.reason}"


def resume_point(record: GetRecord | None, target: str | PathLike[str]) -> tuple[int, int]:
    """(files, bytes of the next one) at the start of the stream that an earlier run wrote and that are unchanged.

    Blocks for some microseconds per file. Forgets the rest of the record.
    """
    if record is None or not (record.files or record.parts):
        return 0, 0
    whole, partial = 0, 0
    with Target(target) as place:
        for path, identity in record.files.items():
            found = _stat(place, path)
            if found is None or identity_of(found) != identity:
                break
            whole += 1
        last = next(reversed(record.parts), None)
        if whole == len(record.files) and last is not None and place.has_part(names := _names(last), _key(names)):
            fd, _ = place.open_part(names, _key(names))
            partial = record.trusted(last, os.fstat(fd))
            os.close(fd)
    record.cut(whole)
    return whole, partial


def _stat(place: Target, path: str) -> os.stat_result | None:
    try:
        return place.stat(_names(path))
    except InvalidInput:
        return None


def _names(path: str) -> tuple[str, ...]:
    return tuple(path.split("/")) if path else ()


def unpack_tar(
    chunks: Iterable[bytes | memoryview | FileRange], target: str | PathLike[str], record: GetRecord | None = None
) -> Iterator[int]:
    """Write the one tree of a TAR stream to ``target``; its root's name is replaced by the target's.

    Written files are noted in ``record``. A stream may leave out the part that resume_point() reported.
    Yields the bytes of files written so far, now and then. Symlinks are written last. A file appears when complete; a
    stream that ends early leaves the unfinished one under a temporary name.
    Raises TarError, UnsafeName, InTheWay, CannotWrite.
    """
    if is_special(target):
        raise InTheWay(os.fspath(target), "a device, pipe or socket is there")
    source = _Source(chunks)
    links: list[tuple[tuple[str, ...], str, Mtime | None]] = []
    root: str | None = None
    written = 0
    with Target(target) as place:
        for entry in _entries(source):
            name, *rest = entry.name.rstrip("/").split("/")
            if not name:
                raise UnsafeName(entry.name, "it is absolute")
            if root is None:
                root = name
            path = tuple(rest)
            if name != root:
                raise TarError(f"a second tree, {name[:80]!r}")
            if len(path) > MAX_TREE_DEPTH:
                raise TarError(f"more than {MAX_TREE_DEPTH} directories deep")
            if entry.kind == "directory":
                place.make_directory(path, entry.mode, entry.mtime)
            elif entry.kind == "symlink":
                links.append((path, entry.target, entry.mtime))
            else:
                for size in _write_file(place, path, entry, source, record):
                    written += size
                    yield written
        for path, link, mtime in links:
            place.write_symlink(path, _key(path), link, mtime)
        place.finish()
    yield written


class _Entry:
    __slots__ = ("kind", "mode", "mtime", "name", "size", "skipped", "target")

    def __init__(self, header: bytes, pax: dict[str, str]) -> None:
        info = _info(header)
        kind = _TYPES.get(info.type)
        if kind is None or (kind == "file" and any(key.startswith("GNU.sparse") for key in pax)):
            raise TarError(f"an entry that is no file, directory or symlink (type {info.type!r})")
        self.kind = kind
        self.name = pax.get("path", info.name)
        self.target = pax.get("linkpath", info.link)
        self.size = _number(pax["size"]) if "size" in pax else info.size
        self.mode: int | None = info.mode & 0o777
        self.mtime = _mtime(pax["mtime"]) if "mtime" in pax else (Mtime(info.mtime) if info.mtime else None)
        self.skipped = _number(info.user.removeprefix(SKIPPED)) if info.user.startswith(SKIPPED) else 0
        if self.skipped > self.size:
            raise TarError(f"a file of {self.size} bytes without its first {self.skipped}")
        if not 0 <= self.size <= MAX_SIZE or (kind != "file" and self.size):
            raise TarError(f"an entry of {self.size} bytes")
        if len(self.target.encode("utf-8", "surrogateescape")) > MAX_SYMLINK_TARGET:
            raise TarError("a symlink target that is too long")


def _info(header: bytes) -> TarHeader:
    try:
        return TarHeader.decode(header)
    except BadHeader as exc:
        raise TarError("a damaged header") from exc


def _entries(source: "_Source") -> Iterator[_Entry]:
    """Entries up to the end marker. The caller reads each file's bytes, padding included, before the next."""
    pax: dict[str, str] = {}
    while True:
        header = source.read(BLOCK)
        if header == bytes(BLOCK):
            return
        if header[156:157] == b"x":
            size = _info(header).size
            if not 0 <= size <= MAX_PAX:
                raise TarError(f"a PAX header of {size} bytes, at most {MAX_PAX} are allowed")
            pax = _pax_records(source.read(size))
            source.read(-size % BLOCK)
            continue
        yield _Entry(header, pax)
        pax = {}


def _pax_records(data: bytes) -> dict[str, str]:
    out: dict[str, str] = {}
    at = 0
    while at < len(data):
        space = data.find(b" ", at, at + 8)
        length = _number(data[at:space].decode("ascii", "replace")) if space > 0 else 0
        record = data[at : at + length]
        if len(record) != length or not record.endswith(b"\n") or b"=" not in record:
            raise TarError("a damaged PAX header")
        key, _, value = record[space - at + 1 : -1].partition(b"=")
        out[key.decode("utf-8", "replace")] = value.decode("utf-8", "surrogateescape")
        at += length
    return out


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > 20:
        raise TarError(f"{text[:40]!r} is not a number")
    return int(text)


def _mtime(text: str) -> Mtime:
    seconds, _, fraction = text.partition(".")
    sign = -1 if seconds.startswith("-") else 1
    return Mtime(sign * _number(seconds.removeprefix("-")), _number((fraction + "0" * 9)[:9]))


def _write_file(
    place: Target, path: tuple[str, ...], entry: _Entry, source: "_Source", record: GetRecord | None
) -> Iterator[int]:
    key, name = _key(path), "/".join(path)
    fd, _ = place.open_part(path, key)
    at = noted = entry.skipped
    try:
        if record is None or record.trusted(name, os.fstat(fd)) < at:
            if at:
                raise TarError("it leaves out data that is missing here; repeat the command")
        cut_to(fd, at)
        while at < entry.size:
            piece = source.read_some(min(_PIECE, entry.size - at))
            if isinstance(piece, FileRange):
                piece.copy_to(fd, at)
            else:
                write_at(fd, piece, at)
            at += len(piece)
            if record is not None and at - noted >= NOTE_EVERY:
                record.part(name, os.fstat(fd), at)
                noted = at
            yield len(piece)
        source.read(-entry.size % BLOCK)
        whole, fd = fd, -1
        place.commit_part(path, key, whole, entry.mode, entry.mtime)
        if record is not None and (found := place.stat(path)) is not None:
            record.finished([(name, found)])
    except OSError as exc:
        raise CannotWrite(place.shown(path), (exc.strerror or str(exc)).lower()) from exc
    finally:
        if fd >= 0:
            os.close(fd)


class _Source:
    """Exact reads over chunks of any size."""

    def __init__(self, chunks: Iterable[bytes | memoryview | FileRange]) -> None:
        self._chunks = iter(chunks)
        self._held: memoryview | FileRange = memoryview(b"")

    def read_some(self, limit: int) -> memoryview | FileRange:
        """1 to ``limit`` bytes. Raises TarError at the end of the stream."""
        while not len(self._held):
            chunk = next(self._chunks, None)
            if chunk is None:
                raise TarError("it ends early; what came before is complete, repeat the command to get the rest")
            self._held = chunk if isinstance(chunk, FileRange) else memoryview(chunk)
        if isinstance(self._held, FileRange):
            taken, self._held = self._held.split(limit)
            return taken
        piece, self._held = self._held[:limit], self._held[limit:]
        return piece

    def read(self, size: int) -> bytes:
        """Exactly ``size`` bytes."""
        out = bytearray()
        while len(out) < size:
            piece = self.read_some(size - len(out))
            out += piece.read() if isinstance(piece, FileRange) else piece
        return bytes(out)


def _key(path: tuple[str, ...]) -> str:
    """Names the one unfinished file. Unlike those of getting.get, its bytes are never reused."""
    name = "/".join(path).encode("utf-8", "surrogateescape")
    return f"tar{crc32(name):08x}{adler32(name):08x}"[:16]
