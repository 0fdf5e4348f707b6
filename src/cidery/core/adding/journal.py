"""Records which files of an add are already stored, so that an interrupted add resumes without reading them again.

A file is recognized by its device, inode, size and times; its nodes are looked up in the store before they are
trusted, so the journal needs no sync and may be torn or stale. A file changed within RACY seconds before it was read
is not noted: a second change could leave its times the same.

Layout: MAGIC, then records: length u32, crc32 u32, entries. An entry: 40 bytes that identify the file, the start of the
part u64 (WHOLE for a finished file), the number of nodes u32, and per node: length u8, CID, bytes of content u64,
cumulative size u64.
"""

import hashlib
import os
import struct
import threading
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

from cidery.core.adding.items import Identity
from cidery.errors import Unavailable
from cidery.multiformats.cid import CID, CIDError
from cidery.multiformats.varint import Buffer
from cidery.plain_files import open_plain, read_plain
from cidery.unixfs.layout import Child

MAGIC = b"cidery add 1\n"
MAX_BYTES = 1 << 30
"""Longest journal: about ten million small files. Later ones are not noted, and repeated after an interruption."""
MAX_RECORD = 16 << 20
"""Longest record: a part of one file, or a batch of small ones."""
RACY = 2.0
"""Seconds: above the resolution of times on common file systems (FAT has 2)."""
WHOLE = (1 << 64) - 1
_IDENTITY = struct.Struct(">QQqqq")
_HEAD = struct.Struct(">II")
_ENTRY = struct.Struct(">QI")
_FILE_HEAD = struct.Struct(">QQqqqQIB")
"""What comes before the CID of a finished file."""
_SIZES = struct.Struct(">QQ")


def identity_of(found: os.stat_result) -> Identity:
    """The identity of a file."""
    return found.st_dev & WHOLE, found.st_ino & WHOLE, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def file_entry(identity: Identity, cid: bytes, filesize: int, tsize: int, racy_from: int) -> bytes:
    """The entry of a finished file; b"" for one with a time from ``racy_from`` on."""
    if identity[3] >= racy_from or identity[4] >= racy_from:
        return b""
    return _FILE_HEAD.pack(*identity, WHOLE, 1, len(cid)) + cid + _SIZES.pack(filesize, tsize)


def local_paths(sources: object) -> list[str]:
    """Absolute paths of the sources if all are files or folders of this machine, else none."""
    if not isinstance(sources, Sequence) or not all(isinstance(one, str | os.PathLike) for one in sources):
        return []
    return [os.path.abspath(os.fspath(one)) for one in sources]


def add_key(paths: Sequence[str], *rules: object) -> str:
    """The same for adds of the same paths in which the same bytes become the same blocks by the rules' repr()."""
    what = (list(paths), *rules)
    return hashlib.sha256(repr(what).encode("utf-8", "surrogateescape")).hexdigest()[:32]


class NotRemembered(Unavailable):
    """A sender left out data that an earlier run should have stored, but it is not here."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name

    def __str__(self) -> str:
        return f"what was stored of {self.name[:80]!r} has gone meanwhile; run the command again"


class AddJournal:
    """The journal of one add. Call note_*() from any thread; existing records are loaded on construction."""

    def __init__(self, path: Path, wall: Callable[[], float], *, load: bool) -> None:
        """Blocks. ``wall``: seconds since 1970; ``load``: resume from an earlier run. Raises nothing."""
        self._path = path
        self._wall = wall
        self._lock = threading.Lock()
        self._file = -1
        self._size = 0
        self._broken = False
        self._files: dict[bytes, memoryview] = {}  # encoded nodes: objects would take four times the memory
        self._parts: dict[bytes, dict[int, memoryview]] = {}
        self.reused = 0
        """Bytes of content that were not read again."""
        if load:
            self._load()

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to resume."""
        return not self._files and not self._parts

    def identities(self) -> list[Identity]:
        """All files about which something is known."""
        return [_IDENTITY.unpack(packed) for packed in {**self._files, **self._parts}]

    def file(self, identity: Identity) -> Child | None:
        """What a file became, if an earlier run finished it."""
        found = self._files.get(_IDENTITY.pack(*identity)) if self._files else None
        return None if found is None else _decode(found, 0)[0]

    def parts(self, identity: Identity) -> dict[int, list[Child]]:
        """Leaves of a file that an earlier run began, by where they start."""
        found = self._parts.get(_IDENTITY.pack(*identity), {})
        return {start: _decode_all(nodes) for start, nodes in found.items()}

    def forget(self, identity: Identity) -> None:
        """The nodes noted for a file are not in the store (any more)."""
        self._files.pop(_IDENTITY.pack(*identity), None)
        self._parts.pop(_IDENTITY.pack(*identity), None)

    def note_files(self, entries: Sequence[bytes]) -> None:
        """The files of these entries (file_entry() makes them) are stored whole. One write."""
        self._write(b"".join(entries))

    def note_file(self, identity: Identity, child: Child, racy_from: int) -> None:
        """A file is stored whole. ``racy_from``: as it was before the first byte was read."""
        cid = child.cid.encode()
        self._write(file_entry(identity, cid, child.filesize, child.tsize, racy_from))

    def note_part(self, identity: Identity, start: int, leaves: Sequence[Child], racy_from: int) -> None:
        """These leaves, the bytes of the file from ``start`` on, are stored. ``racy_from``: before they were read."""
        if max(identity[3:]) < racy_from:
            head = _IDENTITY.pack(*identity) + _ENTRY.pack(start, len(leaves))
            self._write(head + b"".join(map(_encode, leaves)))

    def racy_from(self) -> int:
        """Files with a time from here on, in nanoseconds since 1970, are not noted when read now."""
        return int((self._wall() - RACY) * 1e9)

    def close(self) -> None:
        """Idempotent. The file stays: its job removes it."""
        with self._lock:
            self._broken = True
            if self._file >= 0:
                os.close(self._file)
                self._file = -1

    def _write(self, entries: bytes) -> None:
        if not entries:
            return
        with self._lock:
            if self._broken or self._size + len(entries) > MAX_BYTES or len(entries) > MAX_RECORD:
                return
            record = _HEAD.pack(len(entries), _crc(entries)) + entries
            try:
                if self._file < 0:
                    self._open()
                view = memoryview(record)
                while len(view):
                    view = view[os.write(self._file, view) :]
            except OSError as exc:
                # The add continues; files that it cannot note would be repeated after a crash.
                import logging  # seldom needed, and slow to import

                logging.getLogger("cidery.jobs").warning("how far an add is cannot be noted: %s", exc)
                self._broken = True
            self._size += len(record)

    def _open(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._file = open_plain(self._path, os.O_WRONLY | os.O_CREAT)
        if not self._size:
            os.ftruncate(self._file, 0)
            os.write(self._file, MAGIC)
            self._size = len(MAGIC)
        else:
            os.ftruncate(self._file, self._size)  # a torn record at the end
        os.lseek(self._file, self._size, os.SEEK_SET)

    def _load(self) -> None:
        try:
            data = read_plain(self._path, MAX_BYTES)
        except OSError:
            return
        if data[: len(MAGIC)] != MAGIC:
            return
        at = len(MAGIC)
        while at + _HEAD.size <= len(data):
            size, crc = _HEAD.unpack_from(data, at)
            start = at + _HEAD.size
            entries = memoryview(data)[start : start + size]
            if size > MAX_RECORD or len(entries) != size or _crc(entries) != crc:
                break
            if not self._read(entries):
                break
            at = start + size
        self._size = at

    def _read(self, entries: memoryview) -> bool:
        at = 0
        try:
            while at < len(entries):
                identity = bytes(entries[at : at + _IDENTITY.size])
                start, count = _ENTRY.unpack_from(entries, at + _IDENTITY.size)
                at += _IDENTITY.size + _ENTRY.size
                begun = at
                for _ in range(count):
                    _, at = _decode(entries, at)
                nodes = entries[begun:at]
                if start == WHOLE and count == 1:
                    self._files[identity] = nodes
                    self._parts.pop(identity, None)
                else:
                    self._parts.setdefault(identity, {})[start] = nodes
        except (struct.error, CIDError, IndexError):
            return False
        return True


def _encode(child: Child) -> bytes:
    cid = child.cid.encode()
    return bytes((len(cid),)) + cid + _SIZES.pack(child.filesize, child.tsize)


def _decode_all(data: memoryview) -> list[Child]:
    nodes: list[Child] = []
    at = 0
    while at < len(data):
        child, at = _decode(data, at)
        nodes.append(child)
    return nodes


def _decode(data: memoryview, at: int) -> tuple[Child, int]:
    end = at + 1 + data[at]
    cid = CID.decode(bytes(data[at + 1 : end]))
    filesize, tsize = _SIZES.unpack_from(data, end)
    return Child(cid, filesize, tsize), end + _SIZES.size


def _crc(data: Buffer) -> int:
    """CRC-32 in pieces too short to release the interpreter lock for: reacquiring it costs more."""
    view, crc = memoryview(data), 0
    for at in range(0, len(view), 4096):
        crc = zlib.crc32(view[at : at + 4096], crc)
    return crc


def identity_text(identity: Identity) -> str:
    """As a sender states it."""
    return "-".join(map(str, identity))
