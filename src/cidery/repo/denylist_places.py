"""Where denylists lie. Apart from what reads them: most users have none, and every command looks."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

SUFFIX = ".deny"


def list_files(folders: Iterable[Path]) -> list[Path]:
    """The lists in these folders, in the order in which they count: by name, then by folder."""
    found: list[tuple[str, int, Path]] = []
    for number, folder in enumerate(folders):
        try:
            names = os.listdir(folder)
        except OSError:
            continue  # most users have no such folder
        found += [(name, number, folder / name) for name in names if name.endswith(SUFFIX)]
    return [path for _, _, path in sorted(found)]
