"""The UnixFS message inside a dag-pb node: type, inline bytes, sizes, mode and time.

``Data{Type=1, Data=2, filesize=3, blocksizes=4, hashType=5, fanout=6, mode=7, mtime=8}``. Written in that order, with
blocksizes unpacked, which is byte-exactly what Kubo writes. Unknown fields are ignored on reading, as protobuf does.

Spec: https://specs.ipfs.tech/unixfs/
"""

from enum import IntEnum
from typing import NamedTuple

from cidery.ipld.block import BadBlock
from cidery.multiformats.protobuf import (
    BYTES,
    FIXED32,
    VARINT,
    ProtobufError,
    bytes_field,
    expect,
    read_fields,
    varint_field,
)
from cidery.multiformats.varint import Buffer, VarintError, decode_uvarint
from cidery.unixfs.metadata import Mtime

MAX_BLOCKSIZES = 1 << 17
"""Most entries of ``blocksizes``: more than links fit into a 2 MiB node."""
MODE_MASK = 0o7777
"""The permission bits of ``mode``; the others are kept but mean nothing."""


class UnixFSError(BadBlock):
    """A node that is not UnixFS, or whose sizes contradict each other."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return self.said(f"not a valid UnixFS node: {self.reason}")


class NodeType(IntEnum):
    """``Data.Type``."""

    RAW = 0
    DIRECTORY = 1
    FILE = 2
    METADATA = 3
    SYMLINK = 4
    HAMT_SHARD = 5


class UnixFSData(NamedTuple):
    """One decoded message. None: the field is absent."""

    type: NodeType
    data: Buffer | None = None
    filesize: int | None = None
    blocksizes: tuple[int, ...] = ()
    hash_type: int | None = None
    fanout: int | None = None
    mode: int | None = None
    mtime: Mtime | None = None

    def encode(self) -> bytes:
        parts = [varint_field(1, self.type)]
        if self.data is not None:
            parts.append(bytes_field(2, self.data))
        if self.filesize is not None:
            parts.append(varint_field(3, self.filesize))
        parts += [varint_field(4, size) for size in self.blocksizes]
        for number, value in ((5, self.hash_type), (6, self.fanout), (7, self.mode)):
            if value is not None:
                parts.append(varint_field(number, value))
        if self.mtime is not None:
            parts.append(bytes_field(8, _encode_mtime(self.mtime)))
        return b"".join(parts)


def _encode_mtime(mtime: Mtime) -> bytes:
    out = varint_field(1, mtime.seconds)
    if mtime.nanoseconds:
        out += bytes([2 << 3 | FIXED32]) + mtime.nanoseconds.to_bytes(4, "little")
    return out


def _decode_mtime(view: memoryview) -> Mtime:
    seconds: int | None = None
    nanoseconds = 0
    for number, wire, value, _ in read_fields(view):
        if number == 1:
            expect(wire, VARINT, "mtime.Seconds")
            seconds = value - (1 << 64) if value >= 1 << 63 else value
        elif number == 2:
            expect(wire, FIXED32, "mtime.FractionalNanoseconds")
            if not 1 <= value <= 999_999_999:
                raise UnixFSError(f"mtime with {value} nanoseconds")
            nanoseconds = value
    if seconds is None:
        raise UnixFSError("mtime without seconds")
    return Mtime(seconds, nanoseconds)


def _blocksizes(wire: int, value: int, view: memoryview) -> list[int]:
    if wire == VARINT:
        return [value]
    expect(wire, BYTES, "blocksizes")  # packed: not what writers produce, but every protobuf reader accepts it
    sizes: list[int] = []
    at = 0
    while at < len(view):
        size, at = decode_uvarint(view, at)
        sizes.append(size)
    return sizes


def decode(message: Buffer) -> UnixFSData:
    """Decode an untrusted message. O(len); ``data`` is a view. Raises UnixFSError only (fuzzed).

    Checks each field by itself; node.py checks sizes against links.
    """
    kind: NodeType | None = None
    numbers: dict[int, int] = {}
    data: memoryview | None = None
    sizes: list[int] = []
    mtime: Mtime | None = None
    try:
        for number, wire, value, view in read_fields(message):
            if number == 1:
                expect(wire, VARINT, "Type")
                kind = NodeType(value)
            elif number == 2:
                expect(wire, BYTES, "Data")
                data = view
            elif number == 4:
                sizes += _blocksizes(wire, value, view)
                if len(sizes) > MAX_BLOCKSIZES:
                    raise UnixFSError(f"more than {MAX_BLOCKSIZES} blocksizes")
            elif number == 8:
                expect(wire, BYTES, "mtime")
                mtime = _decode_mtime(view)
            elif number in _NUMBERS:
                expect(wire, VARINT, _NUMBERS[number])
                numbers[number] = value
    except (ProtobufError, VarintError) as exc:
        raise UnixFSError(exc.reason) from exc
    except ValueError as exc:
        raise UnixFSError("unknown type") from exc
    if kind is None:
        raise UnixFSError("no type")
    mode = numbers.get(7)
    if mode is not None and mode >= 1 << 32:
        raise UnixFSError("mode over 32 bits")
    return UnixFSData(kind, data, numbers.get(3), tuple(sizes), numbers.get(5), numbers.get(6), mode, mtime)


_NUMBERS = {3: "filesize", 5: "hashType", 6: "fanout", 7: "mode"}
