"""The differences between platforms in storing bytes, behind one small object that tests can replace.

``FileLayer`` is the interface to files that the store uses. ``OsFiles`` implements it; a recording layer (testing)
keeps unsynced writes apart to replay power cuts. Locks between processes and the check for network file systems are
here too.
"""

import errno
import os
import sys
from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import Protocol

from cidery.disk.hole_punching import punch_hole
from cidery.errors import InvalidInput
from cidery.multiformats.varint import Buffer
from cidery.plain_files import open_plain

WRITE_PARTS = 1024
"""Most buffers in one gathering write: IOV_MAX of Linux and macOS."""


class SyncPoint(Enum):
    """Every place where the store waits for the disk; the crash tests skip them one by one."""

    SEGMENT_DATA = "records of a segment, before the index calls them durable"
    SEGMENT_NAME = "the directory, after a segment was created"
    DELETE_LOG = "the delete log, before the index forgets a block"
    DELETE_LOG_NAME = "the directory, after the delete log was created"
    DELETE_LOG_TRIMMED = "a trimmed delete log, before it takes the place of the old one"
    DELETE_LOG_REPLACED = "the directory, after a trimmed delete log took its place, before a delete relies on it"
    RECOVERED_DATA = "records found after an unclean stop, before the index calls them durable"
    RECOVERED_LOG = "deletes found after an unclean stop, before the index forgets the blocks"
    REBUILT_DATA = "records found by a rebuild, before the index calls them durable"


class FileLayer(Protocol):
    """File operations of the store. All block, all release the GIL, all raise OSError."""

    def open(self, path: Path, *, write: bool, create: bool = False) -> int:
        """A descriptor; ``create`` creates the file and fails if it exists. Raises also NotAFile."""
        ...

    def close(self, fd: int) -> None: ...

    def size(self, fd: int) -> int: ...

    def write(self, fd: int, parts: Sequence[Buffer], offset: int) -> None:
        """Write the buffers one after the other at ``offset``, completely or OSError (then part may be written)."""
        ...

    def read(self, fd: int, size: int, offset: int) -> bytes:
        """At most ``size`` bytes; fewer only at the end of the file."""
        ...

    def read_ready(self, fd: int, into: memoryview, offset: int) -> int:
        """Bytes read without waiting for a disk; -1 if that is not possible here or now."""
        ...

    def truncate(self, fd: int, size: int) -> None: ...

    def punch(self, fd: int, offset: int, length: int) -> bool:
        """Free the space of these bytes, which then read as zeros; returns whether that is possible here."""
        ...

    def remove(self, path: Path) -> None:
        """Unlink the file if it exists."""
        ...

    def replace(self, path: Path, target: Path) -> None:
        """Rename a file over another in the same directory, atomically."""
        ...

    def sync(self, fd: int, point: SyncPoint) -> None:
        """Return when the data and size of the file are on disk."""
        ...

    def sync_directory(self, path: Path, point: SyncPoint) -> None:
        """Return when the names in the directory are on disk."""
        ...

    def committed(self, environment: Path) -> None:
        """Called after each commit of the index, in the thread that made it. LMDB writes and syncs its own file."""
        ...


class OsFiles:
    """The FileLayer of the operating system. Stateless."""

    def open(self, path: Path, *, write: bool, create: bool = False) -> int:
        flags = os.O_RDWR if write else os.O_RDONLY
        if create:
            flags |= os.O_CREAT | os.O_EXCL
        return open_plain(path, flags, 0o644)

    def close(self, fd: int) -> None:
        os.close(fd)

    def size(self, fd: int) -> int:
        return os.fstat(fd).st_size

    def write(self, fd: int, parts: Sequence[Buffer], offset: int) -> None:
        for start in range(0, len(parts), WRITE_PARTS):
            offset += _write_all(fd, parts[start : start + WRITE_PARTS], offset)

    def read(self, fd: int, size: int, offset: int) -> bytes:
        return _read_at(fd, size, offset)

    def read_ready(self, fd: int, into: memoryview, offset: int) -> int:
        return _read_ready(fd, into, offset)

    def truncate(self, fd: int, size: int) -> None:
        os.ftruncate(fd, size)

    def punch(self, fd: int, offset: int, length: int) -> bool:
        return punch_hole(fd, offset, length)

    def remove(self, path: Path) -> None:
        path.unlink(missing_ok=True)

    def replace(self, path: Path, target: Path) -> None:
        path.replace(target)

    def sync(self, fd: int, point: SyncPoint) -> None:
        _sync_data(fd)

    def sync_directory(self, path: Path, point: SyncPoint) -> None:
        if sys.platform == "win32":
            return  # NTFS journals names itself and directories cannot be opened for it
        fd = os.open(path, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def committed(self, environment: Path) -> None:
        """Nothing to do: the commit is on disk."""


OS_FILES = OsFiles()


def _write_all(fd: int, parts: Sequence[Buffer], offset: int) -> int:
    wanted = sum(map(len, parts))
    done = _write_at(fd, parts, offset)
    while done < wanted:
        # A short write is the first sign of a full disk; retrying the rest raises the error.
        rest = _skip(parts, done)
        more = _write_at(fd, rest, offset + done)
        if more == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        done += more
    return done


def _skip(parts: Sequence[Buffer], count: int) -> list[Buffer]:
    rest: list[Buffer] = []
    for part in parts:
        if count >= len(part):
            count -= len(part)
        else:
            rest.append(memoryview(part)[count:])
            count = 0
    return rest


if sys.platform == "win32":
    import threading

    _seek_lock = threading.Lock()

    def _write_at(fd: int, parts: Sequence[Buffer], offset: int) -> int:
        with _seek_lock:
            os.lseek(fd, offset, os.SEEK_SET)
            return sum(os.write(fd, part) for part in parts)

    def _read_at(fd: int, size: int, offset: int) -> bytes:
        with _seek_lock:
            os.lseek(fd, offset, os.SEEK_SET)
            return os.read(fd, size)

    def _sync_data(fd: int) -> None:
        os.fsync(fd)

else:
    import fcntl

    def _write_at(fd: int, parts: Sequence[Buffer], offset: int) -> int:
        return os.pwritev(fd, parts, offset)

    def _read_at(fd: int, size: int, offset: int) -> bytes:
        data = os.pread(fd, size, offset)
        while 0 < len(data) < size:
            more = os.pread(fd, size - len(data), offset + len(data))
            if not more:
                break
            data += more
        return data

    def _sync_data(fd: int) -> None:
        if sys.platform == "darwin":
            fcntl.fcntl(fd, fcntl.F_FULLFSYNC)  # fsync() of macOS stops at the drive's cache
        else:
            os.fdatasync(fd)


_NOWAIT = getattr(os, "RWF_NOWAIT", 0)
_COLD_OR_UNSUPPORTED = frozenset({errno.EAGAIN, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS})


def _read_ready(fd: int, into: memoryview, offset: int) -> int:
    if sys.platform != "linux" or not _NOWAIT:
        return -1
    try:
        return os.preadv(fd, [into], offset, _NOWAIT)
    except OSError as exc:
        if exc.errno in _COLD_OR_UNSUPPORTED:
            return -1
        raise


NETWORK_FILESYSTEMS = frozenset(
    "9p afs ceph cifs coda davfs fuse.cephfs fuse.glusterfs fuse.rclone fuse.s3fs fuse.sshfs gfs2 lustre ncpfs nfs "
    "nfs4 ocfs2 orangefs smb3 smbfs virtiofs vboxsf".split()
)
"""File systems whose locks and memory maps are not coherent between processes, or do not survive network failures."""


class NetworkFilesystem(InvalidInput):
    """The store would be on a file system whose locks and memory maps cannot be trusted."""

    def __init__(self, path: Path, kind: str) -> None:
        super().__init__(path, kind)
        self.path = path
        self.kind = kind

    def __str__(self) -> str:
        return (
            f"{self.path} is on a network file system ({self.kind}), which cannot hold a repository; use a local disk"
        )


def filesystem_kind(path: Path) -> str:
    """Name of the file system that holds ``path``; "" if the platform does not report it."""
    if sys.platform == "win32":
        return "smbfs" if str(path.resolve()).startswith("\\\\") else ""
    try:
        text = Path("/proc/self/mountinfo").read_text("utf-8", "surrogateescape")
    except OSError:
        return ""
    return kind_in_mountinfo(text, path.resolve())


def kind_in_mountinfo(text: str, path: Path) -> str:
    """The type of the innermost mount over ``path`` in the text of a mountinfo file (proc(5))."""
    inside, best, kind = f"{path}/", -1, ""
    for line in text.splitlines():
        left, _, right = line.partition(" - ")
        fields = left.split(" ")
        if len(fields) < 5:
            continue
        # Spaces and some other characters are octal escapes.
        mount = fields[4].encode("utf-8", "surrogateescape").decode("unicode_escape", "replace")
        if inside.startswith(mount.rstrip("/") + "/") and len(mount) >= best:
            best, kind = len(mount), right.split(" ")[0]
    return kind


def refuse_network_filesystem(path: Path) -> None:
    """Raises NetworkFilesystem. On platforms that do not report it (macOS), nothing is refused."""
    kind = filesystem_kind(path)
    if kind in NETWORK_FILESYSTEMS:
        raise NetworkFilesystem(path, kind)
