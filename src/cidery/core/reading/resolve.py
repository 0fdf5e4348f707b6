"""Resolves content paths: from block to block, whatever their codecs.

Below dag-pb the names are those of UnixFS; below every other codec they are map keys and list positions. With
``/ipld/CID/a/b`` dag-pb is read as a value too: Data, Links.
"""

from collections.abc import Generator
from typing import NamedTuple

from cidery.blockstore.drive import run
from cidery.core.reading.content_path import ContentPath, parse_path
from cidery.core.session import BlockSession
from cidery.errors import InvalidInput
from cidery.ipld import codecs, dag_pb
from cidery.ipld.block import BadBlock
from cidery.ipld.links import SCAN_BYTES, Paths, scan_paths
from cidery.ipld.path import NoSuchPath, follow, leads_to
from cidery.ipld.walk import PAUSE, STACK_PART, Need, Prefetch, need
from cidery.multiformats.cid import CID
from cidery.multiformats.multicodec import CBOR, DAG_JOSE, DAG_PB, JSON, RAW
from cidery.multiformats.varint import Buffer
from cidery.unixfs.data import UnixFSError
from cidery.unixfs.reader import resolve_path


class InsideBlock(InvalidInput):
    """A path that ends inside a block, where a whole block was wanted."""

    def __init__(self, path: ContentPath, cid: CID) -> None:
        super().__init__(path, cid)
        self.path = path
        self.cid = cid

    def __str__(self) -> str:
        return f"{self.path} is a value inside the block {self.cid}; see: cidery dag get {self.path}"


class Resolved(NamedTuple):
    """The last block of a path."""

    cid: CID
    remainder: tuple[str, ...]
    """Names that continue inside the block's value."""


async def resolve(path: str | CID | ContentPath, session: BlockSession) -> CID:
    """The CID that a path leads to; one block per name.

    Raises PathError, NoSuchEntry, NotADirectory, NoSuchPath, InsideBlock, and as get() and the codecs.
    """
    if isinstance(path, CID):
        return path
    parsed = parse_path(path) if isinstance(path, str) else path
    if not parsed.segments:
        return parsed.root
    found = await run(walk_path(parsed), session)
    if found.remainder:
        raise InsideBlock(parsed, found.cid)
    return found.cid


async def resolve_inside(path: str | CID | ContentPath, session: BlockSession) -> Resolved:
    """As resolve(), but a path may end inside a block."""
    if isinstance(path, CID):
        return Resolved(path, ())
    return await run(walk_path(parse_path(path) if isinstance(path, str) else path), session)


def walk_path(path: ContentPath) -> Generator[Need | Prefetch, Buffer | None, Resolved]:
    """Follow a path across codecs. One block per name at most. Raises as resolve().

    In a block over SCAN_BYTES only links are searched; whether names lead nowhere is found when the value is read.
    """
    cid, left = path.root, path.segments
    while left:
        if path.namespace == "ipfs" and cid.codec in (DAG_PB, RAW):
            cid, left = (yield from _named_entry(cid, left[0])), left[1:]
            continue
        block = yield from need(cid)
        if len(block) > SCAN_BYTES and cid.codec != DAG_PB:
            met = yield from _link_on(cid, block, left)
            if met is None:
                return Resolved(cid, left)
            cid, left = met
            continue
        reached = follow(cid, codecs.decode_block(cid, block), left)
        if not isinstance(reached.value, CID):
            return Resolved(cid, left)
        cid, left = reached.value, left[reached.used :]
    return Resolved(cid, ())


def _link_on(
    cid: CID, block: Buffer, names: tuple[str, ...]
) -> Generator[Prefetch, Buffer | None, tuple[CID, tuple[str, ...]] | None]:
    """The first link on the way down a large value, and the names after it; in steps of a few milliseconds."""
    if cid.codec in (CBOR, JSON):
        return None  # they have no links
    steps = scan_paths(cid, block)
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            paths: Paths = stop.value
            break
        except BadBlock as exc:
            exc.note(cid)
            raise
        yield PAUSE
    if cid.codec == DAG_JOSE:  # of bounded size, as just checked
        reached = follow(cid, codecs.decode_block(cid, block), names)
        return (reached.value, names[reached.used :]) if isinstance(reached.value, CID) else None
    for start in range(0, len(paths), STACK_PART):
        for target, way in paths[start : start + STACK_PART]:
            if len(way) <= len(names) and all(map(leads_to, way, names)):
                return target, names[len(way) :]
        yield PAUSE
    return None


def _named_entry(cid: CID, name: str) -> Generator[Need | Prefetch, Buffer | None, CID]:
    """An entry of a UnixFS directory; of another dag-pb node the link of that name."""
    try:
        return (yield from resolve_path(cid, (name,)))
    except UnixFSError:
        if cid.codec != DAG_PB:
            raise
    block = yield from need(cid)
    for link in dag_pb.decode(block).links:
        if (link.name or "") == name:
            return link.cid
    raise NoSuchPath(cid, name)
