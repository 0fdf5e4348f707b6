"""Whether a file or folder on disk is the content of a CID.

With a source of blocks the DAG itself is followed, so every chunker, layout and directory form is understood and each
difference has its path; the data of files is not asked of the source, only the nodes above it. Without one, the CID is
all there is: content of one raw block is compared exactly, other content is hashed again by the usual rules.
"""

from __future__ import annotations

import os
from typing import NamedTuple, TypeVar

from cidery.content.hashing import cid_by, read_up_to
from cidery.core.adding.items import CannotAdd, ScanOptions
from cidery.errors import IntegrityError, InvalidInput
from cidery.ipld import dag_pb
from cidery.ipld.block import MAX_BLOCK, Block
from cidery.ipld.walk import Need, Prefetch
from cidery.multiformats.cid import CID
from cidery.multiformats.multicodec import DAG_PB, RAW
from cidery.multiformats.multihash import SHA2_256, decode_multihash
from cidery.unixfs.data import NodeType, UnixFSData
from cidery.unixfs.directory_reader import walk_entries
from cidery.unixfs.node import Kind, UnixFSNode
from cidery.unixfs.profile import UNIXFS_V0_2015, UNIXFS_V1_2025, Profile, ShardEstimate
from cidery.unixfs.reader import MAX_FILE_DEPTH, read_node

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from typing import BinaryIO

    from cidery.ipld.walk import Walk
    from cidery.multiformats.varint import Buffer

T = TypeVar("T")
R = TypeVar("R")

MAX_DIFFERENCES = 1000
"""Differences listed; the rest of a folder is then not looked at."""
MAX_DEPTH = 1024
"""Deepest folder, in directories."""
LEGACY = UNIXFS_V0_2015._replace(raw_leaves=True)
RECIPES: dict[str, Profile] = {
    "unixfs-v1-2025": UNIXFS_V1_2025,
    "unixfs-v1-2025 with 256 KiB chunks": UNIXFS_V1_2025._replace(chunk_size=262_144),
    "Kubo's add --cid-version=1": LEGACY._replace(cid_version=1),
    "Kubo's profile test-cid-v1": LEGACY._replace(cid_version=1, chunk_size=1_048_576),
    "Kubo's profile test-cid-v1-wide": UNIXFS_V1_2025._replace(shard_estimate=ShardEstimate.LINKS, hamt_fanout=1024),
    "unixfs-v0-2015": UNIXFS_V0_2015,
    "Kubo's add --raw-leaves": LEGACY,
}
"""Rules in use, by name: those of the CID's version are tried in this order."""


class Difference(NamedTuple):
    """One place where the disk and the CID differ."""

    path: str
    """Below what was verified; "" for itself."""
    reason: str


class ContentDiffers(IntegrityError):
    """A file or folder that is not the content of the CID."""

    def __init__(self, path: str, cid: CID, differences: tuple[Difference, ...]) -> None:
        super().__init__(path, cid, differences)
        self.path = path
        self.cid = cid
        self.differences = differences
        """The first MAX_DIFFERENCES."""

    def __str__(self) -> str:
        first = self.differences[0]
        where = os.path.join(self.path, first.path) if first.path else self.path
        others = f", and {len(self.differences) - 1} more" if len(self.differences) > 1 else ""
        return f"{where} is not the content of {self.cid}: {first.reason}{others}"


class CannotVerify(InvalidInput):
    """No known rules give the CID, which does not show how it was made: nothing can be said."""

    def __init__(self, path: str, cid: CID) -> None:
        super().__init__(path, cid)
        self.path = path
        self.cid = cid

    def __str__(self) -> str:
        return (
            f"none of the usual rules gives {self.cid} for {self.path}: it differs, or was added with other settings; "
            "give blocks= (node.block.get, or get of an archive that has them) to know, and to see where"
        )


def verify(path: str | os.PathLike[str], cid: str | CID, *, blocks: Callable[[CID], Buffer] | None = None) -> str:
    """Check that a file or folder is the content of a CID; returns how that is known, for people.

    Permissions and times are not compared. Names with a leading dot count as the CID has them.

    Args:
        blocks: gives the block of a CID, as ``node.block.get`` of cidery.open() or ``cidery.car.open(file).get``; each
            is checked. Directories and the nodes above the data of files are asked for, not the data.
    Raises:
        ContentDiffers: it is not; with ``blocks`` each difference is named.
        CannotVerify: without ``blocks``, for content of several blocks that none of RECIPES gives.
        CannotAdd: it cannot be read. HashMismatch, UnixFSError, NotUnixFS and as ``blocks``.
    Cost: one pass over the bytes; without ``blocks`` up to one for each recipe.
    """
    wanted = CID.parse(cid) if isinstance(cid, str) else cid
    text = os.fspath(path)
    if blocks is not None or wanted.codec == RAW or wanted.is_identity:
        comparison = _Comparison(blocks)
        comparison.compare(text, "", wanted, 0)
        if comparison.found:
            raise ContentDiffers(text, wanted, tuple(comparison.found))
        return "compared with its blocks" if wanted.codec != RAW else "one raw block"
    return _tried(text, wanted)


def _tried(path: str, cid: CID) -> str:
    if cid.codec != DAG_PB:
        raise CannotVerify(path, cid)
    code = decode_multihash(cid.multihash)[0].code
    listings = [False]
    if os.path.isdir(path) and any(name.startswith(".") for _, names, files in os.walk(path) for name in names + files):
        listings = [False, True]
    for name, rules in RECIPES.items():
        if rules.cid_version != cid.version or (cid.version == 0 and code != SHA2_256):
            continue
        for hidden in listings:
            if cid_by(path, rules._replace(hash_code=code), ScanOptions(hidden=hidden)) == cid:
                return f"made by {name}"
    raise CannotVerify(path, cid)


class _Comparison:
    """One verify() along the DAG."""

    def __init__(self, blocks: Callable[[CID], Buffer] | None) -> None:
        self._blocks = blocks
        self.found: list[Difference] = []

    def compare(self, path: str, below: str, cid: CID, depth: int) -> None:
        """Compare what is at ``path`` on disk; ``below``: its name for messages."""
        if len(self.found) >= MAX_DIFFERENCES:
            return
        if cid.codec == RAW:
            self._file(path, below, UnixFSNode(cid, Kind.FILE, -1))
            return
        node = self._node(cid)
        if node.kind is Kind.DIRECTORY:
            self._folder(path, below, node, depth)
        elif node.kind is Kind.SYMLINK:
            self._link(path, below, node)
        else:
            self._file(path, below, node)

    def _driven(self, walk: Walk[T, R]) -> Generator[T, None, R]:
        """The results of a walk whose needs are met by the blocks."""
        answer: Buffer | None = None
        while True:
            try:
                step = walk.send(answer)
            except StopIteration as stop:
                returned: R = stop.value
                return returned
            answer = None
            if isinstance(step, Need):
                answer = self._block(step.cid)
            elif not isinstance(step, Prefetch):
                yield step

    def _node(self, cid: CID) -> UnixFSNode:
        walk: Walk[UnixFSNode, UnixFSNode] = read_node(cid)
        steps = self._driven(walk)
        while True:
            try:
                next(steps)
            except StopIteration as stop:
                node: UnixFSNode = stop.value
                return node

    def _block(self, cid: CID) -> Buffer:
        assert self._blocks is not None  # a raw CID and an identity need none
        return Block.verified(cid, self._blocks(cid)).data

    def _differs(self, below: str, reason: str) -> None:
        self.found.append(Difference(below, reason))

    def _folder(self, path: str, below: str, node: UnixFSNode, depth: int) -> None:
        if depth > MAX_DEPTH:
            self._differs(below, f"more than {MAX_DEPTH} directories deep")
            return
        if os.path.islink(path) or not os.path.isdir(path):
            self._differs(below, "it should be a directory" if os.path.lexists(path) else "it is missing")
            return
        try:
            here = set(os.listdir(path))
        except OSError as exc:
            raise CannotAdd(path, (exc.strerror or str(exc)).lower()) from exc
        shows_hidden = False
        for link in self._driven(walk_entries(node)):
            name = link.name or ""
            inner = f"{below}/{name}" if below else name
            shows_hidden = shows_hidden or name.startswith(".")
            if name in ("", ".", "..") or "/" in name or "\0" in name:
                self._differs(inner, "the directory has a name that no file can have")
                continue
            here.discard(name)
            self.compare(os.path.join(path, name), inner, link.cid, depth + 1)
        for name in sorted(here):
            if shows_hidden or not name.startswith("."):
                self._differs(f"{below}/{name}" if below else name, "the directory does not have it")

    def _link(self, path: str, below: str, node: UnixFSNode) -> None:
        try:
            target = os.readlink(path)
        except OSError:
            self._differs(below, "it should be a symlink" if os.path.lexists(path) else "it is missing")
            return
        if target != node.target:
            self._differs(below, f"the symlink should lead to {node.target!r}")

    def _file(self, path: str, below: str, node: UnixFSNode) -> None:
        if os.path.islink(path) or not os.path.isfile(path):
            self._differs(below, "it should be a file" if os.path.lexists(path) else "it is missing")
            return
        try:
            with open(path, "rb", buffering=0) as file:
                size = os.fstat(file.fileno()).st_size
                if node.size < 0 and size > MAX_BLOCK:
                    reason = f"it has {size} bytes, which are not one block"
                elif node.size in (-1, size):
                    reason = self._content(file, node, size, 0)
                else:
                    reason = f"it should have {node.size} bytes, and has {size}"
        except OSError as exc:
            raise CannotAdd(path, (exc.strerror or str(exc)).lower()) from exc
        if reason:
            self._differs(below, reason)

    def _content(self, file: BinaryIO, root: UnixFSNode, size: int, depth: int) -> str:
        """Compare the bytes of a file in order; the first difference, or ""."""
        stack: list[tuple[CID, int, int]] = []
        node, left = root, size
        while True:
            at = file.tell()
            if not node.links and node.cid.codec == RAW:
                if not _same(node.cid, read_up_to(file, left)):
                    return f"other bytes at {at} to {at + left}"
            else:
                if read_up_to(file, len(node.inline)) != bytes(node.inline):
                    return f"other bytes at {at} to {at + len(node.inline)}"
                parts = zip(node.links, node.blocksizes, strict=True)
                stack += reversed([(link.cid, part, depth + 1) for link, part in parts])
            while stack:
                cid, left, depth = stack.pop()
                at = file.tell()
                if cid.codec == RAW:
                    if not _same(cid, read_up_to(file, left)):
                        return f"other bytes at {at} to {at + left}"
                elif not _is_leaf(cid, file, at, left):
                    break
            else:
                return "" if not file.read(1) else "there are more bytes"
            if depth > MAX_FILE_DEPTH:
                return f"its DAG is deeper than {MAX_FILE_DEPTH} links"
            node = self._node(cid)
            if node.size != left:
                return f"its DAG has {node.size} bytes where {left} are stated"


def _same(cid: CID, data: bytes) -> bool:
    if cid.is_identity:
        return bytes(cid.identity_data) == data
    return CID.of(data, cid.codec, version=cid.version, hash_code=decode_multihash(cid.multihash)[0].code) == cid


def _is_leaf(cid: CID, file: BinaryIO, at: int, size: int) -> bool:
    """Whether the next bytes are all of a leaf that is no raw block: then its block need not be asked for."""
    if size > MAX_BLOCK or cid.is_identity:
        return False
    data = read_up_to(file, size)
    for kind in (NodeType.FILE, NodeType.RAW):
        message = UnixFSData(kind, data if data else None, len(data)).encode()
        if _same(cid, dag_pb.encode((), message)):
            return True
    file.seek(at)
    return False
