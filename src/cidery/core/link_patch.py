"""Nodes with one link more or less, as ``object patch`` makes them: the node, and those above it on the path."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from cidery.blockstore.interface import BlockStore, Durability
from cidery.core.session import BlockSession
from cidery.errors import InvalidInput, NotFound
from cidery.ipld import dag_pb
from cidery.ipld.block import MAX_BLOCK, Block
from cidery.ipld.dag_pb import Link, Node
from cidery.mfs.changes import cumulative_size
from cidery.multiformats.cid import CID
from cidery.multiformats.multicodec import DAG_PB
from cidery.multiformats.multihash import decode_multihash, multihash
from cidery.unixfs.data import UnixFSError
from cidery.unixfs.node import Kind, decode_node

MAX_DEPTH = 128
"""Most names in a path."""
EMPTY_DIRECTORY = b"\x0a\x02\x08\x01"
"""A node without links whose UnixFS says "directory"."""


class NotPatchable(InvalidInput):
    """A node whose links are not changed one by one."""

    def __init__(self, cid: CID, reason: str) -> None:
        super().__init__(cid, reason)
        self.cid = cid
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.cid} {self.reason}"


class NoSuchLink(NotFound):
    """A name that a node does not have."""

    def __init__(self, cid: CID, name: str) -> None:
        super().__init__(cid, name)
        self.cid = cid
        self.name = name

    def __str__(self) -> str:
        return f"{self.cid} has no link {self.name[:80]!r}"


class _Made(NamedTuple):
    cid: CID
    size: int
    """Of the DAG, as its links state it, in bytes."""


class LinkPatch:
    """One change. ``any_node``: also nodes that are no UnixFS directories; ``create``: missing directories on the way.

    Blocks are stored as kept, durably, when the new root is returned; a change that fails stores nothing.
    """

    def __init__(
        self, session: BlockSession, store: BlockStore, *, any_node: bool = False, create: bool = False
    ) -> None:
        self._session = session
        self._store = store
        self._any_node = any_node
        self._create = create
        self._blocks: list[Block] = []

    async def add(self, root: CID, path: str, target: CID) -> CID:
        """The root with a link to ``target`` at ``path``, in place of the one that was there.

        Raises NotPatchable, NoSuchLink, and as the session and the store.
        """
        size = cumulative_size(target, await self._session.get(target))
        return await self._stored(await self._changed(root, self._names(root, path), Link(target, None, size)))

    async def remove(self, root: CID, path: str) -> CID:
        """The root without the link at ``path``. Raises as add()."""
        return await self._stored(await self._changed(root, self._names(root, path), None))

    @staticmethod
    def _names(root: CID, path: str) -> list[str]:
        names = [name for name in path.split("/") if name]
        if not names or len(names) > MAX_DEPTH:
            raise NotPatchable(root, f"has no link {path[:80]!r}: give a name, or names with slashes between them")
        return names

    async def _stored(self, made: _Made) -> CID:
        await self._store.put_many(self._blocks, kept=True, durability=Durability.DURABLE)
        return made.cid

    async def _changed(self, cid: CID, names: Sequence[str], target: Link | None) -> _Made:
        node = await self._node(cid)
        name, *below = names
        old = next((link for link in node.links if link.name == name), None)
        if below:
            if old is None and not (self._create and target is not None):
                raise NoSuchLink(cid, name)
            found = self._empty_like(cid) if old is None else old.cid
            made = await self._changed(found, below, target)
            target = Link(made.cid, name, made.size)
        elif target is not None:
            target = target._replace(name=name)
        elif old is None:
            raise NoSuchLink(cid, name)
        links = [link for link in node.links if link.name != name]
        if target is not None:
            links.append(target)
        # https://ipld.io/specs/codecs/dag-pb/spec/#link-sorting: by the bytes of the names, equal ones as they were
        links.sort(key=lambda link: dag_pb.encode_name(link.name or ""))
        return self._make(cid, dag_pb.encode(links, node.data), links)

    def _make(self, like: CID, data: bytes, links: Sequence[Link]) -> _Made:
        if len(data) > MAX_BLOCK:
            raise NotPatchable(like, f"would become larger than {MAX_BLOCK} bytes; use: cidery files")
        cid = CID(like.version, DAG_PB, multihash(decode_multihash(like.multihash)[0].code, data))
        self._blocks.append(Block(cid, data))
        return _Made(cid, len(data) + sum(link.tsize or 0 for link in links))

    def _empty_like(self, cid: CID) -> CID:
        return self._make(cid, EMPTY_DIRECTORY, ()).cid

    async def _node(self, cid: CID) -> Node:
        if cid.codec != DAG_PB:
            raise NotPatchable(cid, "is no dag-pb node, so it has no named links")
        block = next((one.data for one in self._blocks if one.cid == cid), None) or await self._session.get(cid)
        if not self._any_node:
            try:
                found = decode_node(cid, block)
            except UnixFSError as exc:
                raise NotPatchable(cid, f"is no UnixFS directory ({exc}); see --allow-non-unixfs") from exc
            if found.kind is not Kind.DIRECTORY:
                raise NotPatchable(cid, f"is a {found.kind.value}, not a directory; see --allow-non-unixfs")
            if found.fanout:
                raise NotPatchable(cid, "is a node of a large directory (HAMT); use: cidery files")
        return dag_pb.decode(block)
