"""Bytes to leaves, leaves to files, targets to symlinks. Reading, hashing in threads and storing are the caller's.

Spec: https://specs.ipfs.tech/unixfs/
"""

from cidery.errors import InvalidInput
from cidery.ipld import dag_pb
from cidery.ipld.block import Block
from cidery.multiformats.cid import CID
from cidery.multiformats.multicodec import RAW
from cidery.multiformats.varint import Buffer
from cidery.unixfs.data import NodeType, UnixFSData
from cidery.unixfs.layout import Balanced, Child, dag_pb_block
from cidery.unixfs.metadata import MAX_SYMLINK_TARGET, Mtime
from cidery.unixfs.profile import Profile
from cidery.unixfs.trickle import Trickle


def leaf(profile: Profile, chunk: Buffer, mode: int | None = None, mtime: Mtime | None = None) -> tuple[Child, Block]:
    """One chunk as a leaf; hashes it (frees the GIL when large). ``mode``, ``mtime``: for a file of one chunk only."""
    size = len(chunk)
    if profile.raw_leaves:
        assert mode is None and mtime is None  # with_options() turns raw leaves off for them
        block = Block(CID.of(chunk, RAW, hash_code=profile.hash_of(size)), chunk)
        return Child(block.cid, size, size), block
    kind = NodeType.RAW if profile.trickle else NodeType.FILE
    message = UnixFSData(kind, chunk if size else None, size, mode=mode, mtime=mtime)
    block = dag_pb_block(profile, dag_pb.encode((), message.encode()))
    return Child(block.cid, size, len(block.data)), block


def symlink(profile: Profile, target: str, mtime: Mtime | None = None) -> tuple[Child, Block]:
    """A symlink; its mode is not stored, as in Kubo. Raises InvalidInput for a target that is too long."""
    data = dag_pb.encode_name(target)
    if len(data) > MAX_SYMLINK_TARGET:
        raise InvalidInput(f"a symlink target of {len(data)} bytes, at most {MAX_SYMLINK_TARGET} are allowed")
    block = dag_pb_block(profile, dag_pb.encode((), UnixFSData(NodeType.SYMLINK, data, mtime=mtime).encode()))
    return Child(block.cid, 0, len(block.data)), block


class FileBuilder:
    """One file from chunks that come in order and are hashed by the caller or here.

    Files of one chunk with mode or mtime carry them in the leaf, so the first leaf is held back until it is known
    whether another follows. Trickle files always have a root above their leaves.
    """

    def __init__(self, profile: Profile, mode: int | None = None, mtime: Mtime | None = None) -> None:
        self._profile = profile
        self._mode = mode
        self._mtime = mtime
        self._layout = Trickle(profile) if profile.trickle else Balanced(profile)
        self._leaves = 0
        self._first: Buffer | None = None

    def add_chunk(self, chunk: Buffer) -> list[Block]:
        """Hash and append one chunk of 1..chunk_size bytes; returns the blocks to store."""
        if self._leaves == 0 and self._first is None and self._in_leaf:
            self._first = chunk
            return []
        blocks: list[Block] = []
        if self._first is not None:
            held, self._first = self._first, None
            blocks += self._append(*leaf(self._profile, held))
        return blocks + self._append(*leaf(self._profile, chunk))

    def add_leaf(self, child: Child) -> list[Block]:
        """Append a leaf that leaf() made and the caller stored; returns interior nodes to store."""
        self._leaves += 1
        return self._layout.add(child)

    def finish(self) -> tuple[Child, list[Block]]:
        """(root, blocks to store). A file without chunks becomes the empty file."""
        if self._leaves == 0 and not self._profile.trickle:
            root, block = leaf(self._profile, self._first or b"", self._mode, self._mtime)
            return root, [block]
        return self._layout.finish(self._mode, self._mtime)

    @property
    def _in_leaf(self) -> bool:
        """Whether the only leaf of a file carries its metadata."""
        return not self._profile.trickle and (self._mode is not None or self._mtime is not None)

    def _append(self, child: Child, block: Block) -> list[Block]:
        return [block, *self.add_leaf(child)]
