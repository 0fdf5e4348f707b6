"""A part of a directory, from any entry on: in the order of the hashes of its names, as shards have them.

A directory that is one node is put in this order too, so that a reader of pages is at the same place after it grew into
shards, or shrank out of them.

Spec: https://specs.ipfs.tech/unixfs/#dag-pb-hamtdirectory
"""

from cidery.ipld.dag_pb import Link, encode_name
from cidery.ipld.walk import Prefetch, Walk
from cidery.unixfs.directory_reader import NotADirectory, first_links, read_shard
from cidery.unixfs.node import Kind, UnixFSNode
from cidery.unixfs.shard import HASH_BITS, Slot, hash_name, level_bits, placed_slots

SHARDS_AHEAD = 8
"""Shards named ahead: a page may need no more."""


def walk_page(root: UnixFSNode, after: str, limit: int) -> Walk[Link, None]:
    """At most ``limit`` entries behind ``after``, which need not be there; "" begins at the first.

    Reads the shards on the way to ``after`` and those of the entries: as much wherever it is. A directory of one node
    costs a hash per entry. Raises NotADirectory, UnixFSError, DagPbError.
    """
    if root.kind is not Kind.DIRECTORY:
        raise NotADirectory(root.cid, root.kind, "")
    start = _place(after) if after else (-1, b"")
    if root.fanout:
        yield from _walk_shards(root, start, limit)
        return
    placed = {_place(link.name or ""): link for link in first_links(root.links)}
    yield from [placed[place] for place in sorted(placed) if place > start][:limit]


def _place(name: str) -> tuple[int, bytes]:
    return hash_name(name), encode_name(name)


def _walk_shards(root: UnixFSNode, start: tuple[int, bytes], limit: int) -> Walk[Link, None]:
    bits = level_bits(root.fanout)
    slots = placed_slots(root.fanout, root.links, 0, 0)
    pending: list[tuple[Link, int, int]] = []  # link, level below it, bits of the buckets down to it
    level = path = 0
    while True:
        left = _from_start(slots, path << bits, HASH_BITS - bits * (level + 1), start[0])
        yield Prefetch(tuple(slot.link.cid for slot in left if not slot.link.name)[:SHARDS_AHEAD])
        pending += [(slot.link, level + 1, path << bits | slot.bucket) for slot in reversed(left)]
        while pending and pending[-1][0].name:
            link = pending.pop()[0]
            if _place(link.name or "") > start:
                yield link
                limit -= 1
                if not limit:
                    return
        if not pending:
            return
        link, level, path = pending.pop()
        _, slots = yield from read_shard(link.cid, root.fanout, level, path)


def _from_start(slots: list[Slot], above: int, shift: int, start: int) -> list[Slot]:
    """The slots with hashes from ``start`` on; ``above``: the bits before those of the bucket."""
    return slots if start < 0 else [slot for slot in slots if above | slot.bucket >= start >> shift]
