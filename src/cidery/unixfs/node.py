"""A block read as a UnixFS node: file (or part of one), directory, symlink; sizes checked against links.

Spec: https://specs.ipfs.tech/unixfs/
"""

from collections.abc import Generator
from enum import Enum
from typing import NamedTuple

from cidery.ipld import dag_pb
from cidery.ipld.block import MAX_BLOCK, BadBlock
from cidery.ipld.codecs import codec_name
from cidery.ipld.links import UnsupportedCodec
from cidery.ipld.walk import PAUSE, Prefetch
from cidery.multiformats.cid import CID
from cidery.multiformats.multicodec import DAG_PB, RAW
from cidery.multiformats.varint import Buffer
from cidery.unixfs import data as unixfs_data
from cidery.unixfs.data import NodeType, UnixFSError
from cidery.unixfs.metadata import MAX_SYMLINK_TARGET, Mtime
from cidery.unixfs.shard import check_shard

MAX_NAME = 255
"""Longest name of an entry, in bytes (NAME_MAX of all common file systems)."""


class NotUnixFS(UnsupportedCodec):
    """A block whose codec is not one of files and directories."""

    def __str__(self) -> str:
        codec = codec_name(self.cid.codec)
        return f"{self.cid} is no file or directory: its codec is {codec}; see: cidery dag get {self.cid}"


class Kind(Enum):
    """The kind of a node."""

    FILE = "file"
    DIRECTORY = "directory"
    SYMLINK = "symlink"


class UnixFSNode(NamedTuple):
    """A decoded node; sizes agree with each other."""

    cid: CID
    kind: Kind
    size: int
    """Files: bytes of the whole file. Symlinks: length of the target. Directories: 0."""
    inline: Buffer = b""
    """Files: bytes before those of the children. Symlinks: the target."""
    links: tuple[dag_pb.Link, ...] = ()
    """Basic directories: the entries. Shards (``fanout`` not 0): directory_reader.py gives the entries."""
    blocksizes: tuple[int, ...] = ()
    """Files: bytes of the file below each link."""
    mode: int | None = None
    """Permission bits, as stored."""
    mtime: Mtime | None = None
    fanout: int = 0
    """Directories: buckets of a HAMT shard; 0: a basic directory."""

    @property
    def target(self) -> str:
        """Target of a symlink, as text with "surrogateescape"."""
        return str(bytes(self.inline), "utf-8", "surrogateescape")


def decode_node(cid: CID, block: Buffer) -> UnixFSNode:
    """Read ``block`` as the node that ``cid`` names.

    Raises:
        UnixFSError: sizes that contradict each other, named links in a file, not UnixFS at all.
        DagPbError: not dag-pb. UnsupportedCodec: another codec.
    Spec: https://specs.ipfs.tech/unixfs/#dag-pb-file
    """
    steps = decode_node_steps(cid, block)
    try:
        while True:
            next(steps)
    except StopIteration as stop:
        node: UnixFSNode = stop.value
        return node


def decode_node_steps(cid: CID, block: Buffer) -> Generator[Prefetch, Buffer | None, UnixFSNode]:
    """As decode_node(), for walks: with a pause every few milliseconds, since a block of 2 MiB can take hundreds."""
    try:
        return (yield from _decode_steps(cid, block))
    except BadBlock as exc:
        exc.note(cid)
        raise


def _decode_steps(cid: CID, block: Buffer) -> Generator[Prefetch, Buffer | None, UnixFSNode]:
    if len(block) > MAX_BLOCK:
        raise UnixFSError(f"a block of {len(block)} bytes, at most {MAX_BLOCK} are allowed")
    if cid.codec == RAW:
        return UnixFSNode(cid, Kind.FILE, len(block), block)
    if cid.codec != DAG_PB:
        raise NotUnixFS(cid)
    steps = dag_pb.decode_steps(block)
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            node: dag_pb.Node = stop.value
            break
        yield PAUSE
    if node.data is None:
        raise UnixFSError("a dag-pb node without data")
    message = unixfs_data.decode(node.data)
    if message.type in (NodeType.FILE, NodeType.RAW):
        return _file(cid, node.links, message)
    if message.type is NodeType.DIRECTORY:
        return UnixFSNode(cid, Kind.DIRECTORY, 0, links=node.links, mode=message.mode, mtime=message.mtime)
    if message.type is NodeType.SYMLINK:
        return _symlink(cid, node.links, message)
    if message.type is NodeType.HAMT_SHARD:
        fanout = check_shard(node.links, message)
        return UnixFSNode(
            cid, Kind.DIRECTORY, 0, links=node.links, mode=message.mode, mtime=message.mtime, fanout=fanout
        )
    raise UnixFSError("type Metadata, which nobody writes")


def _file(cid: CID, links: tuple[dag_pb.Link, ...], message: unixfs_data.UnixFSData) -> UnixFSNode:
    # "the number of blocksizes MUST be equal to the number of links"
    if len(message.blocksizes) != len(links):
        raise UnixFSError(f"{len(message.blocksizes)} blocksizes for {len(links)} links")
    if any(link.name for link in links):
        raise UnixFSError("a named link inside a file")
    inline = message.data if message.data is not None else b""
    size = len(inline) + sum(message.blocksizes)
    # "filesize ... equal to the length of the Data field plus the sum of blocksizes"; old Raw leaves omit it.
    if message.filesize != size and not (message.filesize is None and (size == 0 or message.type is NodeType.RAW)):
        raise UnixFSError(f"filesize {message.filesize}, but its parts sum up to {size}")
    return UnixFSNode(cid, Kind.FILE, size, inline, links, message.blocksizes, message.mode, message.mtime)


def _symlink(cid: CID, links: tuple[dag_pb.Link, ...], message: unixfs_data.UnixFSData) -> UnixFSNode:
    target = message.data if message.data is not None else b""
    if links:
        raise UnixFSError("a symlink with links")
    if len(target) > MAX_SYMLINK_TARGET:
        raise UnixFSError(f"a symlink target of {len(target)} bytes, at most {MAX_SYMLINK_TARGET} are allowed")
    return UnixFSNode(cid, Kind.SYMLINK, len(target), target, mode=message.mode, mtime=message.mtime)
