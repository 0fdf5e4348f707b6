"""The DAGs of the fixtures, read from the archives that are shipped here: what the expected answers are made of.

It finds names by looking through directories, not by their hashes: it shares no path resolution with what it checks.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from importlib.resources import files

from cidery.ipld import dag_pb
from cidery.ipld.block import Block
from cidery.ipld.car_reader import CarReader
from cidery.ipld.codecs import decode_block
from cidery.ipld.path import follow
from cidery.multiformats.cid import CID
from cidery.multiformats.multicodec import DAG_PB, RAW
from cidery.unixfs import data as unixfs

PREFIX_DIGITS = 2
"""Hexadecimal digits in front of the names of a sharded directory of the fixtures (fanout 256)."""


class Dag:
    """The blocks of one archive with one root."""

    def __init__(self, archive: bytes) -> None:
        reader = CarReader()
        self._blocks = {b.cid: bytes(Block.verified(b.cid, b.data).data) for b, _ in reader.receive_data(archive)}
        reader.receive_eof()
        (self.root,) = reader.roots

    def cids(self) -> list[CID]:
        """Of all blocks."""
        return list(self._blocks)

    def cid(self, *names: str) -> CID:
        """What a path leads to. Raises KeyError."""
        cid = self.root
        for at, name in enumerate(names):
            if cid.codec != DAG_PB:
                reached = follow(cid, decode_block(cid, self._blocks[cid]), names[at:]).value
                assert isinstance(reached, CID)  # the fixtures lead to links
                return reached
            cid = self.trail(cid, name)[-1]
        return cid

    def trail(self, directory: CID, name: str) -> list[CID]:
        """The shards on the way to an entry, and the entry. Raises KeyError."""
        for link in self._links(directory):
            if link.name == name or (self._is_shard(directory) and (link.name or "")[PREFIX_DIGITS:] == name):
                return [link.cid]
        for link in self._links(directory):
            if self._is_inner(directory, link):
                try:
                    return [link.cid, *self.trail(link.cid, name)]
                except KeyError:
                    continue
        raise KeyError(name)

    def shards(self, directory: CID) -> list[CID]:
        """All shards below a sharded directory, depth first."""
        found: list[CID] = []
        for link in self._links(directory):
            if self._is_inner(directory, link):
                found += [link.cid, *self.shards(link.cid)]
        return found

    def block(self, *names: str) -> bytes:
        """The bytes of the block at the end of a path."""
        return self._blocks[self.cid(*names)]

    def content(self, *names: str) -> bytes:
        """The content of a file of one block."""
        cid = self.cid(*names)
        if cid.codec == RAW:
            return self._blocks[cid]
        return bytes(unixfs.decode(dag_pb.decode(self._blocks[cid]).data or b"").data or b"")

    def contents(self, *names: str) -> list[bytes]:
        """The content of a file whose leaves are raw blocks, in pieces."""
        return [self._blocks[cid] for cid in self.below(*names) if cid.codec == RAW]

    def below(self, *names: str) -> list[CID]:
        """All blocks under a path, depth first, each as often as it is linked."""
        return list(self._below(self.cid(*names)))

    def _below(self, cid: CID) -> Iterator[CID]:
        for link in self._links(cid):
            yield link.cid
            yield from self._below(link.cid)

    def _links(self, cid: CID) -> tuple[dag_pb.Link, ...]:
        return dag_pb.decode(self._blocks[cid]).links if cid.codec == DAG_PB else ()

    def _is_shard(self, cid: CID) -> bool:
        node = dag_pb.decode(self._blocks[cid])
        return unixfs.decode(node.data or b"").type is unixfs.NodeType.HAMT_SHARD

    def _is_inner(self, directory: CID, link: dag_pb.Link) -> bool:
        return self._is_shard(directory) and len(link.name or "") == PREFIX_DIGITS


@cache
def dag(path: str) -> Dag:
    """The DAG of an archive, by its path below ``fixtures``."""
    return Dag(fixture(path))


def fixture(path: str) -> bytes:
    """A file of the fixtures."""
    return files("cidery.gateway.check").joinpath("fixtures", *path.split("/")).read_bytes()
