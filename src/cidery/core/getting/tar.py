"""Trees as TAR streams, for archives and the RPC; getting.untar reads them.

Long names and times with fractions use PAX records (POSIX.1-2001).
"""

import tarfile
import zlib
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from posixpath import normpath

from cidery.blockstore.drive import drive, run
from cidery.core.getting.tar_header import BLOCK
from cidery.core.getting.untar import SKIPPED
from cidery.core.reading.content_path import ContentPath, parse_path
from cidery.core.reading.resolve import resolve
from cidery.core.session import BlockSession
from cidery.errors import IntegrityError
from cidery.ipld.walk import Data
from cidery.multiformats.cid import CID
from cidery.unixfs.node import Kind
from cidery.unixfs.reader import read_file, read_node
from cidery.unixfs.tree import TreeEntry, walk_tree

DEFAULT_FILE_MODE = 0o644
DEFAULT_DIRECTORY_MODE = 0o755
SYMLINK_MODE = 0o777
"""Modes of entries without one."""


class OutsideTree(IntegrityError):
    """The name of an entry leads out of the tree."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path

    def __str__(self) -> str:
        return f"the entry {self.path[:120]!r} lies outside of its own tree"


async def tar_stream(
    path: str | CID | ContentPath,
    session: BlockSession,
    name: str | None = None,
    *,
    skip_files: int = 0,
    skip_bytes: int = 0,
) -> AsyncIterator[bytes | memoryview]:
    """The tree at ``path`` as TAR, its root called ``name`` (default: the last part of the path).

    For a receiver that has a part of it already: the first ``skip_files`` files are left out, and of the next one the
    first ``skip_bytes`` bytes; the owner in its header says so (see SKIPPED). Omitted bytes are not read.
    Raises as get(), also after bytes were yielded. Cancellation: safe.
    """
    async with aclosing(tar_pieces(path, session, name, skip_files=skip_files, skip_bytes=skip_bytes)) as pieces:
        async for piece in pieces:
            chunk = piece.chunk if isinstance(piece, Data) else piece
            yield bytes(chunk) if isinstance(chunk, bytearray) else chunk


async def tar_pieces(
    path: str | CID | ContentPath,
    session: BlockSession,
    name: str | None = None,
    *,
    skip_files: int = 0,
    skip_bytes: int = 0,
    inside: bool = False,
) -> AsyncGenerator[bytes | Data, None]:
    """As tar_stream(), with the bytes of files apart from what TAR puts around them.

    ``inside``: names are resolved, and one that leads out of the tree raises OutsideTree: not every program that
    unpacks looks at names.
    """
    root = await resolve(path, session)
    session.expect(root)
    if name is None:
        name = ContentPath(root).name if isinstance(path, CID) else _name_of(path)
    async for entry in drive(walk_tree(root), session):
        size = entry.size
        if size is None:
            size = (await run(read_node(entry.cid), session)).size
        skipped = 0
        if entry.kind is Kind.FILE and skip_files:
            skip_files -= 1
            continue
        if entry.kind is Kind.FILE:
            skipped, skip_bytes = min(skip_bytes, size), 0
        shown = _inside(name, entry.path) if inside else "/".join((name, *entry.path))
        yield _header(shown, entry, size, skipped)
        if entry.kind is not Kind.FILE:
            continue
        async for data in drive(read_file(entry.cid, skipped), session):
            yield data
        if size % BLOCK:
            yield bytes(BLOCK - size % BLOCK)
    yield bytes(2 * BLOCK)


def _inside(name: str, path: tuple[str, ...]) -> str:
    """The path in the archive, without ".." and empty names. Raises OutsideTree."""
    if not path:
        return name
    resolved = normpath("/".join((name, *path)))
    if not resolved.startswith(f"{name}/") or "\0" in resolved:
        raise OutsideTree("/".join(path))
    return resolved


def _name_of(path: str | ContentPath) -> str:
    return (parse_path(path) if isinstance(path, str) else path).name


def _header(name: str, entry: TreeEntry, size: int, skipped: int) -> bytes:
    info = tarfile.TarInfo(name)
    if skipped:
        info.uname = f"{SKIPPED}{skipped}"
    is_directory = entry.kind is Kind.DIRECTORY
    info.type = tarfile.DIRTYPE if is_directory else tarfile.REGTYPE
    info.mode = DEFAULT_DIRECTORY_MODE if is_directory else DEFAULT_FILE_MODE
    if entry.kind is Kind.SYMLINK:
        info.type, info.linkname, info.mode = tarfile.SYMTYPE, entry.target, SYMLINK_MODE
    if entry.mode is not None:
        info.mode = entry.mode & 0o7777
    if entry.mtime is not None:
        info.mtime = entry.mtime.seconds
        if entry.mtime.nanoseconds:
            info.pax_headers = {"mtime": f"{entry.mtime.seconds}.{entry.mtime.nanoseconds:09d}"}
    info.size = size if entry.kind is Kind.FILE else 0
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


async def gzip_stream(chunks: AsyncIterator[bytes | memoryview], level: int = 6) -> AsyncIterator[bytes]:
    """The same bytes compressed with gzip; ``level`` 1 (fast) to 9 (small)."""
    packer = zlib.compressobj(level, zlib.DEFLATED, 31)
    async for chunk in chunks:
        if packed := packer.compress(chunk):
            yield packed
    yield packer.flush()
