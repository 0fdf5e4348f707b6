"""One node of a HAMT directory: the hash of a name, its buckets, the bitfield and the names of links.

A directory too large for one node becomes a trie over the hashes of its names: each level takes log2(fanout) bits, a
bucket holds an entry or, where several entries meet, a node of the next level. Tries are canonical: a node below the
root exists only where two entries or more meet, so equal entries give equal CIDs, whatever the order of edits.

Spec: https://specs.ipfs.tech/unixfs/#dag-pb-hamtdirectory; where its text and all implementations disagree (order of
the bits, bytes of the bitfield) this is what implementations do.
"""

from collections.abc import Iterable, Sequence
from functools import cache
from typing import NamedTuple

import mmh3

from cidery.errors import LimitExceeded
from cidery.ipld import dag_pb
from cidery.ipld.dag_pb import Link
from cidery.multiformats.protobuf import bytes_field
from cidery.unixfs.data import NodeType, UnixFSData, UnixFSError
from cidery.unixfs.metadata import Mtime

MURMUR3 = 0x22
"""Multicodec of the hash of names: the first 64 bits of MurmurHash3 x64-128 with seed 0."""
HASH_BITS = 64
MIN_FANOUT = 8
MAX_FANOUT = 1024
"""Most buckets of a node: the specification says to refuse more."""


class TooManyCollisions(LimitExceeded):
    """Names that agree in so many bits of their hashes that a trie cannot distinguish them."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name

    def __str__(self) -> str:
        return f"the hash of {self.name[:80]!r} is that of another name of the directory; rename one of them"


class Slot(NamedTuple):
    """One used bucket of a shard."""

    bucket: int
    link: Link
    """Its name without the prefix: "" for a shard of the next level, else an entry."""


def hash_name(name: str) -> int:
    """64 bits; the first level takes the highest ones."""
    return mmh3.mmh3_x64_128_utupledigest(dag_pb.encode_name(name))[0]


def is_fanout(fanout: int) -> bool:
    """Whether nodes may have so many buckets."""
    return MIN_FANOUT <= fanout <= MAX_FANOUT and fanout & (fanout - 1) == 0


def level_bits(fanout: int) -> int:
    """Bits of the hash per level."""
    return fanout.bit_length() - 1


def max_levels(fanout: int) -> int:
    """Most levels of a trie, the root included."""
    return HASH_BITS // level_bits(fanout)


def bucket_at(hashed: int, level: int, bits: int) -> int:
    """The bucket of a hash at a level (0: the root)."""
    return hashed >> (HASH_BITS - bits * (level + 1)) & ((1 << bits) - 1)


def prefix_width(fanout: int) -> int:
    """Hexadecimal digits before the names of links."""
    return len(f"{fanout - 1:X}")


def encode_shard(
    fanout: int, slots: Sequence[Slot], mode: int | None = None, mtime: Mtime | None = None
) -> tuple[bytes, int]:
    """(node, cumulative size in bytes) for slots in the order of their buckets. ``mode``, ``mtime``: roots only."""
    width = prefix_width(fanout)
    encoded = [(bucket, encode_slot(width, bucket, link), link.tsize or 0) for bucket, link in slots]
    return join_slots(fanout, encoded, mode, mtime)


def encode_slot(width: int, bucket: int, link: Link) -> bytes:
    """The Links field of one slot; ``width``: prefix_width() of the fanout."""
    return dag_pb.encode_link(Link(link.cid, f"{bucket:0{width}X}{link.name}", link.tsize))


def join_slots(
    fanout: int, slots: Iterable[tuple[int, bytes, int]], mode: int | None = None, mtime: Mtime | None = None
) -> tuple[bytes, int]:
    """encode_shard() of slots that were encoded already: (bucket, encode_slot(), cumulative size)."""
    bitfield = 0
    size = 0
    parts: list[bytes] = []
    for bucket, encoded, tsize in slots:
        bitfield |= 1 << bucket
        size += tsize
        parts.append(encoded)
    message = UnixFSData(
        NodeType.HAMT_SHARD,
        bitfield.to_bytes((bitfield.bit_length() + 7) // 8, "big"),
        hash_type=MURMUR3,
        fanout=fanout,
        mode=mode,
        mtime=mtime,
    )
    parts.append(bytes_field(1, message.encode()))
    node = b"".join(parts)
    return node, size + len(node)


def check_shard(links: Sequence[Link], message: UnixFSData) -> int:
    """The fanout of an untrusted shard. O(links).

    Raises UnixFSError: another hash, a fanout that is no power of two up to MAX_FANOUT, a bitfield that does not say
    exactly which buckets the links are in, links out of order or two in a bucket.
    """
    fanout = message.fanout or 0
    if message.hash_type != MURMUR3:
        raise UnixFSError(f"a shard with hash type {message.hash_type}, only murmur3 ({MURMUR3}) is known")
    if not is_fanout(fanout):
        raise UnixFSError(f"a shard with fanout {fanout}; powers of two from {MIN_FANOUT} to {MAX_FANOUT} are allowed")
    bitfield = bytes(message.data or b"")
    if len(bitfield) > fanout // 8:
        raise UnixFSError(f"a bitfield of {len(bitfield)} bytes for fanout {fanout}")
    width, buckets = prefix_width(fanout), _buckets(fanout)
    found = 0
    last = -1
    for _, name, _ in links:
        bucket = buckets.get(name[:width]) if name is not None else None
        if bucket is None:
            raise _without_bucket(name)
        if bucket <= last:
            raise UnixFSError("links of a shard out of order, or two in one bucket")
        last = bucket
        found |= 1 << bucket
    if found != int.from_bytes(bitfield, "big"):
        raise UnixFSError("the bitfield of a shard does not match its links")
    return fanout


@cache
def _buckets(fanout: int) -> dict[str, int]:
    """Prefix -> bucket. There are eight fanouts."""
    width = prefix_width(fanout)
    return {f"{bucket:0{width}X}": bucket for bucket in range(fanout)}


def _without_bucket(name: str | None) -> UnixFSError:
    return UnixFSError(f"a link of a shard named {(name or '')[:20]!r}, without its bucket")


def shard_slots(fanout: int, links: Sequence[Link]) -> list[Slot]:
    """The slots behind the links of a shard. Raises UnixFSError for names without a prefix."""
    width, buckets = prefix_width(fanout), _buckets(fanout)
    out: list[Slot] = []
    for cid, name, tsize in links:
        bucket = buckets.get(name[:width]) if name is not None else None
        if name is None or bucket is None:
            raise _without_bucket(name)
        out.append(Slot(bucket, Link(cid, name[width:], tsize)))
    return out


def placed_slots(fanout: int, links: Sequence[Link], level: int, path: int) -> list[Slot]:
    """As shard_slots(), for a shard at ``level`` whose ``path`` is the bits of the buckets above it.

    Raises UnixFSError for an entry that a lookup would not find here, an empty shard below the root and shards below
    the deepest level: a trie is thereby finite and names each entry once, whatever a peer makes up.
    """
    slots = shard_slots(fanout, links)
    bits = level_bits(fanout)
    if level and not slots:
        raise UnixFSError("an empty shard below the root")
    shift = HASH_BITS - bits * (level + 1)
    deepest = level + 1 >= max_levels(fanout)
    for bucket, link in slots:
        if link.name:
            if hash_name(link.name) >> shift != path << bits | bucket:
                raise UnixFSError(f"entry {link.name[:80]!r} is in the wrong bucket of its shard")
        elif deepest:
            raise UnixFSError(f"a directory of more than {max_levels(fanout)} levels of shards")
    return slots
