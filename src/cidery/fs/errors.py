"""Cidery's errors as the OSErrors that programs expect of a file system.

FileNotFoundError means that a directory has no such entry, and nothing else: zarr takes it for a chunk that was never
written and fills in values of its own. A block that is missing or damaged is therefore a plain OSError.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from cidery.errors import CideryError, IntegrityError, InvalidInput, LimitExceeded, NotFound, Unavailable

if TYPE_CHECKING:
    from collections.abc import Mapping

NAMED = ("NoSuchEntry", "NoSuchPath", "NoSuchFile", "NameNotFound", "NoDnsLink", "NoSuchDomain")
"""Errors that mean that a name leads nowhere; by name, so that none of their modules has to be imported."""
_BY_NAME: Mapping[str, int] = {
    **dict.fromkeys(NAMED, errno.ENOENT),
    "PathError": errno.ENOENT,
    "NotADirectory": errno.ENOTDIR,
    "NotAFile": errno.EISDIR,
    "AlreadyThere": errno.EEXIST,
    "Denied": errno.EACCES,
    "RepoLocked": errno.EBUSY,
    "DiskFull": errno.ENOSPC,
    "StoreReadOnly": errno.EROFS,
}


class NoSource(Unavailable):
    """There is nothing here that could give blocks."""

    def __init__(self, repo: str) -> None:
        super().__init__(repo)
        self.repo = repo

    def __str__(self) -> str:
        return (
            f"nothing here can give IPFS content: no repository at {self.repo}, no daemon and no gateway. Run `cidery"
            " init` and `cidery daemon`, or set IPFS_GATEWAY to a trustless gateway such as http://127.0.0.1:8080"
        )


class CannotWrite(InvalidInput):
    """A write where nothing can be written."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return self.reason


def os_error(error: CideryError, path: str) -> OSError:
    """The OSError of the right class, with the same line."""
    number = _BY_NAME.get(type(error).__name__)
    if number is None:
        match error:
            case CannotWrite():
                number = errno.EROFS
            case InvalidInput():
                number = errno.EINVAL
            case LimitExceeded():
                number = errno.EOVERFLOW
            case NotFound() | IntegrityError() | Unavailable() | _:
                number = errno.EIO
    return OSError(number, str(error).replace("\n", " "), path)


@contextmanager
def as_os_errors(path: str) -> Iterator[None]:
    """Errors of Cidery that come out of the context are raised as OSErrors about ``path``."""
    try:
        yield
    except CideryError as exc:
        raise os_error(exc, path) from exc


def no_entry(path: str) -> FileNotFoundError:
    return FileNotFoundError(errno.ENOENT, "no such file or directory", path)


def not_a_folder(path: str) -> NotADirectoryError:
    return NotADirectoryError(errno.ENOTDIR, "not a directory", path)


def is_a_folder(path: str) -> IsADirectoryError:
    return IsADirectoryError(errno.EISDIR, "it is a directory", path)


def read_only(path: str) -> OSError:
    return OSError(
        errno.EROFS,
        "content cannot change; write to a mutable folder such as cidery:///folder, whose cid() names the result",
        path,
    )
