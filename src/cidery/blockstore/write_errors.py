"""The errors of writing a block."""

import errno
import os

from cidery.disk.lmdb_environment import DatabaseUnavailable
from cidery.errors import Unavailable

_NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_READ_ONLY = frozenset({errno.EROFS, errno.EACCES, errno.EPERM})


class DiskFull(Unavailable):
    """No room for a block; blocks stored before are intact and readable."""

    def __init__(self, cause: OSError) -> None:
        super().__init__(cause)
        self.cause = cause

    def __str__(self) -> str:
        return f"no space left for blocks ({self.cause.strerror}); nothing stored was lost, free space and try again"


class StoreReadOnly(Unavailable):
    """A write to a store that is read-only."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"the block store cannot be written: {self.reason}; nothing was changed"


class StoreFailed(Unavailable):
    """The disk failed. After a failed sync nothing is written until the store is reopened; reading still works."""

    def __init__(self, cause: BaseException) -> None:
        super().__init__(cause)
        self.cause = cause

    def __str__(self) -> str:
        return f"writing to the disk failed ({self.cause}); what was stored is intact, check the disk and restart"


class StoreClosed(Unavailable):
    """The store was closed."""

    def __str__(self) -> str:
        return "the block store is closed; open it again"


def is_disk_full(exc: Exception) -> bool:
    """Whether freeing space may help: of blocks, or of a database."""
    return isinstance(exc, DiskFull) or (
        isinstance(exc, DatabaseUnavailable) and os.strerror(errno.ENOSPC) in exc.reason
    )


def write_error(cause: OSError) -> Unavailable:
    """The typed error for a failed write."""
    if cause.errno in _NO_SPACE:
        return DiskFull(cause)
    if cause.errno in _READ_ONLY:
        return StoreReadOnly(str(cause.strerror))
    return StoreFailed(cause)
