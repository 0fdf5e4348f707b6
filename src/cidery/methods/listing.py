"""Reads the links of `ls` back into entries: types, modes and times as Kubo writes them."""

from __future__ import annotations

from datetime import UTC, datetime

from cidery.commands.definitions.content import NO_TIME
from cidery.core.reading.ls import EntryType, LsEntry
from cidery.multiformats.cid import CID
from cidery.unixfs.metadata import Mtime

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cidery.methods.caller import Value

_GO_SPECIAL = ((1 << 23, 0o4000), (1 << 22, 0o2000), (1 << 20, 0o1000))
"""Bits of Go and Unix: setuid, setgid, sticky."""


def entry_of(link: Value) -> LsEntry:
    """One entry of a directory."""
    mode = int(link.get("Mode", 0))
    bits = mode & 0o777 | sum(unix for go, unix in _GO_SPECIAL if mode & go)
    return LsEntry(
        link["Name"],
        CID.parse(link["Hash"]),
        link["Size"],
        EntryType(link["Type"]),
        link.get("Target") or "",
        bits or None,
        _mtime(link.get("ModTime") or NO_TIME),
    )


def _mtime(text: str) -> Mtime | None:
    if text == NO_TIME:
        return None
    if text.startswith("@"):  # outside the calendar
        return Mtime(int(text[1:]), 0)
    day, _, fraction = text.removesuffix("Z").partition(".")
    seconds = round(datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp())
    return Mtime(seconds, int(fraction.ljust(9, "0")) if fraction else 0)
