"""Writes the streams that getting.extents reads: large leaves as ranges of the segments that hold them."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from cidery.blockstore.interface import StoredHook
from cidery.blockstore.segment_file import Location
from cidery.errors import CideryError
from cidery.ipld.walk import Data
from cidery.multiformats.cid import CID
from cidery.multiformats.multicodec import DAG_PB, RAW
from cidery.multiformats.protobuf import BYTES, varint_field
from cidery.multiformats.varint import Buffer, encode_uvarint
from cidery.unixfs.data import NodeType

MIN_RANGE = 32 * 1024
"""Data below this many bytes is sent: copying it out of a segment would cost more."""
MAX_WAITING = 12 << 20
"""Bytes read ahead of those whose blocks are not stored yet: three of the session's writes."""
MAX_UNTAKEN = 64 << 20
"""Bytes named and not taken yet: the reader's disk may be slower than the network, and the cache has a budget."""
STORE_SECONDS = 2.0
"""Longest wait for a block to be stored; then its bytes are sent."""


class Places(Protocol):
    """What is needed of a SegmentStore."""

    @property
    def on_stored(self) -> list[StoredHook]: ...

    def hold(self, cid: CID) -> Location | None: ...

    def release(self, segment: int) -> None: ...

    def is_kept(self, cid: CID) -> bool | None: ...

    def is_elsewhere(self, cid: CID) -> bool: ...


async def extent_stream(
    pieces: AsyncIterator[bytes | Data], store: Places, taken: Callable[[], Awaitable[bytes]]
) -> AsyncGenerator[bytes, None]:
    """The bytes of ``pieces`` in frames; see getting.extents. ``taken`` waits for what the reader says.

    A range is held in its segment until the reader has taken it. Data that is not in a segment, or was not hashed since
    it was read from the disk, is sent. Limits: MAX_WAITING bytes in memory.
    Raises as ``pieces`` and ``taken``; what was read before an error is passed on first. Cancellation: safe.
    """
    with _noticed(store) as stored:
        sender = _Sender(store, stored)
        try:
            failure: CideryError | None = None
            try:
                async for piece in pieces:
                    sender.add(piece)
                    if frames := await sender.frames(MAX_WAITING):
                        yield frames
                    while sender.untaken > MAX_UNTAKEN:
                        sender.took(await taken())
            except CideryError as exc:
                failure = exc
            if frames := await sender.frames(0):
                yield frames
            if failure is not None:
                raise failure
            yield b"E\n"
            while sender.untaken:
                sender.took(await taken())
        finally:
            sender.close()


@contextmanager
def _noticed(store: Places) -> Iterator[asyncio.Event]:
    """An event that is set whenever blocks were stored."""
    loop, stored = asyncio.get_running_loop(), asyncio.Event()

    def hook(blocks: Sequence[tuple[bytes, int]]) -> None:
        loop.call_soon_threadsafe(stored.set)

    store.on_stored.append(hook)
    try:
        yield stored
    finally:
        store.on_stored.remove(hook)


class _Sender:
    """Pieces that wait for their blocks to be stored, and ranges that wait to be taken."""

    def __init__(self, store: Places, stored: asyncio.Event) -> None:
        self._store = store
        self._stored = stored
        self._waiting: deque[bytes | Data] = deque()
        self._bytes = 0
        self._held: deque[tuple[int, int]] = deque()
        """Segment and length of each range that was named and not taken."""
        self.untaken = 0
        self._blocked = False
        """Whether the first that waits was not stored yet, when blocks were stored last."""

    def add(self, piece: bytes | Data) -> None:
        self._waiting.append(piece)
        self._bytes += _size(piece)

    async def frames(self, most: int) -> bytes:
        """Frames of what can be told now, and of as much as leaves at most ``most`` bytes waiting."""
        out: list[Buffer] = []
        if self._blocked and self._bytes <= most and not self._stored.is_set():
            return b""
        self._blocked = False
        self._stored.clear()
        while self._waiting:
            piece = self._waiting[0]
            frame = self._range(piece) if isinstance(piece, Data) else None
            if frame is None and isinstance(piece, Data) and self._comes(piece):
                if self._bytes <= most:
                    self._blocked = True
                    break
                frame = await self._awaited(piece)
            self._waiting.popleft()
            self._bytes -= _size(piece)
            if frame is not None:
                out.append(frame)
            else:
                chunk = piece.chunk if isinstance(piece, Data) else piece
                out += [b"D %d\n" % len(chunk), chunk]
        return b"".join(out)

    async def _awaited(self, piece: Data) -> bytes | None:
        """The frame of a range once its block is stored; None if that takes too long."""
        try:
            async with asyncio.timeout(STORE_SECONDS):
                while True:
                    self._stored.clear()
                    if (frame := self._range(piece)) or not self._comes(piece):
                        return frame
                    await self._stored.wait()
        except TimeoutError:
            return None

    def _comes(self, piece: Data) -> bool:
        """Whether a block that is not in a segment is about to be stored there."""
        cid = piece.cid
        if cid is None or leaf_start(piece) is None:
            return False
        return self._store.is_kept(cid) is None and not self._store.is_elsewhere(cid)

    def _range(self, piece: Data) -> bytes | None:
        """The frame that names the piece, which is then held."""
        start = leaf_start(piece)
        if start is None or piece.cid is None or (at := self._store.hold(piece.cid)) is None:
            return None
        self._held.append((at.segment, len(piece.chunk)))
        self.untaken += len(piece.chunk)
        return b"X %d %d %d\n" % (at.segment, at.offset + at.head + start, len(piece.chunk))

    def took(self, said: bytes) -> None:
        """The reader has taken as many ranges as it said bytes."""
        for _ in range(min(len(said), len(self._held))):
            segment, size = self._held.popleft()
            self._store.release(segment)
            self.untaken -= size

    def close(self) -> None:
        self.took(bytes(len(self._held)))


def _size(piece: bytes | Data) -> int:
    return len(piece.chunk) if isinstance(piece, Data) else len(piece)


def leaf_start(piece: Data) -> int | None:
    """Where in its block the piece is; None if it has to be sent: small, part of a leaf, or in an unusual encoding."""
    size = len(piece.chunk)
    if piece.cid is None or piece.cid.is_identity or size < MIN_RANGE:
        return None
    if piece.cid.codec == RAW:
        return 0
    if piece.cid.codec != DAG_PB:
        return None
    # a block that begins and ends as importers write a leaf, with the right length, has the data in between
    end = varint_field(3, size)
    for kind in (NodeType.FILE, NodeType.RAW):
        inner = varint_field(1, kind) + bytes([2 << 3 | BYTES]) + encode_uvarint(size)
        start = bytes([1 << 3 | BYTES]) + encode_uvarint(len(inner) + size + len(end)) + inner
        block = memoryview(piece.block)
        if len(block) == len(start) + size + len(end) and block[: len(start)] == start and block[-len(end) :] == end:
            return len(start)
    return None
