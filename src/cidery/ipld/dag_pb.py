"""dag-pb: the node format under UnixFS: named links with sizes, and bytes.

Layout: ``PBNode{repeated PBLink Links = 2; optional bytes Data = 1}``, ``PBLink{Hash = 1, Name = 2, Tsize = 3}``.
Written with Links before Data; the order of the links is the caller's (writers of directories sort by name).
Names are kept as text with "surrogateescape", so that any bytes survive a round trip.

Spec: https://ipld.io/specs/codecs/dag-pb/spec/
"""

from collections.abc import Generator, Iterable
from struct import Struct
from typing import NamedTuple

from cidery.ipld.block import BadBlock
from cidery.ipld.data_model import MAX_LINKS
from cidery.multiformats.cid import CID, USUAL, USUAL_SIZE, CIDError
from cidery.multiformats.protobuf import BYTES, VARINT, ProtobufError, bytes_field, read_fields, varint_field
from cidery.multiformats.varint import MAX_VARINT_BYTES, Buffer, VarintError, decode_uvarint, encode_uvarint

STEP = 512
"""Links between two pauses: about a millisecond."""


_ENTRY = Struct("xx2s36sBB")
"""The beginning of a link: its key and length, those of its Hash, a usual CID, the key and length of its Name."""
_HASH = bytes([0x0A, USUAL_SIZE])


class DagPbError(BadBlock):
    """Bytes that are not a dag-pb node."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return self.said(f"not a dag-pb node: {self.reason}")


class Link(NamedTuple):
    """One link of a node."""

    cid: CID
    name: str | None
    """None: the field is absent; file chunks have ""."""
    tsize: int | None
    """Cumulative size of the DAG below in bytes, as the writer claims; None: absent."""


class Node(NamedTuple):
    """A decoded node."""

    links: tuple[Link, ...]
    data: Buffer | None
    """A view into the block it was decoded from; None: absent."""


def encode_name(name: str) -> bytes:
    """The bytes of a link name."""
    return name.encode("utf-8", "surrogateescape")


def readable_name(name: str) -> str:
    """A name as text for display: U+FFFD for each byte that is not UTF-8, as programs in Go write it."""
    return name if name.isascii() else "".join("\ufffd" if "\udc80" <= char <= "\udcff" else char for char in name)


def encode_link(link: Link) -> bytes:
    """One Links field with its key and length."""
    target, text, tsize = link
    cid = target.encode()
    body = b"\x0a" + encode_uvarint(len(cid)) + cid
    if text is not None:
        name = encode_name(text)
        body += b"\x12" + encode_uvarint(len(name)) + name
    if tsize is not None:
        body += b"\x18" + encode_uvarint(tsize) if 0 <= tsize < 1 << 63 else varint_field(3, tsize)
    return b"\x12" + encode_uvarint(len(body)) + body


def encode(links: Iterable[Link], data: Buffer | None) -> bytes:
    """Encode a node byte-exactly as Kubo does: Links in the given order, then Data."""
    parts = [encode_link(link) for link in links]
    if data is not None:
        parts.append(bytes_field(1, data))
    return b"".join(parts)


def decode(block: Buffer, *, max_links: int = MAX_LINKS) -> Node:
    """Decode an untrusted node. O(len(block)); ``data`` is a view, not a copy.

    Accepts what the specification allows: Data before or after all Links, absent Name and Tsize, links in any order.

    Raises:
        DagPbError: unknown or repeated fields, fields of a link out of order, Links in two runs, a link without a
            valid CID, more than ``max_links`` of them. Nothing else (fuzzed).
    """
    steps = decode_steps(block, max_links=max_links)
    try:
        while True:
            next(steps)
    except StopIteration as stop:
        node: Node = stop.value
        return node


def decode_steps(block: Buffer, *, max_links: int = MAX_LINKS) -> Generator[None, None, Node]:
    """As decode(), with a pause every STEP links."""
    if (only := _only_data(block)) is not None:
        return Node((), only)
    buf = block if isinstance(block, bytes) else bytes(block)  # bytes are indexed several times faster than views
    links: list[Link] = []
    at = 0
    while (end := _leading_links(buf, at, links)) != at and len(links) % STEP == 0:
        at = end
        _check_count(links, max_links)
        yield
    data: memoryview | None = None
    links_closed = False
    try:
        for number, wire, _, view in read_fields(memoryview(buf)[end:]):
            if wire != BYTES:
                raise DagPbError(f"field {number} has wire type {wire}")
            if number == 2:
                if links_closed:
                    raise DagPbError("links before and after the data")
                links.append(_decode_link(view))
                if len(links) % STEP == 0:
                    _check_count(links, max_links)
                    yield
            elif number == 1:
                if data is not None:
                    raise DagPbError("two data fields")
                data = view
                links_closed = bool(links)
            else:
                raise DagPbError(f"unknown field {number}")
    except ProtobufError as exc:
        raise DagPbError(exc.reason) from exc
    _check_count(links, max_links)
    return Node(tuple(links), data)


def _only_data(block: Buffer) -> memoryview | None:
    """The data of a node that has nothing else, as the leaves of files do; None for any other."""
    start = bytes(block[: 1 + MAX_VARINT_BYTES])
    if not start or start[0] != 1 << 3 | BYTES:
        return None
    try:
        size, at = decode_uvarint(start, 1)
    except VarintError:
        return None  # padding is allowed, and rare
    return memoryview(block)[at:] if at + size == len(block) else None


def _check_count(links: list[Link], most: int) -> None:
    if len(links) > most:
        raise DagPbError(f"more than {most} links")


def _leading_links(buf: bytes, at: int, links: list[Link]) -> int:
    """Add links of the usual form from ``at`` on, up to a multiple of STEP; returns where they end.

    Most nodes consist of such links and one data field; this is five times as fast as the full decoder.
    """
    size = len(buf)
    left = STEP - len(links) % STEP
    while left and at + 2 <= size and buf[at] == 0x12 and buf[at + 1] < 0x80:
        end = at + 2 + buf[at + 1]
        if end > size:
            break
        link = _entry(buf, at, end) or _usual_link(buf, at + 2, end)
        if link is None:
            break
        links.append(link)
        at = end
        left -= 1
    return at


def _entry(buf: bytes, at: int, end: int) -> Link | None:
    """The link in ``[at, end)`` if it has the usual CID, a name, and a size of one or two bytes, as nearly all small
    files in directories; else None."""
    if end - at < _ENTRY.size + 2:
        return None
    head, raw, key, length = _ENTRY.unpack_from(buf, at)
    stop = at + _ENTRY.size + length
    if head != _HASH or key != 0x12 or length >= 0x80 or (codec := USUAL.get(raw[:4])) is None:
        return None
    tail = buf[stop:end]
    if len(tail) == 3 and tail[0] == 0x18 and tail[1] >= 0x80 and 0 < tail[2] < 0x80:
        tsize = tail[1] & 0x7F | tail[2] << 7
    elif len(tail) == 2 and tail[0] == 0x18 and tail[1] < 0x80:
        tsize = tail[1]
    else:
        return None
    return Link(CID.usual(codec, raw), buf[at + _ENTRY.size : stop].decode("utf-8", "surrogateescape"), tsize)


def _usual_link(buf: bytes, at: int, end: int) -> Link | None:
    """A link of ``Hash, Name?, Tsize?`` with minimal one-byte lengths; None for everything else, valid or not."""
    if end - at < 2 or buf[at] != 0x0A:
        return None
    stop = at + 2 + buf[at + 1]
    name: str | None = None
    tsize: int | None = None
    try:
        if stop > end:
            return None
        cid = CID.decode(buf[at + 2 : stop])
        if stop + 2 <= end and buf[stop] == 0x12 and buf[stop + 1] < 0x80:
            start, stop = stop + 2, stop + 2 + buf[stop + 1]
            name = buf[start:stop].decode("utf-8", "surrogateescape") if stop > start else ""
        if stop < end and buf[stop] == 0x18:
            tsize, stop = decode_uvarint(buf, stop + 1)
    except (CIDError, VarintError):
        return None
    return Link(cid, name, tsize) if stop == end else None


def _decode_link(view: memoryview) -> Link:
    cid: CID | None = None
    name: str | None = None
    tsize: int | None = None
    last = 0
    for number, wire, value, inner in read_fields(view):
        # Fields of a link appear at most once and in order: https://ipld.io/specs/codecs/dag-pb/spec/#serial-format
        if number <= last or number > 3:
            raise DagPbError(f"field {number} of a link is unknown, repeated or out of order")
        if wire != (VARINT if number == 3 else BYTES):
            raise DagPbError(f"field {number} of a link has wire type {wire}")
        last = number
        if number == 1:
            try:
                cid = CID.decode(inner)
            except CIDError as exc:
                raise DagPbError(f"a link whose Hash is no CID ({exc.reason})") from exc
        elif number == 2:
            name = str(inner, "utf-8", "surrogateescape")
        else:
            tsize = value
    if cid is None:
        raise DagPbError("a link without Hash")
    return Link(cid, name, tsize)
