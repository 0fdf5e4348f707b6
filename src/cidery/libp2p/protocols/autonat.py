"""AutoNAT messages, version 2 (one address at a time, proven by a nonce) and version 1 (the node as a whole).

Specs: https://github.com/libp2p/specs/blob/master/autonat/autonat-v2.md,
https://github.com/libp2p/specs/blob/master/autonat/autonat-v1.md
"""

import re
from dataclasses import dataclass
from typing import Self

from cidery.errors import RemoteProtocolError
from cidery.multiformats.protobuf import BYTES, FIXED64, VARINT, ProtobufError, bytes_field, expect, read_fields
from cidery.multiformats.protobuf import varint_field as varint
from cidery.multiformats.varint import Buffer, encode_uvarint

DIAL_REQUEST = "/libp2p/autonat/2/dial-request"
DIAL_BACK = "/libp2p/autonat/2/dial-back"
V1 = "/libp2p/autonat/1.0.0"
MAX_MESSAGE = 8 * 1024
"""Longest message, in bytes (go-libp2p's limit)."""
MAX_ADDRS = 50
"""Addresses read from one request."""
DATA_CHUNK = 4096
"""Most bytes of payload in one message of dial data."""
LEAST_DATA, MOST_DATA = 30_000, 100_000
"""Bytes that a server asks for before it dials another host than the asker's, and the most we send."""
OK, REJECTED, REFUSED, INTERNAL = 200, 100, 101, 0
"""Status of a DialResponse."""
DIAL_ERROR, DIAL_BACK_ERROR = 100, 101
"""Status of the dial itself."""
V1_OK, V1_DIAL_ERROR, V1_REFUSED, V1_BAD = 0, 100, 101, 200


_JS = re.compile(r"(?:^|\s|js-)libp2p/\d")


def answers_v1(agent: str) -> bool:
    """Whether version 1 may be asked of a peer with this agent version.

    js-libp2p takes the connection that the question came by for its dial, and closes it.
    """
    return _JS.search(agent) is None


class AutonatError(RemoteProtocolError):
    """A message that does not parse or does not fit."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"autonat: {self.reason}"


def _fixed64(number: int, value: int) -> bytes:
    return encode_uvarint(number << 3 | FIXED64) + value.to_bytes(8, "little")


@dataclass(frozen=True, slots=True)
class DialRequest:
    addrs: tuple[bytes, ...]
    nonce: int

    def encode(self) -> bytes:
        body = b"".join(bytes_field(1, addr) for addr in self.addrs) + _fixed64(2, self.nonce)
        return bytes_field(1, body)


@dataclass(frozen=True, slots=True)
class DialResponse:
    status: int
    index: int = 0
    dial: int = 0

    def encode(self) -> bytes:
        return bytes_field(2, varint(1, self.status) + varint(2, self.index) + varint(3, self.dial))


@dataclass(frozen=True, slots=True)
class DataRequest:
    index: int
    size: int

    def encode(self) -> bytes:
        return bytes_field(3, varint(1, self.index) + varint(2, self.size))


@dataclass(frozen=True, slots=True)
class Data:
    size: int
    """Bytes of payload; what they are does not matter."""

    def encode(self) -> bytes:
        return bytes_field(4, bytes_field(1, bytes(self.size)))


V2Message = DialRequest | DialResponse | DataRequest | Data


def decode(buf: Buffer) -> V2Message:
    """One message of a dial-request stream. Raises AutonatError only (fuzzed)."""
    found: V2Message | None = None
    try:
        for number, wire, _, view in read_fields(buf):
            if number in (1, 2, 3, 4):
                expect(wire, BYTES, "msg")
                found = (_request, _response, _data_request, _data)[number - 1](view)
    except ProtobufError as exc:
        raise AutonatError(exc.reason) from exc
    if found is None:
        raise AutonatError("a message without content")
    return found


def _request(view: memoryview) -> DialRequest:
    addrs: list[bytes] = []
    nonce = 0
    for number, wire, value, part in read_fields(view):
        if number == 1:
            expect(wire, BYTES, "addrs")
            if len(addrs) < MAX_ADDRS:
                addrs.append(bytes(part))
        elif number == 2:
            expect(wire, FIXED64, "nonce")
            nonce = value
    return DialRequest(tuple(addrs), nonce)


def _numbers(view: memoryview) -> dict[int, int]:
    out = {}
    for number, wire, value, _ in read_fields(view):
        expect(wire, VARINT, "number")
        out[number] = value
    return out


def _response(view: memoryview) -> DialResponse:
    numbers = _numbers(view)
    return DialResponse(numbers.get(1, 0), numbers.get(2, 0), numbers.get(3, 0))


def _data_request(view: memoryview) -> DataRequest:
    numbers = _numbers(view)
    return DataRequest(numbers.get(1, 0), numbers.get(2, 0))


def _data(view: memoryview) -> Data:
    size = 0
    for number, wire, _, part in read_fields(view):
        if number == 1:
            expect(wire, BYTES, "data")
            size = len(part)
    return Data(size)


def encode_nonce(nonce: int) -> bytes:
    """The DialBack message."""
    return _fixed64(1, nonce)


def decode_nonce(buf: Buffer) -> int:
    """Raises AutonatError only (fuzzed)."""
    try:
        for number, wire, value, _ in read_fields(buf):
            if number == 1:
                expect(wire, FIXED64, "nonce")
                return value
    except ProtobufError as exc:
        raise AutonatError(exc.reason) from exc
    raise AutonatError("a dial-back without a nonce")


DIAL_BACK_OK = varint(1, 0)
"""The DialBackResponse."""


@dataclass(frozen=True, slots=True)
class V1Request:
    """``Message{type DIAL}``."""

    peer: bytes
    addrs: tuple[bytes, ...]

    def encode(self) -> bytes:
        info = bytes_field(1, self.peer) + b"".join(bytes_field(2, addr) for addr in self.addrs)
        return varint(1, 0) + bytes_field(2, bytes_field(1, info))

    @classmethod
    def decode(cls, buf: Buffer) -> Self:
        """Raises AutonatError only (fuzzed)."""
        peer, addrs = b"", list[bytes]()
        try:
            for view in _inside(buf, 2, 1):
                for number, wire, _, part in read_fields(view):
                    if number == 1:
                        expect(wire, BYTES, "id")
                        peer = bytes(part)
                    elif number == 2 and len(addrs) < MAX_ADDRS:
                        expect(wire, BYTES, "addrs")
                        addrs.append(bytes(part))
        except ProtobufError as exc:
            raise AutonatError(exc.reason) from exc
        return cls(peer, tuple(addrs))


@dataclass(frozen=True, slots=True)
class V1Response:
    """``Message{type DIAL_RESPONSE}``."""

    status: int
    addr: bytes = b""

    def encode(self) -> bytes:
        body = varint(1, self.status) + (bytes_field(3, self.addr) if self.addr else b"")
        return varint(1, 1) + bytes_field(3, body)

    @classmethod
    def decode(cls, buf: Buffer) -> Self:
        """Raises AutonatError only (fuzzed)."""
        status, addr = V1_BAD, b""
        try:
            for view in _inside(buf, 3):
                for number, wire, value, part in read_fields(view):
                    if number == 1:
                        expect(wire, VARINT, "status")
                        status = value
                    elif number == 3:
                        expect(wire, BYTES, "addr")
                        addr = bytes(part)
        except ProtobufError as exc:
            raise AutonatError(exc.reason) from exc
        return cls(status, addr)


def _inside(buf: Buffer, *path: int) -> list[memoryview]:
    """The messages at a path of field numbers."""
    views = [memoryview(buf)]
    for wanted in path:
        below: list[memoryview] = []
        for view in views:
            for number, wire, _, part in read_fields(view):
                if number == wanted:
                    expect(wire, BYTES, "message")
                    below.append(part)
        views = below
    return views
