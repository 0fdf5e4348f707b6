"""The IPLD data model as Python values, which every codec decodes to and encodes from.

Links are ``CID`` objects and byte strings are ``bytes``, never each other. Maps keep the order of the block.

Spec: https://ipld.io/docs/data-model/
"""

from collections.abc import Iterator

from cidery.errors import InvalidInput
from cidery.ipld.block import BadBlock
from cidery.multiformats.cid import CID

MAX_NESTING = 512
"""Deepest nesting of lists and maps: half of what the standard JSON parser survives."""
MAX_LINKS = 80_000
"""Most links of a block that is walked: 2 MiB hold 74,898 with the shortest digests accepted (20 bytes). Only links to
tiny inline blocks (identity CIDs) would be more, and cost seconds."""
MIN_INT, MAX_INT = -(1 << 64), (1 << 64) - 1
"""Integers that CBOR can hold."""

Value = None | bool | int | float | str | bytes | CID | list["Value"] | dict[str, "Value"]
"""One value of the data model."""


class CodecError(BadBlock):
    """Bytes that are not a valid block of their codec."""

    def __init__(self, codec: str, reason: str) -> None:
        super().__init__(codec, reason)
        self.codec = codec
        self.reason = reason

    def __str__(self) -> str:
        return self.said(f"not valid {self.codec}: {self.reason}")


class NotEncodable(InvalidInput):
    """A value that a codec cannot represent."""

    def __init__(self, codec: str, reason: str) -> None:
        super().__init__(codec, reason)
        self.codec = codec
        self.reason = reason

    def __str__(self) -> str:
        return f"cannot be written as {self.codec}: {self.reason}"


def kind_of(value: Value) -> str:
    """The data model's word for a value's kind."""
    return _KINDS.get(type(value), type(value).__name__)


_KINDS: dict[type, str] = {
    type(None): "null", bool: "bool", int: "int", float: "float", str: "string", bytes: "bytes", CID: "link",
    list: "list", dict: "map",
}  # fmt: skip


def links_of(value: Value) -> list[tuple[CID, str]]:
    """(target, path inside the value) of every link, in the value's order. O(size), explicit stack."""
    if isinstance(value, CID):
        return [(value, "")]
    found: list[tuple[CID, str]] = []
    stack = [_children(value)]
    names: list[object] = []  # of the open values, except the outermost
    while stack:
        for name, item in stack[-1]:
            if isinstance(item, CID):
                found.append((item, "/".join(map(str, (*names, name)))))
            elif item and isinstance(item, dict | list):
                stack.append(_children(item))
                names.append(name)
                break
        else:
            stack.pop()
            if names:
                names.pop()
    return found


def _children(value: Value) -> Iterator[tuple[object, Value]]:
    if isinstance(value, dict):
        return iter(value.items())
    return iter(enumerate(value)) if isinstance(value, list) else iter(())
