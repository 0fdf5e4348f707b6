"""What pubsub peers tell each other: subscriptions, messages, and the control of the mesh.

Spec: https://github.com/libp2p/specs/blob/master/pubsub/README.md#the-rpc,
https://github.com/libp2p/specs/blob/master/pubsub/gossipsub/gossipsub-v1.2.md#protobuf
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from cidery.budgets import PUBSUB_PARTS
from cidery.errors import RemoteProtocolError
from cidery.multiformats.protobuf import BYTES, VARINT, ProtobufError, bytes_field, expect, read_fields, varint_field
from cidery.multiformats.varint import Buffer

FLOODSUB = "/floodsub/1.0.0"
MESHSUB_1_2 = "/meshsub/1.2.0"
PROTOCOLS = (MESHSUB_1_2, "/meshsub/1.1.0", "/meshsub/1.0.0", FLOODSUB)
"""The newest first."""
MAX_RPC = 1 << 20
"""Bytes of one RPC, as other implementations have it."""
MAX_PARTS = PUBSUB_PARTS.amount
"""Subscriptions, messages, topics and ids in one RPC: honest ones have far fewer, each costs more than its bytes."""
MAX_TOPIC = 1024
"""Bytes of a topic's name."""
MAX_ID = 512
"""Bytes of a message's id: a peer id and a number for most."""


class BadRpc(RemoteProtocolError):
    """Bytes that are no RPC of pubsub, or more than one may hold."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"bad pubsub message: {self.reason}"


class Message(NamedTuple):
    """One published message; what is not there is empty."""

    author: bytes
    """The peer id's multihash."""
    data: bytes
    seqno: bytes
    topic: str
    signature: bytes = b""
    key: bytes = b""
    """The author's public key, if the peer id does not hold it."""
    has_data: bool = True
    """Whether there is a field for the data, were it empty: signatures tell the two apart."""

    @property
    def id(self) -> bytes:
        """ "by default the message ID is the concatenation of the peer ID and the sequence number"."""
        return self.author + self.seqno

    def encode(self, *, signed: bool = True) -> bytes:
        """``signed`` False: without signature and key, which is what the signature covers."""
        out = bytes_field(1, self.author) if self.author else b""
        out += bytes_field(2, self.data) if self.has_data else b""
        out += bytes_field(3, self.seqno) if self.seqno else b""
        out += bytes_field(4, self.topic.encode())
        if signed:
            out += bytes_field(5, self.signature) if self.signature else b""
            out += bytes_field(6, self.key) if self.key else b""
        return out


class Offered(NamedTuple):
    """A peer that a PRUNE names for the pruned one to connect to."""

    peer: bytes
    record: bytes
    """A signed peer record, or empty."""


class Prune(NamedTuple):
    """The end of a mesh link."""

    topic: str
    peers: tuple[Offered, ...] = ()
    backoff: int | None = None
    """Seconds until the link may be asked for again; None: not said (v1.0)."""


@dataclass(slots=True)
class Rpc:
    """One frame on the wire."""

    subscriptions: list[tuple[bool, str]] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)
    ihave: list[tuple[str, list[bytes]]] = field(default_factory=list)
    """Topic, ids."""
    iwant: list[bytes] = field(default_factory=list)
    graft: list[str] = field(default_factory=list)
    prune: list[Prune] = field(default_factory=list)
    idontwant: list[bytes] = field(default_factory=list)

    def encode(self) -> bytes:
        out = [
            bytes_field(1, varint_field(1, int(on)) + bytes_field(2, topic.encode()))
            for on, topic in self.subscriptions
        ]
        out += [bytes_field(2, message.encode()) for message in self.messages]
        control = [bytes_field(1, bytes_field(1, topic.encode()) + _all(2, ids)) for topic, ids in self.ihave]
        if self.iwant:
            control.append(bytes_field(2, _all(1, self.iwant)))
        control += [bytes_field(3, bytes_field(1, topic.encode())) for topic in self.graft]
        control += [bytes_field(4, _encode_prune(one)) for one in self.prune]
        if self.idontwant:
            control.append(bytes_field(5, _all(1, self.idontwant)))
        if control:
            out.append(bytes_field(3, b"".join(control)))
        return b"".join(out)

    @classmethod
    def decode(cls, data: Buffer) -> Rpc:
        """Read a frame; unknown fields are passed over. Raises BadRpc, nothing else (fuzzed)."""
        rpc, count = cls(), _Count()
        try:
            for number, wire, _, view in read_fields(data):
                if number == 1:
                    expect(wire, BYTES, "subscriptions")
                    count.add()
                    rpc.subscriptions.append(_decode_subscription(view))
                elif number == 2:
                    expect(wire, BYTES, "publish")
                    count.add()
                    rpc.messages.append(decode_message(view))
                elif number == 3:
                    expect(wire, BYTES, "control")
                    _decode_control(rpc, view, count)
        except ProtobufError as exc:
            raise BadRpc(exc.reason) from exc
        return rpc


class _Count:
    """Parts of an RPC so far."""

    def __init__(self) -> None:
        self.parts = 0

    def add(self) -> None:
        """Raises BadRpc."""
        self.parts += 1
        if self.parts > MAX_PARTS:
            raise BadRpc(f"more than {MAX_PARTS} parts")


def _all(number: int, ids: Sequence[bytes]) -> bytes:
    return b"".join(bytes_field(number, one) for one in ids)


def _encode_prune(prune: Prune) -> bytes:
    out = bytes_field(1, prune.topic.encode())
    for one in prune.peers:
        out += bytes_field(2, bytes_field(1, one.peer) + (bytes_field(2, one.record) if one.record else b""))
    return out + (varint_field(3, prune.backoff) if prune.backoff is not None else b"")


def _topic(view: memoryview) -> str:
    if len(view) > MAX_TOPIC:
        raise BadRpc(f"a topic of {len(view)} bytes; at most {MAX_TOPIC}")
    try:
        return str(view, "utf-8")
    except UnicodeDecodeError as exc:
        raise BadRpc("a topic that is not UTF-8") from exc


def _decode_subscription(data: memoryview) -> tuple[bool, str]:
    on, topic = False, ""
    for number, wire, value, view in read_fields(data):
        if number == 1:
            expect(wire, VARINT, "subscribe")
            on = bool(value)
        elif number == 2:
            expect(wire, BYTES, "topicid")
            topic = _topic(view)
    return on, topic


def decode_message(data: Buffer) -> Message:
    """Raises BadRpc, ProtobufError."""
    parts = {number: b"" for number in (1, 2, 3, 5, 6)}
    topic, has_data = "", False
    for number, wire, _, view in read_fields(data):
        has_data = has_data or number == 2
        if number == 4:
            expect(wire, BYTES, "topic")
            if topic:
                raise BadRpc("a message in several topics")  # v1.0 dropped "topicIDs" for one topic
            topic = _topic(view)
        elif number in parts:
            expect(wire, BYTES, "of a message")
            parts[number] = bytes(view)
    if len(parts[1]) + len(parts[3]) > MAX_ID:
        raise BadRpc("the id of a message is too long")
    return Message(parts[1], parts[2], parts[3], topic, parts[5], parts[6], has_data)


def _decode_control(rpc: Rpc, data: memoryview, count: _Count) -> None:
    for number, wire, _, view in read_fields(data):
        if number > 5:
            continue
        expect(wire, BYTES, "of control")
        count.add()
        _CONTROL[number](rpc, view, count)


def _decode_ihave(rpc: Rpc, data: memoryview, count: _Count) -> None:
    topic, ids = "", list[bytes]()
    for number, wire, _, view in read_fields(data):
        if number == 1:
            expect(wire, BYTES, "topicID")
            topic = _topic(view)
        elif number == 2:
            ids.append(_id(wire, view, count))
    rpc.ihave.append((topic, ids))


def _id(wire: int, view: memoryview, count: _Count) -> bytes:
    expect(wire, BYTES, "messageIDs")
    count.add()
    if len(view) > MAX_ID:
        raise BadRpc(f"an id of {len(view)} bytes; at most {MAX_ID}")
    return bytes(view)


def _ids(data: memoryview, count: _Count) -> Iterable[bytes]:
    for number, wire, _, view in read_fields(data):
        if number == 1:
            yield _id(wire, view, count)


def _decode_iwant(rpc: Rpc, data: memoryview, count: _Count) -> None:
    rpc.iwant += _ids(data, count)


def _decode_idontwant(rpc: Rpc, data: memoryview, count: _Count) -> None:
    rpc.idontwant += _ids(data, count)


def _decode_graft(rpc: Rpc, data: memoryview, count: _Count) -> None:
    for number, wire, _, view in read_fields(data):
        if number == 1:
            expect(wire, BYTES, "topicID")
            rpc.graft.append(_topic(view))
            count.add()


def _decode_prune(rpc: Rpc, data: memoryview, count: _Count) -> None:
    topic, peers, backoff = "", list[Offered](), None
    for number, wire, value, view in read_fields(data):
        if number == 1:
            expect(wire, BYTES, "topicID")
            topic = _topic(view)
        elif number == 2:
            expect(wire, BYTES, "peers")
            count.add()
            peers.append(_decode_offered(view))
        elif number == 3:
            expect(wire, VARINT, "backoff")
            backoff = value
    rpc.prune.append(Prune(topic, tuple(peers), backoff))


def _decode_offered(data: memoryview) -> Offered:
    peer = record = b""
    for number, wire, _, view in read_fields(data):
        if number in (1, 2):
            expect(wire, BYTES, "of a peer")
            peer, record = (bytes(view), record) if number == 1 else (peer, bytes(view))
    return Offered(peer, record)


_CONTROL: dict[int, Callable[[Rpc, memoryview, _Count], None]] = {
    1: _decode_ihave,
    2: _decode_iwant,
    3: _decode_graft,
    4: _decode_prune,
    5: _decode_idontwant,
}
