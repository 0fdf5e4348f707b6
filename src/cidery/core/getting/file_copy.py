"""Writes one file to disk: an unfinished or older copy is hashed part by part, and only the rest is written.

All methods block and are called from one thread at a time.
"""

import os

from cidery.core.getting.target import CannotWrite, Target, cut_to, write_at
from cidery.disk.file_reads import pread_exactly
from cidery.ipld import dag_pb
from cidery.ipld.block import MAX_BLOCK
from cidery.multiformats.cid import CID
from cidery.multiformats.multicodec import DAG_PB, RAW
from cidery.multiformats.multihash import matches
from cidery.multiformats.varint import Buffer
from cidery.unixfs.data import NodeType, UnixFSData
from cidery.unixfs.metadata import Mtime
from cidery.unixfs.reader import Offer

COPY_PIECE = 8 << 20
"""Bytes copied at a time from an older version."""


class FileCopy:
    """Writes one file in order, from offset 0. Call commit() after the last part, and always close()."""

    def __init__(self, target: Target, path: tuple[str, ...], key: str) -> None:
        self._target = target
        self._path = path
        self._key = key
        self._at = 0
        self.trusted = 0
        """Leading bytes of an unfinished file that are known to be right without hashing."""
        self._out = -1
        self._source = -1
        if target.has_part(path, key):
            self._out, _ = target.open_part(path, key)
            self._source = self._out
        else:
            found = target.open_file(path)
            if found is not None:
                self._source = found

    @property
    def has_source(self) -> bool:
        """Whether there is anything on disk to compare with."""
        return self._source >= 0

    def unfinished(self) -> tuple[os.stat_result, int] | None:
        """The CID and size of the unfinished file; None if there is none."""
        return (os.fstat(self._out), self._at) if self._out >= 0 else None

    def reuse(self, offer: Offer) -> int:
        """Take the offered part if the disk has exactly its bytes at its place; returns the bytes taken, 0 if none."""
        if offer.size is not None and offer.start + offer.size <= self.trusted:
            offer.taken = True
            self._at += offer.size
            return offer.size
        try:
            size = os.fstat(self._source).st_size if offer.size is None else offer.size
            if size > MAX_BLOCK:
                return 0
            data = pread_exactly(self._source, size, offer.start)
        except OSError:
            return 0  # fetch what cannot be read
        if len(data) != size or not is_leaf_of(offer.cid, data):
            return 0
        offer.taken = True
        if self._out >= 0 and self._out != self._source:
            self.write([data])
        else:
            self._at += size
        return size

    def write(self, chunks: list[Buffer]) -> None:
        """Append. Raises CannotWrite."""
        try:
            if chunks and self._out < 0:
                self._begin()
            for chunk in chunks:
                write_at(self._out, chunk, self._at)
                self._at += len(chunk)
        except OSError as exc:
            raise CannotWrite(self._target.shown(self._path), (exc.strerror or str(exc)).lower()) from exc

    def _begin(self) -> None:
        """Open the unfinished file, starting with the parts taken from an older version."""
        self._out, _ = self._target.open_part(self._path, self._key)
        for start in range(0, self._at, COPY_PIECE):
            write_at(self._out, pread_exactly(self._source, min(COPY_PIECE, self._at - start), start), start)

    def commit(self, mode: int | None, mtime: Mtime | None) -> None:
        """Give the complete file its name. One that was complete on disk already is left alone."""
        try:
            if self._out < 0 and self._source >= 0 and os.fstat(self._source).st_size == self._at:
                return
            if self._out < 0:
                self._begin()
            cut_to(self._out, self._at)
        except OSError as exc:
            raise CannotWrite(self._target.shown(self._path), (exc.strerror or str(exc)).lower()) from exc
        out, self._out = self._out, -1
        if self._source == out:
            self._source = -1
        self._target.commit_part(self._path, self._key, out, mode, mtime)

    def close(self) -> None:
        """Close descriptors; an unfinished file stays for the next run."""
        for fd in {self._out, self._source} - {-1}:
            os.close(fd)
        self._out = self._source = -1


def is_leaf_of(cid: CID, data: Buffer, mode: int | None = None, mtime: Mtime | None = None) -> bool:
    """Whether ``data`` is the content of the leaf ``cid``, in any of the encodings that importers use.

    ``mode``, ``mtime``: the metadata that the leaf is known to carry, when it is a whole file.
    """
    if cid.codec == RAW:
        return matches(cid.multihash, data)
    if cid.codec != DAG_PB:
        return False
    content = data if len(data) else None
    forms = (UnixFSData(kind, content, len(data), mode=mode, mtime=mtime) for kind in (NodeType.FILE, NodeType.RAW))
    return any(matches(cid.multihash, dag_pb.encode((), form.encode())) for form in forms)
