"""The paths in a repository, without pathlib, whose import takes a tenth of the time of a small command."""

from __future__ import annotations

import os

from cidery.plain_files import read_plain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path


def jobs_directory(root: str | Path) -> str:
    """Of the repository at ``root``: journals of unfinished jobs; created on first use."""
    return os.path.join(root, "meta", "jobs")


MAX_URL = 1024
"""Most bytes that are read of the file with a gateway's address."""


def gateway_url(root: str | Path) -> str:
    """Where the gateway of the daemon listens that has this repository; "": nowhere."""
    try:
        return read_plain(os.path.join(root, "gateway"), MAX_URL).decode("ascii", "replace").strip()
    except OSError:
        return ""
