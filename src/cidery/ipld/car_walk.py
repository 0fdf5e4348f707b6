"""The blocks of an archive in canonical order: depth first, links in their order, each CID once.

Spec: https://ipld.io/specs/transport/car/carv1/#determinism
"""

from collections.abc import Generator, Sequence

from cidery.ipld.block import MAX_BLOCK, Block
from cidery.ipld.links import UnsupportedCodec
from cidery.ipld.walk import MAX_PENDING, Ahead, Need, Prefetch, Walk, WalkLimit, read_links
from cidery.multiformats.cid import CID
from cidery.multiformats.varint import Buffer


def walk_blocks(roots: Sequence[CID]) -> Walk[Block, None]:
    """Every block below ``roots``, first seen first. A need answered with None is left out.

    Memory: O(distinct CIDs). Blocks of codecs whose links are not known are leaves.
    Raises WalkLimit, CodecError, DagPbError.
    """
    seen: set[bytes] = set()
    ahead = Ahead()
    for root in roots:
        stack = [root]
        while stack:
            if named := ahead.due(len(stack)):
                yield Prefetch(tuple(reversed(stack[-named:])))
            cid = stack.pop()
            if (key := cid.encode()) in seen:
                continue
            seen.add(key)
            # As in Kubo: identity blocks are written like all others.
            block: Buffer | None = cid.identity_data if cid.is_identity else (yield Need(cid))
            if block is None:
                continue
            if len(block) > MAX_BLOCK:
                raise WalkLimit(root, f"a block of {len(block)} bytes, at most {MAX_BLOCK} are allowed")
            yield Block(cid, block)
            links = yield from _targets(cid, block)
            if len(stack) + len(links) > MAX_PENDING:
                raise WalkLimit(root, f"more than {MAX_PENDING} links pending")
            if links:
                stack += reversed(links)
                ahead.grown(len(links))


def _targets(cid: CID, block: Buffer) -> Generator[Prefetch, Buffer | None, list[CID]]:
    try:
        return [target for target, _ in (yield from read_links(cid, block))]
    except UnsupportedCodec:
        return []
