"""CAR archives without a node: ``with cidery.car.open("site.car") as archive: for cid, data in archive: ...``.

Specs: https://ipld.io/specs/transport/car/carv1/ and https://ipld.io/specs/transport/car/carv2/
"""

from __future__ import annotations

import builtins
import os

from cidery.errors import NotFound
from cidery.ipld.block import Block
from cidery.ipld.car import MAX_SECTION_HEAD, decode_section_head, encode_header, encode_section_head
from cidery.ipld.car_reader import BadCar, CarReader
from cidery.multiformats.cid import CID
from cidery.multiformats.multihash import MultihashError, matches

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import TracebackType
    from typing import BinaryIO, Self

    from cidery.ipld.car_reader import Placed
    from cidery.multiformats.varint import Buffer

__all__ = ["Archive", "BadCar", "NotInArchive", "open", "write"]

READ_SIZE = 1 << 20
"""Bytes read at a time."""


class NotInArchive(NotFound):
    """An archive has no block of this CID."""

    def __init__(self, cid: CID) -> None:
        super().__init__(cid)
        self.cid = cid

    def __str__(self) -> str:
        return f"{self.cid} is not in the archive"


class Archive:
    """An archive of version 1 or 2 that is open for reading. Iterate it for its blocks, each checked, in order.

    One thread at a time. Raises BadCar, with the place of the fault, and OSError.
    """

    def __init__(self, file: BinaryIO, *, closes: bool) -> None:
        """``file``: can be seeked, and is at the start of the archive. ``closes``: whether close() closes it."""
        self._file = file
        self._closes = closes
        self._begin = file.tell()
        self._places: dict[bytes, int] | None = None
        reader = CarReader()
        pieces = self._pieces()
        while not reader.version and (piece := next(pieces, b"")):
            reader.receive_data(piece)
        if not reader.version:
            reader.receive_eof()
        self.roots: tuple[CID, ...] = reader.roots
        self.version: int = reader.version

    def _pieces(self) -> Iterator[bytes]:
        at = self._begin
        self._file.seek(at)
        while piece := self._file.read(READ_SIZE):
            yield piece
            at += len(piece)
            self._file.seek(at)  # get() may have moved it meanwhile

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Idempotent."""
        if self._closes:
            self._file.close()

    def __iter__(self) -> Iterator[Block]:
        """(cid, data) of each block, in order; one that occurs twice comes twice."""
        for placed in self._sections():
            yield _checked(placed.block, placed.at)

    def _sections(self) -> Iterator[Placed]:
        reader = CarReader()
        for piece in self._pieces():
            yield from reader.receive_data(piece)
        reader.receive_eof()

    def verify(self) -> int:
        """Check every block and the end; returns the number of blocks."""
        return sum(1 for _ in self)

    def cids(self) -> list[CID]:
        """The CIDs of the blocks, in order, unchecked."""
        return [placed.block.cid for placed in self._sections()]

    def get(self, cid: CID) -> Buffer:
        """The bytes of a block, checked. The first call reads through the archive. Raises NotInArchive.

        Memory: an entry for each block.
        """
        if cid.is_identity:
            return cid.identity_data
        if self._places is None:
            self._places = {placed.block.cid.multihash: placed.at for placed in self._sections()}
        at = self._places.get(cid.multihash)
        if at is None:
            raise NotInArchive(cid)
        self._file.seek(self._begin + at)
        section = decode_section_head(self._file.read(MAX_SECTION_HEAD))
        self._file.seek(self._begin + at + section.data_start)
        return _checked(Block(cid, self._file.read(section.data_end - section.data_start)), at).data


def _checked(block: Block, at: int) -> Block:
    try:
        intact = matches(block.cid.multihash, block.data)
    except MultihashError as exc:
        raise BadCar(f"{block.cid}: {exc.reason}", at) from exc
    if not intact:
        raise BadCar(f"the bytes of {block.cid} do not match its hash", at)
    return block


def open(file: str | os.PathLike[str] | BinaryIO) -> Archive:
    """Open an archive: a path, or a file that can be seeked. Raises BadCar: it is none; OSError."""
    if not isinstance(file, str | os.PathLike):
        return Archive(file, closes=False)
    opened = builtins.open(file, "rb")
    try:
        return Archive(opened, closes=True)
    except BaseException:
        opened.close()
        raise


def write(file: str | os.PathLike[str] | BinaryIO, roots: Iterable[CID], blocks: Iterable[tuple[CID, Buffer]]) -> int:
    """Write an archive of version 1; returns its bytes. Blocks are written as they are given, unchecked.

    ``file``: a path, which is replaced, or a file that is open for writing.
    """
    if isinstance(file, str | os.PathLike):
        with builtins.open(file, "wb") as opened:
            return write(opened, roots, blocks)
    header = encode_header(list(roots))
    size = file.write(header)
    for cid, data in blocks:
        size += file.write(encode_section_head(cid, len(data)))
        size += file.write(data)
    return size
