"""Changes inside an existing file: replacing bytes in place, truncating. Nodes keep their shape and CID form.

Only the nodes above changed bytes are read and rewritten.
"""

from collections.abc import Generator
from dataclasses import dataclass

from cidery.ipld import dag_pb
from cidery.ipld.block import Block
from cidery.ipld.walk import Need, WalkLimit, need
from cidery.multiformats.cid import CID
from cidery.multiformats.multicodec import DAG_PB, RAW
from cidery.multiformats.multihash import IDENTITY, SHA2_256, decode_multihash, multihash
from cidery.multiformats.varint import Buffer
from cidery.unixfs import data as unixfs_data
from cidery.unixfs.data import UnixFSData, UnixFSError
from cidery.unixfs.metadata import Mtime
from cidery.unixfs.node import Kind, UnixFSNode, decode_node
from cidery.unixfs.reader import MAX_FILE_DEPTH

MAX_IDENTITY = 128
"""Most bytes in an identity CID, as in all implementations."""

Edited = tuple[CID, list[Block]]
"""(the new root, the blocks to store)."""


def like(cid: CID, data: Buffer) -> Block:
    """``data`` under a CID of the same version, codec and hash as ``cid``."""
    found, _ = decode_multihash(cid.multihash)
    code, size = found.code, len(found.digest)
    if code == IDENTITY:
        code, size = (IDENTITY, len(data)) if len(data) <= MAX_IDENTITY else (SHA2_256, -1)
    return Block(CID(cid.version, cid.codec, multihash(code, data, size)), data)


@dataclass(slots=True)
class _Frame:
    """A node on the way to the bytes."""

    cid: CID
    block: Buffer
    node: UnixFSNode
    start: int
    """Offset of its first byte in the file."""
    links: list[dag_pb.Link]
    at: int = 0
    """The next child to look at."""
    below: int = 0
    """Offset of that child in the file."""


def overwrite(
    root: CID, offset: int, data: Buffer, mtime: Mtime | None = None
) -> Generator[Need, Buffer | None, Edited]:
    """Replace ``[offset, offset+len(data))``, which must lie within the file.

    ``mtime`` replaces that of the root, if it has any. O(depth + len(data)).
    Raises UnixFSError (also for parts whose sizes disagree), DagPbError, WalkLimit.
    """
    end = offset + len(data)
    view = memoryview(data)
    blocks: list[Block] = []
    frames = [(yield from _frame(root, 0, None))]
    while True:
        frame = frames[-1]
        size = _skip_to(frame, offset, end)
        if size is not None:
            if len(frames) >= MAX_FILE_DEPTH:
                raise WalkLimit(root, f"deeper than {MAX_FILE_DEPTH} links")
            frames.append((yield from _frame(frame.links[frame.at].cid, frame.below, size)))
            continue
        frames.pop()
        block = _patched(frame, offset, view, mtime if not frames else None)
        blocks.append(block)
        if not frames:
            return block.cid, blocks
        above = frames[-1]
        above.links[above.at] = above.links[above.at]._replace(cid=block.cid)
        above.below += above.node.blocksizes[above.at]
        above.at += 1


def _frame(cid: CID, start: int, stated: int | None) -> Generator[Need, Buffer | None, _Frame]:
    block = yield from need(cid)
    node = decode_node(cid, block)
    if node.kind is not Kind.FILE:
        raise UnixFSError(f"a {node.kind.value} inside a file")
    if stated is not None and node.size != stated:
        raise UnixFSError(f"{cid} holds {node.size} bytes, its parent says {stated}")
    return _Frame(cid, block, node, start, list(node.links), 0, start + len(node.inline))


def _skip_to(frame: _Frame, offset: int, end: int) -> int | None:
    """Move to the next child that holds changed bytes; its size, or None."""
    sizes = frame.node.blocksizes
    while frame.at < len(sizes) and frame.below < end:
        size = sizes[frame.at]
        if size and frame.below + size > offset:
            return size
        frame.below += size
        frame.at += 1
    return None


def _patched(frame: _Frame, offset: int, view: memoryview, mtime: Mtime | None) -> Block:
    inline = frame.node.inline
    first, last = max(offset - frame.start, 0), min(offset + len(view) - frame.start, len(inline))
    changed: bytearray | None = None
    if first < last:
        changed = bytearray(inline)
        changed[first:last] = view[frame.start + first - offset : frame.start + last - offset]
    if frame.cid.codec == RAW:
        return like(frame.cid, bytes(changed if changed is not None else inline))
    message = _message(frame.block)
    if changed is not None:
        message = message._replace(data=bytes(changed))
    if mtime is not None and message.mtime is not None:
        message = message._replace(mtime=mtime)
    return like(frame.cid, dag_pb.encode(frame.links, message.encode()))


def _message(block: Buffer) -> UnixFSData:
    found = dag_pb.decode(block).data
    assert found is not None  # decode_node() read it
    return unixfs_data.decode(found)


def cut_off(root: CID, mtime: Mtime | None = None) -> Generator[Need, Buffer | None, Edited]:
    """The file without bytes. As in Kubo, the first leaf stays, emptied, with the nodes above it.

    ``mtime`` replaces that of the root, if it has any. Raises as overwrite().
    """
    frames = [(yield from _frame(root, 0, None))]
    while frames[-1].links and not len(frames[-1].node.inline):
        if len(frames) >= MAX_FILE_DEPTH:
            raise WalkLimit(root, f"deeper than {MAX_FILE_DEPTH} links")
        above = frames[-1]
        frames.append((yield from _frame(above.links[0].cid, 0, above.node.blocksizes[0])))
    blocks: list[Block] = []
    below: Block | None = None
    tsize = 0
    while frames:
        frame = frames.pop()
        if frame.cid.codec == RAW:
            below, tsize = like(frame.cid, b""), 0
        else:
            message = _message(frame.block)
            if mtime is not None and message.mtime is not None and not frames:
                message = message._replace(mtime=mtime)
            links = [dag_pb.Link(below.cid, "", tsize)] if below is not None else []
            data = b"" if below is None and message.data is not None else None
            message = message._replace(data=data, filesize=0, blocksizes=(0,) * len(links))
            below = like(frame.cid, dag_pb.encode(links, message.encode()))
            tsize += len(below.data)
        blocks.append(below)
    assert below is not None  # there was at least the root
    return below.cid, blocks


def restated(cid: CID, block: Buffer, *, mode: int | None = None, mtime: Mtime | None = None) -> Block:
    """A node with another mode or time; None keeps the value, mode 0 removes it.

    A raw leaf, which has room for neither, becomes a file node around its bytes.

    Raises UnixFSError, DagPbError.
    """
    node = decode_node(cid, block)
    if cid.codec == RAW:
        message = UnixFSData(unixfs_data.NodeType.FILE, block, len(block), mode=mode or None, mtime=mtime)
        return like(CID(cid.version, DAG_PB, cid.multihash), dag_pb.encode((), message.encode()))
    message = _message(block)
    if mode is not None:
        message = message._replace(mode=((message.mode or 0) & ~unixfs_data.MODE_MASK | mode) or None)
    if mtime is not None:
        message = message._replace(mtime=mtime)
    return like(cid, dag_pb.encode(node.links, message.encode()))
