"""The balanced layout: leaves in, interior nodes and one root out, with every leaf at the same depth.

Nodes are closed as late as possible, so that the last one of each level may still become the root. Memory: at most
``max_links`` children per level.

Spec: https://specs.ipfs.tech/ipips/ipip-0499/ (balanced), Kubo importer/balanced
"""

from typing import NamedTuple

from cidery.ipld import dag_pb
from cidery.ipld.block import Block
from cidery.multiformats.cid import CID
from cidery.multiformats.multicodec import DAG_PB
from cidery.multiformats.multihash import IDENTITY
from cidery.unixfs.data import NodeType, UnixFSData
from cidery.unixfs.metadata import Mtime
from cidery.unixfs.profile import Profile


class Child(NamedTuple):
    """A finished part of a file."""

    cid: CID
    filesize: int
    """Bytes of the file it holds."""
    tsize: int
    """Bytes of all blocks below it, including its own; shared ones count each time."""


def dag_pb_block(profile: Profile, encoded: bytes) -> Block:
    """A dag-pb block under the CID version and hash of the profile, or inside its CID."""
    code = profile.hash_of(len(encoded))
    version = 1 if code == IDENTITY else profile.cid_version
    return Block(CID.of(encoded, DAG_PB, version=version, hash_code=code), encoded)


def file_node(
    profile: Profile, children: list[Child], mode: int | None = None, mtime: Mtime | None = None
) -> tuple[Child, Block]:
    """A node over ``children``, in order."""
    sizes = tuple(child.filesize for child in children)
    message = UnixFSData(NodeType.FILE, filesize=sum(sizes), blocksizes=sizes, mode=mode, mtime=mtime)
    # The name is present and empty: the CIDs of IPIP-499 were made this way.
    encoded = dag_pb.encode([dag_pb.Link(child.cid, "", child.tsize) for child in children], message.encode())
    block = dag_pb_block(profile, encoded)
    return Child(block.cid, sum(sizes), len(encoded) + sum(child.tsize for child in children)), block


class Balanced:
    """Builds one file. Feed add() the leaves in order, store the nodes it returns, then call finish() once."""

    def __init__(self, profile: Profile) -> None:
        self._profile = profile
        self._levels: list[list[Child]] = [[]]

    def add(self, leaf: Child) -> list[Block]:
        """Append one leaf; returns interior nodes that are complete, mostly none."""
        done: list[Block] = []
        self._push(0, leaf, done)
        return done

    def finish(self, mode: int | None = None, mtime: Mtime | None = None) -> tuple[Child, list[Block]]:
        """Close all levels: (root, remaining nodes). At least one leaf was added.

        ``mode`` and ``mtime`` go into the root when it is an interior node; a lone leaf carries its own.
        """
        done: list[Block] = []
        level = 0
        while True:
            row = self._levels[level]
            top = level + 1 == len(self._levels)
            if top and len(row) == 1:
                return row[0], done
            node, block = file_node(self._profile, row, *((mode, mtime) if top else ()))
            done.append(block)
            if top:
                return node, done
            level += 1
            self._push(level, node, done)

    def _push(self, level: int, child: Child, done: list[Block]) -> None:
        while True:
            if level == len(self._levels):
                self._levels.append([])
            row = self._levels[level]
            if len(row) < self._profile.max_links:
                row.append(child)
                return
            node, block = file_node(self._profile, row)
            done.append(block)
            self._levels[level] = [child]
            child, level = node, level + 1
