"""Paths through values of the data model: map keys and list positions, up to a link or to their end.

Spec: https://ipld.io/docs/data-model/pathing/
"""

from collections.abc import Sequence
from typing import NamedTuple

from cidery.errors import NotFound
from cidery.ipld.data_model import Value, kind_of
from cidery.multiformats.cid import CID

MAX_INDEX_DIGITS = 9
"""Longest list position read, in digits: far more entries than a block holds."""


class NoSuchPath(NotFound):
    """A value has no entry of this name."""

    def __init__(self, cid: CID, name: str, reason: str = "") -> None:
        super().__init__(cid, name, reason)
        self.cid = cid
        self.name = name
        self.reason = reason

    def __str__(self) -> str:
        because = f" ({self.reason})" if self.reason else ""
        return f"no link named {self.name[:80]!r} under {self.cid}{because}"


class Reached(NamedTuple):
    """The result of following a path inside one block."""

    value: Value
    """A CID if a link was met; some names may remain then."""
    used: int
    """The number of names followed."""


def follow(cid: CID, value: Value, names: Sequence[str]) -> Reached:
    """Go down ``value``, the content of ``cid``, until a link or the end of the names. Raises NoSuchPath."""
    for used, name in enumerate(names):
        if isinstance(value, CID):
            return Reached(value, used)
        if isinstance(value, dict):
            if name not in value:
                raise NoSuchPath(cid, name)
            value = value[name]
        elif isinstance(value, list):
            if not _is_index(name) or int(name) >= len(value):
                raise NoSuchPath(cid, name, f"a list of {len(value)}")
            value = value[int(name)]
        else:
            raise NoSuchPath(cid, name, f"a {kind_of(value)} has nothing below")
    return Reached(value, len(names))


def leads_to(key: object, name: str) -> bool:
    """Whether a path's name means this map key (text) or list position (a number)."""
    return key == name if isinstance(key, str) else _is_index(name) and int(name) == key


def _is_index(name: str) -> bool:
    return name.isascii() and name.isdigit() and len(name) <= MAX_INDEX_DIGITS
