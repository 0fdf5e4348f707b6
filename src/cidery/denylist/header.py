"""The header of a denylist: YAML, ended by a line ``---``.

Spec: https://specs.ipfs.tech/compact-denylist-format/#header
"""

from typing import NamedTuple

from cidery.denylist.rules import MAX_HINT, MAX_HINTS
from cidery.errors import InvalidInput

MAX_HEADER = 1024 * 1024
"""Longest header, in bytes; what is longer is no header."""
MAX_FIELD = 1024
"""Characters kept of a field."""
END = b"---"


class BadHeader(InvalidInput):
    """A header that is not understood: the list must not be used."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"its header is not understood: {self.reason}"


class Header(NamedTuple):
    """The known fields."""

    name: str = ""
    description: str = ""
    author: str = ""
    hints: tuple[tuple[str, str], ...] = ()
    """Of every rule that does not say otherwise."""


def split_header(data: bytes) -> tuple[bytes | None, int]:
    """The header's bytes and where the rules begin; (None, 0) when there is no header in the first MAX_HEADER bytes."""
    at = 0
    while at < min(len(data), MAX_HEADER):
        end = data.find(b"\n", at)
        line = data[at:] if end < 0 else data[at:end]
        if line.rstrip(b"\r") == END:
            return data[:at], len(data) if end < 0 else end + 1
        if end < 0:
            break
        at = end + 1
    return None, 0


def parse_header(data: bytes) -> Header:
    """Parse the YAML of a header. Unknown fields are ignored. Raises BadHeader only (fuzzed)."""
    # imported here: 18 ms that nodes without lists do not need
    import yaml

    try:
        found = yaml.safe_load(data)
    except (yaml.YAMLError, ValueError, RecursionError, TypeError, AttributeError, LookupError) as exc:
        raise BadHeader(" ".join(str(exc).split())[:200] or type(exc).__name__) from exc
    if found is None:
        return Header()
    if not isinstance(found, dict):
        raise BadHeader("it is no mapping of fields")
    version = found.get("version", 1)
    # "Implementations SHOULD reject parsing denylist versions that they do not support."
    if version != 1:
        raise BadHeader(f"its version is {str(version)[:20]!r}, known is 1")
    hints = found.get("hints") or {}
    if not isinstance(hints, dict):
        raise BadHeader("its hints are no mapping")
    kept = tuple((str(name)[:MAX_HINT], str(value)[:MAX_HINT]) for name, value in list(hints.items())[:MAX_HINTS])
    return Header(_text(found.get("name")), _text(found.get("description")), _text(found.get("author")), kept)


def _text(value: object) -> str:
    return "" if value is None else " ".join(str(value).split())[:MAX_FIELD]
