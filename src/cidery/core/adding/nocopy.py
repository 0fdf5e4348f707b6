"""Decides which files an RPC call may store without a copy, by their paths alone.

The daemon reads such a file itself, with its own rights, and serves it to the world. Therefore the config must allow
it, the caller must be the daemon's user on this machine, and the file must be below one of the roots.
"""

import os
from pathlib import Path

from cidery.errors import InvalidInput
from cidery.repo.config import Config


class NoCopyRefused(InvalidInput):
    """A file that the daemon must not refer to for this caller."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"--nocopy through the daemon: {self.reason}"


class Roots:
    """The directories whose files may be referred to."""

    def __init__(self, config: Config, repo: Path, *, owner: bool) -> None:
        """``owner``: whether the caller has proved to be the user of this node. Raises NoCopyRefused."""
        if not config.filestore_enabled:
            switch = "cidery config --json Experimental.FilestoreEnabled true"
            raise NoCopyRefused(f"off; switch it on with `{switch}` and start the daemon again")
        if not owner:
            raise NoCopyRefused("for its user on this machine only; run cidery there, without --api")
        self._roots = [os.path.realpath(root) for root in config.filestore_roots or (repo.parent,)]

    def check(self, path: str) -> None:
        """Symlinks are followed. Raises NoCopyRefused."""
        real = os.path.realpath(path)
        if not any(os.path.commonpath((real, root)) == root for root in self._roots):
            shown = path.encode("utf-8", "replace").decode()[:200]
            raise NoCopyRefused(f"{shown!r} is not below {' or '.join(self._roots)}; see Experimental.FilestoreRoots")
