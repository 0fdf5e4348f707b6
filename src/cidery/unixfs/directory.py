"""Writes directories: one node with a link per entry, sorted by the bytes of names, or a HAMT when that is too large.

Spec: https://specs.ipfs.tech/unixfs/#dag-pb-directory and #dag-pb-hamtdirectory
"""

from collections.abc import Callable, Iterable
from operator import itemgetter
from typing import NamedTuple

from cidery.errors import InvalidInput
from cidery.ipld import dag_pb
from cidery.ipld.block import Block
from cidery.ipld.dag_pb import Link
from cidery.multiformats.cid import CID
from cidery.multiformats.protobuf import bytes_field
from cidery.unixfs.data import NodeType, UnixFSData
from cidery.unixfs.layout import Child, dag_pb_block
from cidery.unixfs.metadata import Mtime
from cidery.unixfs.node import MAX_NAME
from cidery.unixfs.profile import Profile, ShardEstimate
from cidery.unixfs.shard import (
    HASH_BITS,
    Slot,
    TooManyCollisions,
    bucket_at,
    encode_shard,
    hash_name,
    level_bits,
    max_levels,
)

Put = Callable[[Block], object]
"""Takes a finished block, children before parents."""


class BadName(InvalidInput):
    """An invalid name for a directory entry."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(name, reason)
        self.name = name
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.name[:80]!r} cannot be the name of an entry: {self.reason}"


class DirectoryEntry(NamedTuple):
    """An entry of a directory being written."""

    name: str
    """With "surrogateescape" for bytes that are not UTF-8."""
    cid: CID
    tsize: int
    """Cumulative size in bytes."""


def check_name(name: str) -> None:
    """Raises BadName for names that readers would refuse or that would lead to another directory."""
    if name in ("", ".", ".."):
        raise BadName(name, "it is reserved")
    if "/" in name or "\0" in name:
        raise BadName(name, "it contains a slash or a NUL")
    size = len(dag_pb.encode_name(name))
    if size > MAX_NAME:
        raise BadName(name, f"{size} bytes, at most {MAX_NAME} are allowed")


def directory(
    profile: Profile, entries: Iterable[DirectoryEntry], put: Put, mode: int | None = None, mtime: Mtime | None = None
) -> Child:
    """Write a directory of either shape; its blocks go to ``put``, the root last. CPU-bound, O(n log n).

    Raises BadName (also for duplicates), TooManyCollisions and as ``put``.
    """
    ordered = sorted(((dag_pb.encode_name(entry.name), entry) for entry in entries), key=itemgetter(0))
    for at, (name, entry) in enumerate(ordered):
        check_name(entry.name)
        if at and ordered[at - 1][0] == name:
            raise BadName(entry.name, "two entries have it")
    estimate = 0
    if profile.shard_estimate is not ShardEstimate.DISABLED:
        estimate = sum(len(name) + len(entry.cid.encode()) for name, entry in ordered)
    if profile.shards(estimate, len(ordered)):  # by either estimate: the node would be larger
        return _trie(profile, [entry for _, entry in ordered], put, mode, mtime)
    links = [dag_pb.encode_link(Link(entry.cid, entry.name, entry.tsize)) for _, entry in ordered]
    if profile.shard_estimate is ShardEstimate.BLOCK:
        estimate = base_estimate(profile, mode, mtime) + sum(map(len, links))
        if profile.shards(estimate, len(ordered)):
            return _trie(profile, [entry for _, entry in ordered], put, mode, mtime)
    return basic_directory(profile, links, sum(entry.tsize for _, entry in ordered), put, mode, mtime)


def basic_directory(
    profile: Profile, links: Iterable[bytes], tsize: int, put: Put, mode: int | None, mtime: Mtime | None
) -> Child:
    """A directory of one node from encoded links in order; ``tsize``: of all entries together."""
    encoded = b"".join((*links, _data_field(mode, mtime)))
    block = dag_pb_block(profile, encoded)
    put(block)
    return Child(block.cid, 0, len(encoded) + tsize)


def entry_estimate(profile: Profile, entry: DirectoryEntry) -> int:
    """The contribution of an entry to the estimate that is compared to the sharding threshold, in bytes."""
    if profile.shard_estimate is ShardEstimate.DISABLED:
        return 0
    if profile.shard_estimate is ShardEstimate.BLOCK:
        return len(dag_pb.encode_link(Link(entry.cid, entry.name, entry.tsize)))
    return len(dag_pb.encode_name(entry.name)) + len(entry.cid.encode())


def base_estimate(profile: Profile, mode: int | None, mtime: Mtime | None) -> int:
    """The estimate of a directory without entries."""
    return len(_data_field(mode, mtime)) if profile.shard_estimate is ShardEstimate.BLOCK else 0


def _data_field(mode: int | None, mtime: Mtime | None) -> bytes:
    return bytes_field(1, UnixFSData(NodeType.DIRECTORY, mode=mode, mtime=mtime).encode())


def _trie(profile: Profile, entries: list[DirectoryEntry], put: Put, mode: int | None, mtime: Mtime | None) -> Child:
    """A HAMT over entries with distinct names."""
    bits = level_bits(profile.hamt_fanout)
    hashed = sorted(((hash_name(entry.name), entry) for entry in entries), key=itemgetter(0))

    def shard(start: int, end: int, level: int) -> Child:
        """The node over ``hashed[start:end]``, which agree in the levels above: at most max_levels() deep."""
        if level >= max_levels(profile.hamt_fanout):
            raise TooManyCollisions(hashed[start][1].name)
        slots: list[Slot] = []
        while start < end:
            bucket = bucket_at(hashed[start][0], level, bits)
            shift = HASH_BITS - bits * (level + 1)
            key, stop = hashed[start][0] >> shift, start + 1
            while stop < end and hashed[stop][0] >> shift == key:
                stop += 1
            if stop - start == 1:
                name, cid, tsize = hashed[start][1]
                slots.append(Slot(bucket, Link(cid, name, tsize)))
            else:
                child = shard(start, stop, level + 1)
                slots.append(Slot(bucket, Link(child.cid, "", child.tsize)))
            start = stop
        return write_shard(profile, profile.hamt_fanout, slots, put, *(() if level else (mode, mtime)))

    return shard(0, len(hashed), 0)


def write_shard(
    profile: Profile,
    fanout: int,
    slots: list[Slot],
    put: Put,
    mode: int | None = None,
    mtime: Mtime | None = None,
) -> Child:
    """One node of a HAMT."""
    return put_shard(profile, *encode_shard(fanout, slots, mode, mtime), put)


def put_shard(profile: Profile, encoded: bytes, tsize: int, put: Put) -> Child:
    """An encoded node of a HAMT, with its cumulative size."""
    block = dag_pb_block(profile, encoded)
    put(block)
    return Child(block.cid, 0, tsize)
