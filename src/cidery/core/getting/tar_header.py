"""Reads the header block of a TAR entry. The standard ``tarfile`` takes longer to import than a small get takes.

Spec: https://pubs.opengroup.org/onlinepubs/9699919799/utilities/pax.html (ustar Interchange Format); numbers also in
the binary form of GNU tar.
"""

from typing import NamedTuple

BLOCK = 512
"""Everything in a TAR stream is padded to a multiple of this many bytes."""
_CHECKSUM = slice(148, 156)
_BINARY = (0x80, 0xFF)
"""First byte of a number that is not octal digits: not negative, negative."""


class BadHeader(ValueError):
    """A block that is no header."""


class TarHeader(NamedTuple):
    """The fields that a client needs; texts with "surrogateescape"."""

    name: str
    """Without a slash at its end if it is a directory."""
    mode: int
    size: int
    """Bytes that follow."""
    mtime: int
    """Seconds since 1970."""
    type: bytes
    """One byte. "5": a directory; "0": a file, also for the old forms of both."""
    link: str
    user: str

    @classmethod
    def decode(cls, block: bytes) -> "TarHeader":
        """Raises BadHeader, also for a wrong checksum."""
        if len(block) != BLOCK or _number(block[_CHECKSUM]) not in _sums(block):
            raise BadHeader
        name, prefix, kind = _text(block[:100]), _text(block[345:500]), block[156:157]
        if kind == b"\0":
            kind = b"5" if name.endswith("/") else b"0"
        if kind == b"5":
            name = name.rstrip("/")
        if prefix and kind not in b"LKS":  # GNU's own types have other fields there
            name = f"{prefix}/{name}"
        return cls(
            name,
            _number(block[100:108]),
            _number(block[124:136]),
            _number(block[136:148]),
            kind,
            _text(block[157:257]),
            _text(block[265:297]),
        )


def _sums(block: bytes) -> tuple[int, int]:
    """The checksum, and as old programs computed it, of signed bytes; its own field counts as blanks."""
    counted = block[: _CHECKSUM.start] + b" " * 8 + block[_CHECKSUM.stop :]
    total = sum(counted)
    return total, total - 256 * sum(byte > 127 for byte in counted)


def _text(field: bytes) -> str:
    return field.partition(b"\0")[0].decode("utf-8", "surrogateescape")


def _number(field: bytes) -> int:
    if field[0] in _BINARY:
        value = int.from_bytes(field[1:], "big")
        return value - (1 << 8 * (len(field) - 1)) if field[0] == _BINARY[1] else value
    digits = field.partition(b"\0")[0].strip()
    if digits.strip(b"01234567"):
        raise BadHeader
    return int(digits or b"0", 8)
