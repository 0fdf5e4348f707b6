"""The links of a DAG, and the blocks that are stored here."""

from collections.abc import AsyncIterator, Callable

from cidery.blockstore.drive import drive
from cidery.blockstore.interface import BlockStore
from cidery.core.reading.content_path import ContentPath
from cidery.core.reading.resolve import resolve
from cidery.core.session import BlockSession
from cidery.ipld.walk import Edge, walk_edges
from cidery.multiformats.cid import CID
from cidery.multiformats.multicodec import RAW

EDGE_FORMAT = "<src> -> <dst>"
"""What ``refs --edges`` prints."""


async def refs(
    path: str | CID | ContentPath,
    session: BlockSession,
    *,
    recursive: bool = False,
    unique: bool = False,
    max_depth: int = -1,
) -> AsyncIterator[Edge]:
    """Links below a node, depth first. Leaves are named, and read only when recursive (raw ones never).

    ``max_depth``: links to follow when recursive; -1 for all, 0 for none.
    Raises PathError, NotFound, UnsupportedCodec, WalkLimit. Cancellation: safe.
    """
    root = await resolve(path, session)
    depth = max_depth if recursive else 1
    async for step in drive(walk_edges(root, unique=unique, max_depth=depth, read_raw=False), session):
        if isinstance(step, Edge):
            yield step


def format_edge(edge: Edge, form: str = "<dst>", show: Callable[[CID], str] = str) -> str:
    """One line of ``refs``; ``form`` may name <src>, <dst> and <linkname>."""
    out = form.replace("<src>", show(edge.source)).replace("<dst>", show(edge.target))
    return out.replace("<linkname>", edge.name)


async def refs_local(store: BlockStore, after: bytes = b"") -> AsyncIterator[CID]:
    """Every stored block as a raw CIDv1: the store keeps multihashes, not codecs. ``after``: as keys()."""
    async for page in store.keys(after):
        for multihash in page:
            yield CID(1, RAW, multihash)
