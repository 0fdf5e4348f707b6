"""The fetch protocol: ask a peer for the value that it has under a key.

Spec: https://github.com/libp2p/specs/blob/master/fetch/README.md
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

from cidery.errors import RemoteProtocolError
from cidery.multiformats.protobuf import BYTES, VARINT, ProtobufError, bytes_field, expect, read_fields, varint_field
from cidery.multiformats.varint import Buffer

PROTOCOL = "/libp2p/fetch/0.0.1"
MAX_IDENTIFIER = 1024
"""Bytes of a key."""
MAX_DATA = 64 * 1024
"""Bytes of a value: records of names have at most 10 KiB."""
OVERHEAD = 32
"""Bytes of a message beside the key or the value."""


class BadFetch(RemoteProtocolError):
    """A message that the protocol does not have."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"bad fetch message: {self.reason}"


class Status(IntEnum):
    """How a request went."""

    OK = 0
    NOT_FOUND = 1
    ERROR = 2


class Response(NamedTuple):
    """The answer to one request."""

    status: Status
    data: bytes = b""

    def encode(self) -> bytes:
        out = varint_field(1, self.status) if self.status else b""
        return out + (bytes_field(2, self.data) if self.data else b"")

    @classmethod
    def decode(cls, raw: Buffer) -> Response:
        """Raises BadFetch, nothing else (fuzzed)."""
        status, data = 0, b""
        try:
            for number, wire, value, view in read_fields(raw):
                if number == 1:
                    expect(wire, VARINT, "status")
                    status = value
                elif number == 2:
                    expect(wire, BYTES, "data")
                    data = bytes(view)
            return cls(Status(status), data)
        except ProtobufError as exc:
            raise BadFetch(exc.reason) from exc
        except ValueError as exc:
            raise BadFetch(f"status {status}") from exc


def encode_request(identifier: bytes) -> bytes:
    return bytes_field(1, identifier)


def decode_request(raw: Buffer) -> bytes:
    """The key. Raises BadFetch, nothing else (fuzzed)."""
    identifier = b""
    try:
        for number, wire, _, view in read_fields(raw):
            if number == 1:
                expect(wire, BYTES, "identifier")
                identifier = bytes(view)
    except ProtobufError as exc:
        raise BadFetch(exc.reason) from exc
    if len(identifier) > MAX_IDENTIFIER:
        raise BadFetch("the key is too long")
    return identifier
