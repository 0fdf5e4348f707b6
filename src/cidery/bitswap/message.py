"""Bitswap messages: wantlist entries, blocks, presences.

Blocks are views into the received message, and references to the stored bytes in a message to be sent: they are never
copied here.

Spec: https://specs.ipfs.tech/bitswap-protocol/
"""

from collections.abc import Generator, Iterator
from dataclasses import dataclass, field, replace
from enum import IntEnum
from itertools import islice

from cidery.budgets import BITSWAP_FIELDS
from cidery.errors import RemoteProtocolError
from cidery.ipld.block import MAX_BLOCK, Block
from cidery.multiformats.cid import CID, CIDError
from cidery.multiformats.multihash import SHA2_256, MultihashError, multihash
from cidery.multiformats.protobuf import (
    BYTES,
    VARINT,
    ProtobufError,
    bytes_field,
    bytes_header,
    expect,
    read_fields,
    varint_field,
)
from cidery.multiformats.varint import Buffer, VarintError, decode_uvarint, encode_uvarint

PROTOCOL_1_2 = "/ipfs/bitswap/1.2.0"
PROTOCOL_1_1 = "/ipfs/bitswap/1.1.0"
PROTOCOL_1_0 = "/ipfs/bitswap/1.0.0"
PROTOCOLS = (PROTOCOL_1_2, PROTOCOL_1_1, PROTOCOL_1_0)
"""In order of preference."""
MAX_MESSAGE = 4 * 1024 * 1024
"""Longest message, in bytes ("MUST support messages up to 4 MiB")."""
MAX_ENTRIES = 16 * 1024
"""Most wantlist entries, blocks and presences read from one message."""
STEP = 2048
"""Fields, or what costs as much, between two pauses of a decoding: about a millisecond."""
ITEM_COST = 16
"""Fields that a want, a block or a presence costs beside its own: what is done about it later."""
MAX_ITEM_FIELDS = 64
"""Most fields of one want, block or presence: five are known."""
MESSAGE_COST = 64
"""Fields that a message costs beside its own."""
MAX_CUT_FIELDS = 256
"""Most fields that are read of a message whose end is missing: one of a MiB holds as many blocks of 4 KiB."""
MAX_ITEM_HEAD = 1024
"""Bytes of a block's entry beside its data."""
FORETOLD = 16 * 1024
"""Bytes of a block from which on a message says before its blocks which they are."""
MAX_CID = 168
"""Longest CID in a wantlist, in bytes (boxo's limit: a 128-byte digest and its prefix fit)."""


COMING = 1001
"""Number of the field with the CID of a block that the message holds further on."""
RECEIVING = 1002
"""Number of the field that says from how many others its sender is receiving blocks."""
START = 1003
"""Number of the field of a want, and of a block, with the offset from which on the block is sent."""
REST_OF = 1004
"""Number of the field with the CID of a block of which only the rest is sent: that has no hash by itself."""
SPARED = 1005
"""Number of the field of a cancel that says how many bytes at the end of a block are not wanted: those before are."""
MAX_FORETOLD = 64
"""Most of them that are read: a message of a MiB holds as many blocks of 16 KiB."""


class WantType(IntEnum):
    """What an entry asks for, since 1.2.0: the block, or only whether the peer has it (spec, ``wantType``)."""

    BLOCK = 0
    HAVE = 1


class BitswapError(RemoteProtocolError):
    """A message does not parse, or exceeds its bounds."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"bitswap: {self.reason}"


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a wantlist."""

    cid: CID
    priority: int = 1
    cancel: bool = False
    want_type: WantType = WantType.BLOCK
    send_dont_have: bool = False
    start: int = 0
    """Offset in bytes from which on the block is wanted: what is before it is here. A field of ours."""
    spared: int = 0
    """Of a cancel: only so many bytes at the end of the block are not wanted. A field of ours, too."""

    def encode(self) -> bytes:
        out = bytes_field(1, self.cid.encode()) + varint_field(2, self.priority)
        if self.cancel:
            out += varint_field(3, 1)
        if self.want_type:
            out += varint_field(4, self.want_type)
        if self.send_dont_have:
            out += varint_field(5, 1)
        if self.start:
            out += varint_field(START, self.start)
        if self.spared:
            out += varint_field(SPARED, self.spared)
        return out


@dataclass(frozen=True, slots=True)
class Payload:
    """A received block with the CID prefix the sender states; its CID is known once it is hashed."""

    version: int
    codec: int
    hash_code: int
    digest_size: int
    data: memoryview
    start: int = 0
    """Offset of what the sender sent; 0: all of it."""
    rest_of: CID | None = None
    """The block of which that is the rest, by its word."""

    def cid(self) -> CID:
        """Hash the data. One pass over the bytes; frees the GIL for large ones. Raises BitswapError."""
        try:
            length = -1 if self.hash_code == SHA2_256 and self.digest_size == 32 else self.digest_size
            return CID(self.version, self.codec, multihash(self.hash_code, self.data, length))
        except MultihashError as exc:
            raise BitswapError(f"block prefix: {exc.reason}") from exc


@dataclass(slots=True)
class Message:
    """A message, received or to be sent."""

    entries: list[Entry] = field(default_factory=list)
    full: bool = False
    """Whether ``entries`` replaces what was wanted before."""
    payloads: list[Payload] = field(default_factory=list)
    """Received blocks."""
    blocks: list[Block] = field(default_factory=list)
    """Blocks to send."""
    haves: list[CID] = field(default_factory=list)
    dont_haves: list[CID] = field(default_factory=list)
    pending_bytes: int = 0
    receiving: int | None = None
    """From how many others than the receiver of this message its sender is receiving blocks; None: as it said before.
    A field of ours, too."""
    coming: list[CID] = field(default_factory=list)
    """Ahead of the blocks: which they are, so that a receiver of half a message knows. A field of ours,
    that other implementations skip, as protobuf has it."""
    starts: dict[CID, int] = field(default_factory=dict)
    """Of ``blocks``, of which only the rest is sent, and from which offset on."""

    def encode(self, protocol: str = PROTOCOL_1_2) -> list[Buffer]:
        """The message as buffers to be written one after another, without a length prefix.

        For versions 1.1.0 and 1.0.0 want-have entries, presences and rests, which they do not know, are left out.
        """
        modern = protocol == PROTOCOL_1_2
        out: list[Buffer] = [bytes_field(COMING, cid.encode()) for cid in self.coming]
        entries = self.entries if modern else [e for e in self.entries if e.want_type is WantType.BLOCK]
        if entries or self.full:
            body = b"".join(bytes_field(1, entry.encode()) for entry in entries)
            out.append(bytes_field(1, body + (varint_field(2, 1) if self.full else b"")))
        for block in self.blocks:
            # 1.0.0 has bare blocks (field 2); 1.1.0 and 1.2.0 put the CID's prefix beside each (field 3)
            if not modern and block.cid in self.starts:
                continue  # who asks for the rest knows 1.2.0, and is not sent a whole block that counts as a rest
            if protocol == PROTOCOL_1_0:
                out += (bytes_header(2, len(block.data)), block.data)
            else:
                start = self.starts.get(block.cid, 0)
                data = memoryview(block.data)[start:] if start else block.data
                head = bytes_field(1, _prefix(block.cid))
                if start:
                    head += varint_field(START, start) + bytes_field(REST_OF, block.cid.encode())
                head += bytes_header(2, len(data))
                out += (bytes_header(3, len(head) + len(data)) + head, data)
        # presences and pendingBytes came with 1.2.0
        if modern:
            for kind, cids in ((0, self.haves), (1, self.dont_haves)):
                tail = varint_field(2, kind)
                out += [bytes_field(4, bytes_field(1, cid.encode()) + tail) for cid in cids]
            if self.pending_bytes:
                out.append(varint_field(5, self.pending_bytes))
        if self.receiving is not None:
            out.append(varint_field(RECEIVING, self.receiving))
        return out

    def buffers(self, protocol: str) -> list[Buffer]:
        """encode() with neighbouring small buffers in one: a wantlist is one write, and a block is never copied."""
        out: list[Buffer] = []
        small: list[Buffer] = []
        parts = self.encode(protocol)
        if self.coming:
            # a buffer of its own, so that it can be sent ahead
            out.append(b"".join(parts[: len(self.coming)]))
            del parts[: len(self.coming)]
        for part in parts:
            if len(part) < 4096:
                small.append(part)
                continue
            if small:
                out.append(b"".join(small))
                small.clear()
            out.append(part)
        if small:
            out.append(b"".join(small))
        return out

    @classmethod
    def decode(cls, buf: Buffer) -> "Message":
        """Decode one message; blocks stay views into ``buf``. Raises BitswapError only (fuzzed)."""
        steps = cls.decode_steps(buf)
        while True:
            try:
                next(steps)
            except StopIteration as stop:
                message: Message = stop.value[0]
                return message

    @classmethod
    def decode_steps(cls, buf: Buffer) -> Generator[int, None, "tuple[Message, int]"]:
        """As decode(), pausing every STEP fields. Each pause gives what was spent since the last, the end the rest."""
        message, counter, count = cls(), _Counter(), 0
        try:
            for number, wire, value, view in counter.fields(buf):
                count += 1
                if number == 1:
                    expect(wire, BYTES, "wantlist")
                    yield from message._read_wantlist(view, counter)
                elif number == 2:
                    expect(wire, BYTES, "blocks")
                    # 1.0.0 says nothing of a block's CID: it is a CIDv0, dag-pb by sha2-256
                    message.payloads.append(Payload(0, 0x70, SHA2_256, 32, _sized(view)))
                    counter.spent += ITEM_COST
                elif number == 3:
                    expect(wire, BYTES, "payload")
                    message.payloads.append(_read_payload(view, counter))
                elif number == 4:
                    expect(wire, BYTES, "blockPresences")
                    message._read_presence(view, counter)
                elif number == COMING and len(message.coming) < MAX_FORETOLD:
                    expect(wire, BYTES, "coming")
                    message.coming.append(_read_cid(view))
                elif number == RECEIVING:
                    expect(wire, VARINT, "receiving")
                    message.receiving = value
                elif number == 5:
                    expect(wire, VARINT, "pendingBytes")
                    message.pending_bytes = value
                if count > MAX_ENTRIES:
                    raise BitswapError(f"more than {MAX_ENTRIES} fields")
                if counter.spent >= STEP:
                    yield counter.settle()
        except (ProtobufError, CIDError, VarintError) as exc:
            raise BitswapError(exc.reason) from exc
        return message, counter.settle() + MESSAGE_COST

    def _read_wantlist(self, view: memoryview, counter: "_Counter") -> Generator[int, None, None]:
        for number, wire, value, entry in counter.fields(view):
            if number == 1:
                expect(wire, BYTES, "entries")
                if len(self.entries) >= MAX_ENTRIES:
                    raise BitswapError(f"more than {MAX_ENTRIES} wants")
                self.entries.append(_read_entry(entry, counter))
            elif number == 2:
                expect(wire, VARINT, "full")
                self.full = bool(value)
            if counter.spent >= STEP:
                yield counter.settle()

    def _read_presence(self, view: memoryview, counter: "_Counter") -> None:
        cid, kind = None, 0
        for number, wire, value, data in counter.item(view):
            if number == 1:
                expect(wire, BYTES, "cid")
                cid = _read_cid(data)
            elif number == 2:
                expect(wire, VARINT, "type")
                kind = value
        if cid is None:
            raise BitswapError("a block presence without a CID")
        (self.dont_haves if kind else self.haves).append(cid)


class _Counter:
    """What reading one message costs: fields at every depth, and more for each want, block and presence."""

    __slots__ = ("_fields", "_most", "spent")

    def __init__(self, most: int = BITSWAP_FIELDS.amount) -> None:
        self._fields = self.spent = 0
        self._most = most

    def fields(self, view: Buffer, *, cut: bool = False) -> Iterator[tuple[int, int, int, memoryview]]:
        """Raises BitswapError beyond the budget of a message, as read_fields() else."""
        for one in read_fields(view, cut=cut):
            self._fields += 1
            self.spent += 1
            if self._fields > self._most:
                raise BitswapError(f"more than {self._most} fields at all depths")
            yield one

    def item(self, view: memoryview, *, cut: bool = False) -> Iterator[tuple[int, int, int, memoryview]]:
        """The fields of a want, block or presence. Raises BitswapError beyond MAX_ITEM_FIELDS."""
        self.spent += ITEM_COST
        before = self._fields
        for one in self.fields(view, cut=cut):
            if self._fields - before > MAX_ITEM_FIELDS:
                raise BitswapError(f"a want, block or presence of more than {MAX_ITEM_FIELDS} fields")
            yield one

    def settle(self) -> int:
        spent, self.spent = self.spent, 0
        return spent


def foretold(beginning: memoryview) -> frozenset[CID] | None:
    """The blocks that a message holds, by its first bytes; None if it does not say, or not yet. Never raises."""
    found: list[CID] = []
    try:
        for number, wire, _, view in read_fields(beginning):
            if number != COMING:
                break
            expect(wire, BYTES, "coming")
            found.append(_read_cid(view))
            if len(found) > MAX_FORETOLD:
                return None
    except (ProtobufError, CIDError, VarintError, BitswapError):
        pass  # the first field behind them has not arrived as a whole: that is the usual case
    return frozenset(found) or None


def read_cut(beginning: memoryview) -> tuple[list[Payload], Payload | None]:
    """The blocks of a message of which only these bytes came: the whole ones, and the begun one if it is known which.

    ``rest_of`` of that one is its CID, by the sender's word. Never raises; MAX_CUT_FIELDS are read, and STEP at all
    depths, without a pause.
    """
    whole: list[Payload] = []
    coming: list[CID] = []
    large = 0
    counter = _Counter(STEP)
    try:
        for number, wire, length, view in islice(counter.fields(beginning, cut=True), MAX_CUT_FIELDS):
            if number == COMING and wire == BYTES and not length and len(coming) < MAX_FORETOLD:
                coming.append(_read_cid(view))
            elif number == 3 and wire == BYTES and not length:
                whole.append(_read_payload(view, counter))
                large += whole[-1].start + len(whole[-1].data) >= FORETOLD
            elif number == 3 and wire == BYTES and FORETOLD <= length <= MAX_BLOCK + MAX_ITEM_HEAD:
                begun = _read_payload(view, counter, cut=True)
                named = begun.rest_of or (coming[large] if large < len(coming) else None)
                return whole, replace(begun, rest_of=named) if named is not None and begun.data else None
    except (ProtobufError, CIDError, VarintError, BitswapError):
        pass  # it was cut within the head of a field, or is none
    return whole, None


def _read_cid(view: memoryview) -> CID:
    if len(view) > MAX_CID:
        raise BitswapError(f"a CID of {len(view)} bytes, at most {MAX_CID} are allowed")
    return CID.decode(view)


def _read_entry(view: memoryview, counter: _Counter) -> Entry:
    cid = None
    numbers = {2: 1, 3: 0, 4: 0, 5: 0, START: 0, SPARED: 0}
    for number, wire, value, data in counter.item(view):
        if number == 1:
            expect(wire, BYTES, "block")
            cid = _read_cid(data)
        elif number in numbers:
            expect(wire, VARINT, str(number))
            numbers[number] = value
    if cid is None:
        raise BitswapError("a want without a CID")
    want_type = WantType.HAVE if numbers[4] == WantType.HAVE else WantType.BLOCK
    priority, cancel, dont_have = min(numbers[2], 2**31 - 1), bool(numbers[3]), bool(numbers[5])
    return Entry(cid, priority, cancel, want_type, dont_have, numbers[START], numbers[SPARED])


def _sized(view: memoryview, stated: int = 0) -> memoryview:
    """``stated``: bytes of a block of which ``view`` is the beginning."""
    # "MUST support sending and receiving individual blocks of sizes less than or equal to 2MiB":
    # https://specs.ipfs.tech/bitswap-protocol/#block-sizes
    size = max(len(view), stated)
    if size > MAX_BLOCK:
        raise BitswapError(f"a block of {size} bytes, at most {MAX_BLOCK} are allowed")
    return view


def _read_payload(view: memoryview, counter: _Counter, *, cut: bool = False) -> Payload:
    prefix = data = memoryview(b"")
    start, rest_of = 0, None
    for number, wire, value, part in counter.item(view, cut=cut):
        if number == 1:
            expect(wire, BYTES, "prefix")
            prefix = part
        elif number == 2:
            expect(wire, BYTES, "data")
            data = _sized(part, value)
        elif number == START:
            expect(wire, VARINT, "start")
            start = value
        elif number == REST_OF:
            expect(wire, BYTES, "restOf")
            rest_of = _read_cid(part)
    at = 0
    numbers = []
    # "CID prefix (all of the CID components except for the digest of the multihash)": four varints
    for _ in range(4):
        value, at = decode_uvarint(prefix, at)
        numbers.append(value)
    if at != len(prefix) or numbers[0] not in (0, 1):
        raise BitswapError("a block's CID prefix is not four varints of version 0 or 1")
    return Payload(numbers[0], numbers[1], numbers[2], numbers[3], data, start if rest_of else 0, rest_of)


def _prefix(cid: CID) -> bytes:
    decoded = cid.decoded_multihash()
    return b"".join(map(encode_uvarint, (cid.version, cid.codec, decoded.code, len(decoded.digest))))
