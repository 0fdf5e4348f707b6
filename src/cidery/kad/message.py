"""DHT messages: one kind for requests and answers, read and written field by field.

Addresses stay bytes until somebody dials them: an answer carries hundreds, of which few are ever used. Peers and
addresses that do not parse are left out, as a peer may know transports of the future; everything else is an error.

Spec: https://specs.ipfs.tech/routing/kad-dht/#rpc-messages
"""

from dataclasses import dataclass, field
from enum import IntEnum

from cidery.errors import RemoteProtocolError
from cidery.identity.peer_id import PeerId, PeerIdError
from cidery.multiformats.protobuf import BYTES, VARINT, ProtobufError, bytes_field, expect, read_fields, varint_field
from cidery.multiformats.varint import Buffer, VarintError

WAN_PROTOCOL = "/ipfs/kad/1.0.0"
LAN_PROTOCOL = "/ipfs/lan/kad/1.0.0"
MAX_ANSWER = 4 * 1024 * 1024
"""Longest answer read, in bytes: what go-libp2p allows; many providers with many addresses fill one."""
MAX_REQUEST = 64 * 1024
"""Longest request served, in bytes: a value of 10 KiB, its key, and one peer with its addresses fit several times."""
MAX_KEY = 512
"""Longest key, in bytes: "/ipns/" or "/pk/" and a peer id; CIDs' multihashes are shorter."""
MAX_PEERS = 1024
"""Peers read from one list of a message; the rest is ignored."""
MAX_ADDRS = 32
"""Addresses kept per peer; the rest is ignored."""
MAX_ADDR = 512
"""Longest address kept, in bytes."""


class MessageType(IntEnum):
    """Numbers of the spec's ``MessageType``; PING is deprecated there."""

    PUT_VALUE = 0
    GET_VALUE = 1
    ADD_PROVIDER = 2
    GET_PROVIDERS = 3
    FIND_NODE = 4
    PING = 5


class KadError(RemoteProtocolError):
    """A message that does not parse, exceeds its bounds, or asks for what may not be asked for."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"dht: {self.reason}"


@dataclass(frozen=True, slots=True)
class PeerInfo:
    """A peer and where it may be reached."""

    peer: PeerId
    addrs: tuple[bytes, ...] = ()
    """Binary multiaddrs, unchecked, without /p2p."""

    def encode(self) -> bytes:
        return bytes_field(1, self.peer.multihash) + b"".join(bytes_field(2, addr) for addr in self.addrs)


@dataclass(frozen=True, slots=True)
class Record:
    """A value under a key, as stored and sent."""

    key: bytes
    value: bytes
    time_received: str = ""
    """RFC 3339, by the clock of the node that stores it: information only (spec, ``timeReceived``)."""

    def encode(self) -> bytes:
        out = bytes_field(1, self.key) + bytes_field(2, self.value)
        return out + bytes_field(5, self.time_received.encode()) if self.time_received else out


@dataclass(slots=True)
class DhtMessage:
    """A request or an answer."""

    type: MessageType
    key: bytes = b""
    record: Record | None = None
    closer: list[PeerInfo] = field(default_factory=list)
    providers: list[PeerInfo] = field(default_factory=list)

    def encode(self) -> bytes:
        """Without the uvarint that the spec puts in front of each message."""
        parts = [varint_field(1, self.type), bytes_field(2, self.key)] if self.key else [varint_field(1, self.type)]
        if self.record is not None:
            parts.append(bytes_field(3, self.record.encode()))
        parts += [bytes_field(8, info.encode()) for info in self.closer]
        parts += [bytes_field(9, info.encode()) for info in self.providers]
        return b"".join(parts)

    @classmethod
    def decode(cls, buf: Buffer) -> "DhtMessage":
        """Decode one message. Raises KadError only (fuzzed). O(size); bytes kept are copied."""
        message = cls(MessageType.PUT_VALUE)
        try:
            for number, wire, value, view in read_fields(buf):
                if number == 1:
                    expect(wire, VARINT, "type")
                    message.type = _type(value)
                elif number == 2:
                    expect(wire, BYTES, "key")
                    message.key = _key(view)
                elif number == 3:
                    expect(wire, BYTES, "record")
                    message.record = _read_record(view)
                elif number == 8:
                    expect(wire, BYTES, "closerPeers")
                    _read_peer(view, message.closer)
                elif number == 9:
                    expect(wire, BYTES, "providerPeers")
                    _read_peer(view, message.providers)
        except (ProtobufError, VarintError) as exc:
            raise KadError(exc.reason) from exc
        return message


def _type(value: int) -> MessageType:
    try:
        return MessageType(value)
    except ValueError as exc:
        raise KadError(f"unknown message type {value}") from exc


def _key(view: memoryview) -> bytes:
    if len(view) > MAX_KEY:
        raise KadError(f"a key of {len(view)} bytes, at most {MAX_KEY} are allowed")
    return bytes(view)


def _read_record(view: memoryview) -> Record:
    key = value = b""
    received = ""
    for number, wire, _, part in read_fields(view):
        if number == 1:
            expect(wire, BYTES, "key")
            key = _key(part)
        elif number == 2:
            expect(wire, BYTES, "value")
            value = bytes(part)
        elif number == 5:
            expect(wire, BYTES, "timeReceived")
            received = bytes(part[:64]).decode("ascii", "replace")
    return Record(key, value, received)


def _read_peer(view: memoryview, into: list[PeerInfo]) -> None:
    if len(into) >= MAX_PEERS:
        return
    peer: PeerId | None = None
    addrs: list[bytes] = []
    for number, wire, _, part in read_fields(view):
        if number == 1:
            expect(wire, BYTES, "id")
            try:
                peer = PeerId.decode(bytes(part))
            except PeerIdError:
                return
        # field 3, ``connection``, is a hint that nobody can check: it is not read
        elif number == 2:
            expect(wire, BYTES, "addrs")
            if len(addrs) < MAX_ADDRS and 0 < len(part) <= MAX_ADDR:
                addrs.append(bytes(part))
    if peer is not None:
        into.append(PeerInfo(peer, tuple(addrs)))
