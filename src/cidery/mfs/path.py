"""Paths of mutable files: ``/a/b/c``, absolute, never above the root, only with valid directory names."""

from typing import NamedTuple

from cidery.errors import InvalidInput
from cidery.unixfs.directory import BadName, check_name

MAX_PATH = 16_384
"""Longest path accepted, in characters: four times PATH_MAX of Linux."""
MAX_DEPTH = 1024
"""Most names in a path: half of what PATH_MAX (4096 bytes) allows on Linux."""


class BadPath(InvalidInput):
    """Text that is not the path of a mutable file."""

    def __init__(self, given: str, reason: str) -> None:
        super().__init__(given, reason)
        self.given = given
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.given[:80]!r} is not a path of mutable files: {self.reason}"


class FilePath(NamedTuple):
    """The names from the root on; none for the root itself."""

    names: tuple[str, ...]
    folder: bool = False
    """Whether a trailing slash marked it as a directory."""

    @property
    def name(self) -> str:
        """The last name; the root has none."""
        assert self.names  # callers refuse the root first
        return self.names[-1]

    @property
    def parent(self) -> "FilePath":
        return FilePath(self.names[:-1])

    def child(self, name: str) -> "FilePath":
        return FilePath((*self.names, name))

    def within(self, other: "FilePath") -> bool:
        """Whether this is ``other`` or below it."""
        return self.names[: len(other.names)] == other.names

    def __str__(self) -> str:
        return "/" + "/".join(self.names)


ROOT = FilePath(())


def parse_file_path(text: str) -> FilePath:
    """Parse an absolute path; ``.`` and empty names are dropped, ``..`` goes up. Raises BadPath."""
    if not text.startswith("/"):
        raise BadPath(text, "it must begin with a slash")
    if len(text) > MAX_PATH:
        raise BadPath(text, f"longer than {MAX_PATH} characters")
    names: list[str] = []
    for name in text.split("/"):
        if name in ("", "."):
            continue
        if name == "..":
            if not names:
                raise BadPath(text, "'..' leads above the root")
            names.pop()
            continue
        try:
            check_name(name)
        except BadName as exc:
            raise BadPath(text, str(exc)) from exc
        names.append(name)
    if len(names) > MAX_DEPTH:
        raise BadPath(text, f"deeper than {MAX_DEPTH} directories")
    return FilePath(tuple(names), text.endswith("/"))
