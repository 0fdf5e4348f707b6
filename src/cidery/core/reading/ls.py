"""The entries of a directory, or the parts of a file."""

from collections.abc import AsyncIterator
from enum import IntEnum
from typing import NamedTuple

from cidery.blockstore.drive import drive
from cidery.core.reading.content_path import ContentPath
from cidery.core.reading.resolve import resolve
from cidery.core.session import BlockSession
from cidery.errors import InvalidInput
from cidery.ipld.dag_pb import Link, encode_name
from cidery.ipld.walk import PREFETCH_WINDOW, Prefetch, Walk, need, read_links
from cidery.multiformats.cid import CID
from cidery.multiformats.multicodec import DAG_PB, RAW
from cidery.multiformats.varint import Buffer
from cidery.unixfs.directory_page import walk_page
from cidery.unixfs.directory_reader import walk_entries
from cidery.unixfs.metadata import Mtime
from cidery.unixfs.node import Kind
from cidery.unixfs.reader import read_node


class EntryType(IntEnum):
    """Types as ``ls`` reports them: the numbers of UnixFS."""

    UNKNOWN = 0
    DIRECTORY = 1
    FILE = 2
    SYMLINK = 4
    HAMT_SHARD = 5


_TYPES = {Kind.FILE: EntryType.FILE, Kind.DIRECTORY: EntryType.DIRECTORY, Kind.SYMLINK: EntryType.SYMLINK}


class LsEntry(NamedTuple):
    """One entry."""

    name: str
    cid: CID
    size: int
    """Bytes of a file, or of a symlink's target; 0 for everything else and if unknown."""
    type: EntryType
    target: str = ""
    """Of a symlink."""
    mode: int | None = None
    mtime: Mtime | None = None


class NoPages(InvalidInput):
    """A page was asked for of what is not a directory."""

    def __init__(self, cid: CID) -> None:
        super().__init__(cid)
        self.cid = cid

    def __str__(self) -> str:
        return f"{self.cid} is not a directory: leave out 'limit' and 'after' to list the parts of other nodes"


async def ls(
    path: str | CID | ContentPath,
    session: BlockSession,
    *,
    resolve_type: bool = True,
    size: bool = True,
    limit: int | None = None,
    after: str = "",
) -> AsyncIterator[LsEntry]:
    """The entries in stored order. Of a file, and of a node that is not UnixFS: its links, nameless, as in Kubo.

    ``resolve_type``, ``size``: with both off, no entry's own block is read.
    ``limit``: most entries; then they come in the order of the hashes of their names, those behind the name ``after``.
    Raises PathError, NotFound, NoPages and as the reader. Cancellation: safe.
    """
    root = await resolve(path, session)
    look = resolve_type or size
    walk = _entries(root, look) if limit is None else _part(root, look, after, limit)
    async for entry in drive(walk, session):
        yield entry


def _part(root: CID, look: bool, after: str, limit: int) -> Walk[LsEntry, None]:
    if root.codec not in (DAG_PB, RAW):
        raise NoPages(root)
    node = yield from read_node(root)
    if node.kind is not Kind.DIRECTORY:
        raise NoPages(root)
    yield from _rows(walk_page(node, after, limit), look)


def _entries(root: CID, look: bool) -> Walk[LsEntry, None]:
    if root.codec not in (DAG_PB, RAW):
        targets = yield from read_links(root, (yield from need(root)))
        yield from _page([Link(target, "", 0) for target, _ in targets], look)
        return
    node = yield from read_node(root)
    if not node.fanout:
        yield from _page(list(node.links), look)
        return
    yield from _rows(walk_entries(node), look)


def _rows(walk: Walk[Link, None], look: bool) -> Walk[LsEntry, None]:
    """The entries of a directory's links, as a walk finds them."""
    page: list[Link] = []
    answer: Buffer | None = None
    while True:
        try:
            step = walk.send(answer)
        except StopIteration:
            break
        answer = None
        if isinstance(step, Link):
            page.append(step)
        elif isinstance(step, Prefetch):
            yield step
            # A shard was read: yield its entries before the next one.
            yield from _page(page, look)
            page = []
        else:
            answer = yield step
    yield from _page(page, look)


def _page(links: list[Link], look: bool) -> Walk[LsEntry, None]:
    for at, link in enumerate(links):
        if look and at % PREFETCH_WINDOW == 0:
            yield Prefetch(tuple(one.cid for one in links[at : at + PREFETCH_WINDOW] if one.cid.codec == DAG_PB))
        yield (yield from _entry(link)) if look else LsEntry(link.name or "", link.cid, 0, EntryType.UNKNOWN)


def _entry(link: Link) -> Walk[LsEntry, LsEntry]:
    name = link.name or ""
    if link.cid.codec == RAW:
        # The cumulative size of a raw block is its size: no need to read it.
        return LsEntry(name, link.cid, link.tsize or 0, EntryType.FILE)
    if link.cid.codec != DAG_PB:
        return LsEntry(name, link.cid, 0, EntryType.UNKNOWN)
    node = yield from read_node(link.cid)
    is_link = node.kind is Kind.SYMLINK
    size = node.size if node.kind is Kind.FILE else len(encode_name(node.target)) if is_link else 0
    return LsEntry(name, link.cid, size, _TYPES[node.kind], node.target if is_link else "", node.mode, node.mtime)
