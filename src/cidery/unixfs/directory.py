"""Basic directories: one node with a link per entry, sorted by the bytes of the names.

Spec: https://specs.ipfs.tech/unixfs/#dag-pb-directory
"""

from collections.abc import Iterable
from typing import NamedTuple

from cidery.errors import InvalidInput, LimitExceeded
from cidery.ipld import dag_pb
from cidery.ipld.block import Block
from cidery.multiformats.cid import CID
from cidery.unixfs.data import Mtime, NodeType, UnixFSData
from cidery.unixfs.layout import Child, dag_pb_block
from cidery.unixfs.node import MAX_NAME
from cidery.unixfs.profile import Profile, ShardEstimate


class DirectoryTooLarge(LimitExceeded):
    """A directory that has to be sharded, which is not supported yet."""

    def __init__(self, entries: int, estimate: int, threshold: int) -> None:
        super().__init__(entries, estimate, threshold)
        self.entries = entries
        self.estimate = estimate
        self.threshold = threshold

    def __str__(self) -> str:
        return (
            f"a directory with {self.entries} entries ({self.estimate} bytes, above {self.threshold}) needs sharding,"
            " which this version cannot do yet; spread its entries over subdirectories"
        )


class BadName(InvalidInput):
    """A name that no directory entry can have."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(name, reason)
        self.name = name
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.name[:80]!r} cannot be the name of an entry: {self.reason}"


class Entry(NamedTuple):
    """An entry of a directory being written."""

    name: str
    """With "surrogateescape" for bytes that are not UTF-8."""
    cid: CID
    tsize: int
    """Cumulative size in bytes."""


def check_name(name: str) -> None:
    """Raises BadName for what readers would refuse or what would name another directory."""
    if name in ("", ".", ".."):
        raise BadName(name, "it is reserved")
    if "/" in name or "\0" in name:
        raise BadName(name, "it contains a slash or a NUL")
    size = len(dag_pb.encode_name(name))
    if size > MAX_NAME:
        raise BadName(name, f"{size} bytes, at most {MAX_NAME} are allowed")


def directory(
    profile: Profile, entries: Iterable[Entry], mode: int | None = None, mtime: Mtime | None = None
) -> tuple[Child, Block]:
    """The node of a directory. Raises BadName (also for duplicates), DirectoryTooLarge."""
    ordered = sorted(entries, key=lambda entry: dag_pb.encode_name(entry.name))
    for at, entry in enumerate(ordered):
        check_name(entry.name)
        if at and ordered[at - 1].name == entry.name:
            raise BadName(entry.name, "two entries have it")
    message = UnixFSData(NodeType.DIRECTORY, mode=mode, mtime=mtime).encode()
    encoded = dag_pb.encode([dag_pb.Link(entry.cid, entry.name, entry.tsize) for entry in ordered], message)
    estimate = len(encoded)
    if profile.shard_estimate is ShardEstimate.LINKS:
        estimate = sum(len(dag_pb.encode_name(entry.name)) + len(entry.cid.encode()) for entry in ordered)
    if estimate > profile.shard_threshold:
        raise DirectoryTooLarge(len(ordered), estimate, profile.shard_threshold)
    block = dag_pb_block(profile, encoded)
    return Child(block.cid, 0, len(encoded) + sum(entry.tsize for entry in ordered)), block
