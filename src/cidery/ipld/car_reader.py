"""Reading a CAR of version 1 or 2 as it arrives, in pieces of any size. Pure.

Blocks are views into the pieces, so nothing is copied except sections that two pieces share. Checking their hashes
is up to the caller; each comes with the offset of its section, for error messages.

Specs: https://ipld.io/specs/transport/car/carv1/ and https://ipld.io/specs/transport/car/carv2/
"""

import struct
from typing import NamedTuple

from cidery.ipld.block import Block
from cidery.ipld.car import MAX_HEADER, MAX_SECTION_HEAD, CarError, decode_section_head
from cidery.ipld.dag_cbor import DagCborError, decode
from cidery.multiformats.cid import CID
from cidery.multiformats.varint import MAX_VARINT_BYTES, Buffer, VarintError, decode_uvarint

PRAGMA = b"\x0a\xa1\x67version\x02"
"""The first bytes of a CARv2: the header of a CAR whose version is 2."""
V2_HEADER = struct.Struct("<16sQQQ")
"""Characteristics, offset and size of the CARv1 inside, offset of the index; in bytes from the start."""
JOINED = 16 * 1024
"""Pieces of a section below this many bytes are copied together: else each would cost an object."""
MAX_V2_PADDING = 1 << 20
"""Most padding before the data of a CARv2, in bytes: far more than alignment to disk sectors needs."""


class BadCar(CarError):
    """A refused archive, and the place of the fault."""

    def __init__(self, reason: str, at: int) -> None:
        super().__init__(reason)
        self.at = at
        """Bytes from the start of the archive."""

    def __str__(self) -> str:
        return f"bad CAR at byte {self.at}: {self.reason}"


class Placed(NamedTuple):
    """A block and the offset of its section."""

    block: Block
    at: int


class CarReader:
    """One archive. Unusable after an error."""

    def __init__(self) -> None:
        self.roots: tuple[CID, ...] = ()
        """Known when ``version`` is."""
        self.version = 0
        """1 or 2; 0: the header has not arrived."""
        self._held = bytearray()  # the start of an incomplete item, until its head is checked
        self._parts: list[Buffer] = []  # then all that has come of it
        self._missing = 0  # and what has not
        self._at = 0  # offset of ``_held``, or of the next byte
        self._skip = 0  # bytes to skip before the next item
        self._end: int | None = None  # offset of the end of the CARv1 inside a CARv2
        self._is_v2 = False

    @property
    def position(self) -> int:
        """Bytes from the start of the archive to the awaited item."""
        return self._at

    def skip_to(self, offset: int) -> None:
        """The next data is the section at ``offset``: everything before was read by an earlier run.

        Only after the header is known. Raises BadCar for a place where no section can be.
        """
        assert self.version  # checked by the caller
        if offset < self._at or (self._end is not None and offset > self._end):
            raise BadCar(f"there is no section at byte {offset}", self._at)
        self._held, self._parts, self._missing = bytearray(), [], 0
        self._skip, self._at = 0, offset

    def receive_data(self, data: Buffer) -> list[Placed]:
        """The blocks that are complete now, in order; their bytes are mostly views into ``data``.

        Raises BadCar: bad header, a section that is too long, shorter than its CID, or without a CID.
        """
        view = memoryview(data)
        found: list[Placed] = []
        while len(view):
            if self._end is not None and self._at >= self._end:
                return found  # the index of a CARv2: every block is known by its own bytes
            if self._skip:
                passed = min(self._skip, len(view))
                self._skip -= passed
                self._at += passed
                view = view[passed:]
                continue
            if self._missing:
                view = self._go_on(view, found)
                continue
            size = self._item_size(view)
            arrived = len(self._held) + len(view)
            if not size or size > arrived:
                if self.version and size and arrived >= MAX_SECTION_HEAD:
                    self._missing = size - len(self._held)
                    self._parts, self._held = [self._held], bytearray()
                    continue
                self._held += view
                return found
            item = view[:size]
            if self._held:
                taken = size - len(self._held)
                self._held += view[:taken]
                item, self._held = memoryview(self._held), bytearray()
                view = view[taken:]
            else:
                view = view[size:]
            self._read_item(item, found)
        return found

    def _go_on(self, view: memoryview, found: list[Placed]) -> memoryview:
        """Take more of a long section, without a copy where that is safe; returns the rest."""
        piece = view[: self._missing]
        self._missing -= len(piece)
        last = self._parts[-1]
        if len(piece) < JOINED and isinstance(last, bytearray):
            last += piece
        elif len(piece) < JOINED or not isinstance(view.obj, bytes):  # it may be used again for other data
            self._parts.append(bytearray(piece))
        else:
            self._parts.append(piece)
        if not self._missing:
            item, self._parts = b"".join(self._parts), []
            self._read_item(memoryview(item), found)
        return view[len(piece) :]

    def receive_eof(self) -> None:
        """The archive has ended. Raises BadCar if that was in the middle."""
        if not self.version:
            raise BadCar("it ends in the header" if self._at or self._held else "it is empty", self._at)
        if self._held or self._missing or self._skip or (self._end is not None and self._at < self._end):
            raise BadCar("it ends in the middle of a section", self._at)

    def _item_size(self, view: memoryview) -> int:
        """Length of the item at the start of the held bytes and ``view``; 0 if it is not known yet."""
        if self._is_v2 and self._end is None:
            return V2_HEADER.size
        start: Buffer = self._held
        if len(self._held) < MAX_VARINT_BYTES:
            start = self._held + view[:MAX_VARINT_BYTES] if self._held else view[:MAX_VARINT_BYTES]
        try:
            size, head = decode_uvarint(start)
        except VarintError as exc:
            if len(start) < MAX_VARINT_BYTES and start[-1] >= 0x80:
                return 0
            raise BadCar(f"a length that is no varint ({exc.reason})", self._at) from exc
        if self.version:
            return self._section_size(size + head, view)
        if not 0 < size <= MAX_HEADER:
            raise BadCar(f"a header of {size} bytes, 1 to {MAX_HEADER} are allowed: not a CAR", self._at)
        return head + size

    def _section_size(self, total: int, view: memoryview) -> int:
        """Refuse a section by its head, long before its last byte has arrived."""
        if self._end is not None and self._at + total > self._end:
            raise BadCar("a section goes beyond the data that the header states", self._at)
        if total - len(self._held) <= len(view):
            return total  # it is complete: _read_item() checks it
        if total > MAX_SECTION_HEAD and len(self._held) < MAX_SECTION_HEAD:
            start = self._held + view[: MAX_SECTION_HEAD - len(self._held)]
            if len(start) == MAX_SECTION_HEAD:
                self._section(start)
        return total

    def _section(self, start: Buffer) -> tuple[CID, int]:
        try:
            cid, data_start, _ = decode_section_head(start)
        except CarError as exc:
            raise BadCar(exc.reason, self._at) from exc
        return cid, data_start

    def _read_item(self, item: memoryview, found: list[Placed]) -> None:
        at = self._at
        if self.version:
            cid, start = self._section(item)
            found.append(Placed(Block(cid, item[start:]), at))
            self._at += len(item)
            return
        self._at += len(item)
        if self._is_v2 and self._end is None:
            self._read_v2_header(bytes(item))
        elif not self._is_v2 and bytes(item) == PRAGMA:
            self._is_v2 = True
        else:
            self.roots = _read_roots(item, at)
            self.version = 2 if self._is_v2 else 1

    def _read_v2_header(self, item: bytes) -> None:
        _, start, size, _ = V2_HEADER.unpack(item)
        if not self._at <= start <= self._at + MAX_V2_PADDING:
            raise BadCar(f"its data begins at byte {start}, which cannot be", self._at)
        self._skip = start - self._at
        self._end = start + size


def _read_roots(item: Buffer, at: int) -> tuple[CID, ...]:
    """The roots of a CARv1 header with its length in front. None or null roots are read as no roots, as in Kubo."""
    _, start = decode_uvarint(item)
    try:
        header = decode(item[start:], canonical=False)
    except DagCborError as exc:
        raise BadCar(f"its header is {exc}", at) from exc
    if not isinstance(header, dict):
        raise BadCar("its header is no map: not a CAR", at)
    if header.get("version") != 1:
        raise BadCar(f"version {header.get('version')!r}, only 1 and 2 are known", at)
    roots = header.get("roots")
    if roots is None:
        return ()
    if not isinstance(roots, list):
        raise BadCar("its roots are no list", at)
    found: list[CID] = []
    for root in roots:
        if not isinstance(root, CID):
            raise BadCar("a root that is no link", at)
        found.append(root)
    return tuple(found)
