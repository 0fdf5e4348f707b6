"""A place on disk that a tree is written into; nothing is ever written outside it.

Every operation walks from an open directory down, one name at a time, and refuses to follow a symlink; names that
would lead elsewhere are refused before. Files are written under a temporary name and renamed when complete. On
platforms without directory descriptors (Windows), each component is checked by path instead.

Symlinks of the tree are restored unchanged, even those that point outside, after all files: nothing is written
through them, now or by a later run.
"""

from __future__ import annotations

import os
import stat
from zlib import crc32

from cidery.errors import InvalidInput, Unavailable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Self

    from cidery.multiformats.varint import Buffer
    from cidery.unixfs.metadata import Mtime

PART_SUFFIX = ".cidery-part"
"""Ending of the temporary names of unfinished files."""
RESTORED_MODE = 0o777
"""Permission bits that are restored: never set-user-id, set-group-id or sticky."""
_DIR_FDS = os.open in os.supports_dir_fd and os.rename in os.supports_dir_fd
_DIRECTORY = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
_FILE = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
_FILE |= getattr(os, "O_NONBLOCK", 0)
_TIMES = (-(1 << 31), (1 << 33) - 1)
"""Seconds since 1970 that common file systems can hold (1901 to 2242); others are clamped to this range."""
_DEVICES = frozenset(
    {"CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"}
    | {f"{kind}{n}" for kind in ("COM", "LPT") for n in "123456789¹²³"}
)


def _lock(fd: int) -> None:
    """Raises BlockingIOError if it is locked by somebody else. Where there are no such locks, nothing happens."""
    try:
        import fcntl
    except ImportError:
        return
    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)


def part_name(name: str, key: str) -> str:
    """Of an unfinished file: the same in the next run, and another for the same content under another name."""
    return f".{key}-{crc32(os.fsencode(name)):08x}{PART_SUFFIX}"


class UnsafeName(InvalidInput):
    """An entry whose name would lead elsewhere."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(name, reason)
        self.name = name
        self.reason = reason

    def __str__(self) -> str:
        return f"refused to write an entry named {_printable(self.name)}: {self.reason}"


class InTheWay(InvalidInput):
    """Something in the target is in the way of an entry."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"cannot write {_printable(self.path)}: {self.reason}; move it away or choose another target"


class CannotWrite(Unavailable):
    """The file system refused: no space, no permission, read-only."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"cannot write {_printable(self.path)}: {self.reason}"


def _printable(text: str) -> str:
    return repr(text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace"))[:200]


def check_safe_name(name: str, *, windows: bool = os.name == "nt") -> None:
    """Raises UnsafeName for a name that is no plain name on this platform."""
    if name in ("", ".", ".."):
        raise UnsafeName(name, "it means another directory")
    if "/" in name or "\0" in name:
        raise UnsafeName(name, "it contains a slash or a NUL")
    if not windows:
        return
    if any(char in '\\:*?"<>|' or ord(char) < 32 for char in name):
        raise UnsafeName(name, "it contains a character that Windows gives a meaning")
    if name[-1] in ". " or name.split(".")[0].rstrip(" ").upper() in _DEVICES:
        raise UnsafeName(name, "Windows takes it for a device or another name")


class Target:
    """The destination of one tree: a path that need not exist. All methods block; use from one thread at a time.

    Paths are tuples of names below the root; () is the root itself.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Creates the directories above ``path``. Raises CannotWrite."""
        absolute = os.path.abspath(os.fspath(path))
        base, self._name = os.path.split(absolute)
        if not self._name:
            raise UnsafeName(absolute, "a tree cannot be written over the root directory")
        self.path = absolute
        self._base = base
        self._base_fd = -1
        self._cached: tuple[tuple[str, ...], int] = ((), -1)
        self._metadata: list[tuple[tuple[str, ...], int | None, Mtime | None]] = []
        try:
            os.makedirs(base, exist_ok=True)
            if _DIR_FDS:
                self._base_fd = os.open(base, _DIRECTORY & ~getattr(os, "O_NOFOLLOW", 0))
        except OSError as exc:
            raise CannotWrite(base, (exc.strerror or str(exc)).lower()) from exc

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *unused: object) -> None:
        self.close()

    def close(self) -> None:
        """Close descriptors. Idempotent."""
        self._drop_cache()
        if self._base_fd >= 0:
            os.close(self._base_fd)
            self._base_fd = -1

    def _drop_cache(self) -> None:
        if self._cached[1] >= 0:
            os.close(self._cached[1])
        self._cached = ((), -1)

    def shown(self, path: tuple[str, ...]) -> str:
        """The path on disk, for messages."""
        return os.path.join(self._base, self._name, *path)

    def _at(self, path: tuple[str, ...]) -> tuple[str, int | None]:
        """(name or path, dir_fd) of an entry for os functions; no symlink lies between. Raises UnsafeName, InTheWay."""
        for name in path:
            check_safe_name(name)
        names = (self._name, *path)
        if not _DIR_FDS:
            return self._checked_path(names), None
        parent = names[:-1]
        if not parent:
            return self._name, self._base_fd
        if self._cached[1] < 0 or self._cached[0] != parent:
            fd = self._open_directory(parent)
            self._drop_cache()
            self._cached = (parent, fd)
        return names[-1], self._cached[1]

    def _open_directory(self, names: tuple[str, ...]) -> int:
        fd = self._base_fd
        try:
            for name in names:
                inner = os.open(name, _DIRECTORY, dir_fd=fd)
                if fd != self._base_fd:
                    os.close(fd)
                fd = inner
        except OSError as exc:
            if fd != self._base_fd:
                os.close(fd)
            raise InTheWay(
                os.path.join(self._base, *names), "a part of it is not a directory that can be opened"
            ) from exc
        return fd

    def _checked_path(self, names: tuple[str, ...]) -> str:
        path = self._base
        for name in names[:-1]:
            path = os.path.join(path, name)
            if not os.path.isdir(path) or os.path.islink(path) or _is_junction(path):
                raise InTheWay(path, "it is not a directory")
        return os.path.join(path, names[-1])

    def _failed(self, path: tuple[str, ...], exc: OSError) -> CannotWrite:
        return CannotWrite(self.shown(path), (exc.strerror or str(exc)).lower())

    def kind(self, path: tuple[str, ...]) -> int | None:
        """File type bits (stat.S_IFMT) of the existing entry; None if there is none."""
        name, dir_fd = self._at(path)
        try:
            return stat.S_IFMT(os.stat(name, dir_fd=dir_fd, follow_symlinks=False).st_mode)
        except FileNotFoundError:
            return None
        except OSError as exc:
            raise self._failed(path, exc) from exc

    def stat(self, path: tuple[str, ...]) -> os.stat_result | None:
        """The existing entry, itself if it is a symlink; None if there is none. Raises UnsafeName, InTheWay."""
        name, dir_fd = self._at(path)
        try:
            return os.stat(name, dir_fd=dir_fd, follow_symlinks=False)
        except OSError:
            return None

    def make_directory(self, path: tuple[str, ...], mode: int | None = None, mtime: Mtime | None = None) -> None:
        """Create a directory if missing; finish() sets ``mode`` and ``mtime``. Raises InTheWay, CannotWrite."""
        name, dir_fd = self._at(path)
        try:
            os.mkdir(name, dir_fd=dir_fd)
        except FileExistsError:
            if self.kind(path) != stat.S_IFDIR:
                raise InTheWay(self.shown(path), "something that is not a directory is there") from None
        except OSError as exc:
            raise self._failed(path, exc) from exc
        if mode is not None or mtime is not None:
            self._metadata.append((path, mode, mtime))

    def open_file(self, path: tuple[str, ...]) -> int | None:
        """A descriptor for reading the existing regular file; None if there is nothing, or something else."""
        return self._open(path, self._at(path), os.O_RDONLY)

    def _check_replaceable(self, path: tuple[str, ...]) -> None:
        """Only files, and symlinks of the user's own, are replaced. Raises InTheWay, UnsafeName."""
        found = self.stat(path)
        kind = stat.S_IFMT(found.st_mode) if found is not None else stat.S_IFREG
        if kind == stat.S_IFDIR:
            raise InTheWay(self.shown(path), "a directory is there")
        if kind not in (stat.S_IFREG, stat.S_IFLNK):
            raise InTheWay(self.shown(path), "a device, pipe or socket is there")
        if kind == stat.S_IFLNK and found is not None and hasattr(os, "geteuid") and found.st_uid != os.geteuid():
            raise InTheWay(self.shown(path), "another user's symlink is there")

    def open_part(self, path: tuple[str, ...], key: str) -> tuple[int, bool]:
        """The unfinished file that becomes ``path``: (descriptor, whether an earlier run left one)."""
        self._check_replaceable(path)
        at = self._part(path, key)
        found = self._open(path, at, os.O_RDWR)
        if found is not None:
            return self._alone(path, found), True
        try:
            made = os.open(at[0], os.O_RDWR | os.O_CREAT | os.O_EXCL | _FILE, 0o666, dir_fd=at[1])
        except OSError as exc:
            raise self._failed(path, exc) from exc
        return self._alone(path, made), False

    def _alone(self, path: tuple[str, ...], fd: int) -> int:
        """Raises CannotWrite if another get writes the same file."""
        try:
            _lock(fd)
        except BlockingIOError as exc:
            os.close(fd)
            raise CannotWrite(self.shown(path), "another command is writing it") from exc
        except OSError:
            pass  # a file system without locks: the name keeps others away
        return fd

    def has_part(self, path: tuple[str, ...], key: str) -> bool:
        """Whether an earlier run left an unfinished file."""
        name, dir_fd = self._part(path, key)
        try:
            return stat.S_ISREG(os.stat(name, dir_fd=dir_fd, follow_symlinks=False).st_mode)
        except OSError:
            return False

    def _part(self, path: tuple[str, ...], key: str) -> tuple[str, int | None]:
        if not path:
            return self._part_of_root(key)
        check_safe_name(path[-1])
        return self._at((*path[:-1], part_name(path[-1], key)))

    def _part_of_root(self, key: str) -> tuple[str, int | None]:
        name = part_name(self._name, key)
        return (name, self._base_fd) if _DIR_FDS else (os.path.join(self._base, name), None)

    def _open(self, path: tuple[str, ...], at: tuple[str, int | None], flags: int) -> int | None:
        try:
            fd = os.open(at[0], flags | _FILE, dir_fd=at[1])
        except OSError:
            return None  # absent, a symlink, or not readable: it is replaced as a whole
        if stat.S_ISREG(os.fstat(fd).st_mode):
            return fd
        os.close(fd)
        return None

    def commit_part(
        self, path: tuple[str, ...], key: str, fd: int, mode: int | None = None, mtime: Mtime | None = None
    ) -> None:
        """Close a complete file and rename it atomically. Raises InTheWay for a directory there, CannotWrite."""
        try:
            try:
                restore(fd, mode, mtime)
            finally:
                os.close(fd)
            self._rename(self._part(path, key), path)
        except OSError as exc:
            raise self._failed(path, exc) from exc

    def write_file(
        self, path: tuple[str, ...], key: str, data: bytes, mode: int | None = None, mtime: Mtime | None = None
    ) -> None:
        """Write a small file in one step."""
        fd, _ = self.open_part(path, key)
        try:
            cut_to(fd, 0)
            write_at(fd, data, 0)
        except OSError as exc:
            os.close(fd)
            raise self._failed(path, exc) from exc
        self.commit_part(path, key, fd, mode, mtime)

    def write_symlink(self, path: tuple[str, ...], key: str, target: str, mtime: Mtime | None = None) -> None:
        """Create a symlink, unchanged. Raises UnsafeName for a target with NUL, InTheWay, CannotWrite."""
        if "\0" in target or not target:
            raise UnsafeName(target, "it is no target for a symlink")
        name, dir_fd = self._at(path)
        part, part_fd = self._part(path, key)
        try:
            if self.kind(path) == stat.S_IFLNK and os.readlink(name, dir_fd=dir_fd) == target:
                _set_link_time(name, dir_fd, mtime)
                return
            self._check_replaceable(path)
            if stat.S_ISLNK(_mode_of(part, part_fd)):
                os.unlink(part, dir_fd=part_fd)
            os.symlink(target, part, dir_fd=part_fd)
            _set_link_time(part, part_fd, mtime)
            self._rename((part, part_fd), path)
        except OSError as exc:
            raise self._failed(path, exc) from exc

    def _rename(self, part: tuple[str, int | None], path: tuple[str, ...]) -> None:
        name, dir_fd = self._at(path)
        try:
            os.replace(part[0], name, src_dir_fd=part[1], dst_dir_fd=dir_fd)
        except (IsADirectoryError, PermissionError) as exc:
            if self.kind(path) == stat.S_IFDIR:
                raise InTheWay(self.shown(path), "a directory is there") from exc
            raise

    def finish(self) -> None:
        """Set modes and times of directories, innermost first. Call once, after everything else."""
        for path, mode, mtime in reversed(self._metadata):
            try:
                if not _DIR_FDS:
                    _set_metadata(self._checked_path((self._name, *path)), mode, mtime)
                    continue
                self._drop_cache()
                fd = self._open_directory((self._name, *path))
                try:
                    _set_metadata(fd, mode, mtime)
                finally:
                    os.close(fd)
            except OSError as exc:
                raise self._failed(path, exc) from exc
        self._metadata.clear()


def restore(fd: int, mode: int | None, mtime: Mtime | None) -> None:
    """Give an open file its mode and time, as far as the system can. Raises OSError."""
    if mode is not None and hasattr(os, "fchmod"):
        os.fchmod(fd, mode & RESTORED_MODE)
    if mtime is not None and os.utime in os.supports_fd:
        os.utime(fd, ns=_times(mtime))


def _set_link_time(name: str, dir_fd: int | None, mtime: Mtime | None) -> None:
    if mtime is not None and os.utime in os.supports_follow_symlinks:
        os.utime(name, ns=_times(mtime), dir_fd=dir_fd, follow_symlinks=False)


def _set_metadata(directory: int | str, mode: int | None, mtime: Mtime | None) -> None:
    if mtime is not None:
        os.utime(directory, ns=_times(mtime))
    if mode is not None:
        os.chmod(directory, mode & RESTORED_MODE)


def _is_junction(path: str) -> bool:
    """Whether a directory on Windows leads elsewhere without being a symlink."""
    tag = getattr(os.lstat(path), "st_reparse_tag", 0)
    return bool(tag)


def _times(mtime: Mtime) -> tuple[int, int]:
    seconds = min(max(mtime.seconds, _TIMES[0]), _TIMES[1])
    nanoseconds = seconds * 1_000_000_000 + mtime.nanoseconds
    return nanoseconds, nanoseconds


def _mode_of(name: str, dir_fd: int | None) -> int:
    try:
        return os.stat(name, dir_fd=dir_fd, follow_symlinks=False).st_mode
    except FileNotFoundError:
        return 0


def cut_to(fd: int, size: int) -> None:
    """Make an open file that is at least ``size`` bytes long that long. Raises OSError.

    One that is that long is left alone: ext4 writes a file to the disk in close() once it was cut to nothing.
    """
    if os.fstat(fd).st_size != size:
        os.ftruncate(fd, size)


def write_at(fd: int, data: Buffer, offset: int) -> None:
    """Write all of ``data`` at ``offset``. Raises OSError."""
    view = memoryview(data)
    if not hasattr(os, "pwrite"):
        os.lseek(fd, offset, os.SEEK_SET)
        while len(view):
            view = view[os.write(fd, view) :]
        return
    while len(view):
        written = os.pwrite(fd, view, offset)
        offset += written
        view = view[written:]
