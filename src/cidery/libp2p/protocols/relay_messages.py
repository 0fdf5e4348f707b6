"""Messages of relays: to one ("hop") and from one ("stop"), and the voucher of a reservation. Pure.

Each is led by its length and has at most MAX_MESSAGE bytes.

Spec: https://github.com/libp2p/specs/blob/master/relay/circuit-v2.md
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple, Self, TypeVar

from cidery.errors import RemoteProtocolError
from cidery.identity.envelope import EnvelopeError, open_envelope, seal
from cidery.identity.keys import PrivateKey
from cidery.identity.peer_id import PeerId, PeerIdError
from cidery.multiformats.protobuf import BYTES, VARINT, ProtobufError, bytes_field, expect, read_fields, varint_field
from cidery.multiformats.varint import Buffer

HOP = "/libp2p/circuit/relay/0.2.0/hop"
STOP = "/libp2p/circuit/relay/0.2.0/stop"
MAX_MESSAGE = 4096
"""Bytes, as go-libp2p has it."""
MAX_ADDRS = 32
"""Addresses read of one peer or relay; further ones are left out."""
VOUCHER_DOMAIN, VOUCHER_TYPE = b"libp2p-relay-rsvp", b"\x03\x02"


T = TypeVar("T", bound=IntEnum)


class RelayError(RemoteProtocolError):
    """A message of a relay, or to one, that does not parse or does not fit."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"relay: {self.reason}"


class Status(IntEnum):
    """How a request ended."""

    OK = 100
    RESERVATION_REFUSED = 200
    RESOURCE_LIMIT = 201
    PERMISSION_DENIED = 202
    CONNECTION_FAILED = 203
    NO_RESERVATION = 204
    MALFORMED = 400
    UNEXPECTED = 401


MEANING = {
    Status.RESERVATION_REFUSED: "the relay refuses a reservation",
    Status.RESOURCE_LIMIT: "the relay is at its limits",
    Status.PERMISSION_DENIED: "the relay does not permit it",
    Status.CONNECTION_FAILED: "the relay cannot reach the peer",
    Status.NO_RESERVATION: "the peer has no reservation there",
    Status.MALFORMED: "the relay calls the request malformed",
    Status.UNEXPECTED: "the relay did not expect the request",
}


def meaning(status: int) -> str:
    """A refusal in words."""
    return MEANING.get(status, f"the relay answers {status}")  # type: ignore[call-overload,no-any-return]


class HopType(IntEnum):
    RESERVE = 0
    CONNECT = 1
    STATUS = 2


class StopType(IntEnum):
    CONNECT = 0
    STATUS = 1


@dataclass(frozen=True, slots=True)
class Peer:
    """Whom a request is about."""

    peer: PeerId
    addrs: tuple[bytes, ...] = ()

    def encode(self) -> bytes:
        return bytes_field(1, self.peer.multihash) + b"".join(bytes_field(2, addr) for addr in self.addrs)


class RelayLimit(NamedTuple):
    """Of a relayed connection. 0: none."""

    seconds: int = 0
    data: int = 0
    """Bytes in each direction."""

    def encode(self) -> bytes:
        return varint_field(1, self.seconds) + varint_field(2, self.data)

    @property
    def limits(self) -> bool:
        return bool(self.seconds or self.data)


@dataclass(frozen=True, slots=True)
class Granted:
    """A reservation, as the relay describes it."""

    expires: int
    """Seconds since 1970."""
    addrs: tuple[bytes, ...] = ()
    """Of the relay, with its /p2p."""
    voucher: bytes = b""

    def encode(self) -> bytes:
        out = varint_field(1, self.expires) + b"".join(bytes_field(2, addr) for addr in self.addrs)
        return out + (bytes_field(3, self.voucher) if self.voucher else b"")


@dataclass(frozen=True, slots=True)
class HopMessage:
    """Between a relay and who uses it."""

    type: HopType
    peer: Peer | None = None
    granted: Granted | None = None
    limit: RelayLimit | None = None
    status: int = 0

    def encode(self) -> bytes:
        out = [varint_field(1, self.type)]
        if self.peer is not None:
            out.append(bytes_field(2, self.peer.encode()))
        if self.granted is not None:
            out.append(bytes_field(3, self.granted.encode()))
        if self.limit is not None:
            out.append(bytes_field(4, self.limit.encode()))
        if self.status:
            out.append(varint_field(5, self.status))
        return b"".join(out)

    @classmethod
    def decode(cls, buf: Buffer) -> Self:
        """Raises RelayError only (fuzzed)."""
        fields = _fields(buf)
        return cls(
            _type(fields, HopType),
            None if 2 not in fields.views else _peer(fields.views[2]),
            None if 3 not in fields.views else _granted(fields.views[3]),
            None if 4 not in fields.views else _limit(fields.views[4]),
            fields.numbers.get(5, 0),
        )


@dataclass(frozen=True, slots=True)
class StopMessage:
    """Between a relay and the peer that has a reservation."""

    type: StopType
    peer: Peer | None = None
    limit: RelayLimit | None = None
    status: int = 0

    def encode(self) -> bytes:
        out = [varint_field(1, self.type)]
        if self.peer is not None:
            out.append(bytes_field(2, self.peer.encode()))
        if self.limit is not None:
            out.append(bytes_field(3, self.limit.encode()))
        if self.status:
            out.append(varint_field(4, self.status))
        return b"".join(out)

    @classmethod
    def decode(cls, buf: Buffer) -> Self:
        """Raises RelayError only (fuzzed)."""
        fields = _fields(buf)
        return cls(
            _type(fields, StopType),
            None if 2 not in fields.views else _peer(fields.views[2]),
            None if 3 not in fields.views else _limit(fields.views[3]),
            fields.numbers.get(4, 0),
        )


class _Fields(NamedTuple):
    numbers: dict[int, int]
    views: dict[int, memoryview]
    lists: dict[int, list[memoryview]]


def _fields(buf: Buffer) -> _Fields:
    """The last of each number, and all of those that are bytes. Raises RelayError."""
    if len(buf) > MAX_MESSAGE:
        raise RelayError(f"longer than {MAX_MESSAGE} bytes")
    out = _Fields({}, {}, {})
    try:
        for number, wire, value, view in read_fields(buf):
            if wire == VARINT:
                out.numbers[number] = value
            elif wire == BYTES:
                out.views[number] = view
                out.lists.setdefault(number, []).append(view)
            else:
                expect(wire, BYTES, str(number))
    except ProtobufError as exc:
        raise RelayError(exc.reason) from exc
    return out


def _type(fields: _Fields, kind: type[T]) -> T:
    # an absent type is that of 0: some encoders leave a zero out
    try:
        return kind(fields.numbers.get(1, 0))
    except ValueError as exc:
        raise RelayError(f"type {fields.numbers[1]}") from exc


def _peer(view: memoryview) -> Peer:
    fields = _fields(view)
    try:
        peer = PeerId.decode(fields.views.get(1, b""))
    except PeerIdError as exc:
        raise RelayError(exc.reason) from exc
    return Peer(peer, tuple(bytes(one) for one in fields.lists.get(2, ())[:MAX_ADDRS]))


def _limit(view: memoryview) -> RelayLimit:
    numbers = _fields(view).numbers
    return RelayLimit(numbers.get(1, 0), numbers.get(2, 0))


def _granted(view: memoryview) -> Granted:
    fields = _fields(view)
    addrs = tuple(bytes(one) for one in fields.lists.get(2, ())[:MAX_ADDRS])
    return Granted(fields.numbers.get(1, 0), addrs, bytes(fields.views.get(3, b"")))


# --- vouchers


class Voucher(NamedTuple):
    """What a relay signs: that a peer may be reached through it until then."""

    relay: PeerId
    peer: PeerId
    expires: int
    """Seconds since 1970."""


def seal_voucher(key: PrivateKey, voucher: Voucher) -> bytes:
    """In an envelope."""
    body = bytes_field(1, voucher.relay.multihash) + bytes_field(2, voucher.peer.multihash)
    return seal(key, VOUCHER_DOMAIN, VOUCHER_TYPE, body + varint_field(3, voucher.expires))


def open_voucher(buf: Buffer) -> Voucher:
    """One that its relay signed. Raises RelayError only (fuzzed)."""
    try:
        key, payload = open_envelope(buf, VOUCHER_DOMAIN, VOUCHER_TYPE)
        fields = _fields(payload)
        relay, peer = (PeerId.decode(fields.views.get(number, b"")) for number in (1, 2))
    except (EnvelopeError, PeerIdError) as exc:
        raise RelayError(exc.reason) from exc
    if key.peer_id != relay:
        raise RelayError("a voucher that its relay did not sign")
    return Voucher(relay, peer, fields.numbers.get(3, 0))
