"""The paths in a repository, without pathlib, whose import takes a tenth of the time of a small command."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path


def jobs_directory(root: str | Path) -> str:
    """Of the repository at ``root``: journals of unfinished jobs; created on first use."""
    return os.path.join(root, "meta", "jobs")
