"""Edits directories of either shape in place: only the shards on the way to a name are read and written.

The result has the CID of a new directory with the same entries, whatever the order of the edits: a directory that
grows above the threshold of its profile is sharded, and one that shrinks to it becomes a single node again.

Spec: https://specs.ipfs.tech/unixfs/#dag-pb-hamtdirectory
"""

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Generator
from operator import itemgetter
from typing import NamedTuple, TypeVar

from cidery.ipld import dag_pb
from cidery.ipld.block import Block
from cidery.ipld.dag_pb import Link
from cidery.ipld.walk import PAUSE, Need, Prefetch
from cidery.multiformats.cid import CID
from cidery.multiformats.varint import Buffer
from cidery.unixfs.directory import (
    DirectoryEntry,
    base_estimate,
    basic_directory,
    check_name,
    entry_estimate,
    put_shard,
)
from cidery.unixfs.directory_reader import NoSuchEntry, NotADirectory, first_links, read_shard
from cidery.unixfs.layout import Child
from cidery.unixfs.metadata import Mtime
from cidery.unixfs.node import Kind
from cidery.unixfs.profile import Profile, ShardEstimate
from cidery.unixfs.reader import read_node
from cidery.unixfs.shard import (
    Slot,
    TooManyCollisions,
    bucket_at,
    encode_slot,
    hash_name,
    join_slots,
    level_bits,
    max_levels,
    placed_slots,
    prefix_width,
)

MIN_ESTIMATE = 5
"""Least bytes that an entry adds to the estimate of a directory: a name of one and the shortest CID of four."""

R = TypeVar("R")
Edit = Generator[Need | Prefetch, Buffer | None, R]
"""Asks for blocks, as a walk does; returns R."""


class Edited(NamedTuple):
    """A directory after edits."""

    root: Child
    blocks: list[Block]
    """To be stored, children before parents."""
    floor: int
    """A lower bound of its estimate in bytes: passed to open(), it spares later removals reading other shards."""


class _Shard:
    """A shard in memory."""

    __slots__ = ("encoded", "saved", "slots")

    def __init__(self, slots: "dict[int, DirectoryEntry | _Shard | Link]", saved: Child | None = None) -> None:
        self.slots = slots
        """By bucket; a Link is a shard that was not read yet."""
        self.saved = saved
        """None: changed since it was written."""
        self.encoded: dict[int, bytes] = {}
        """The links of entries and unread shards as last written: most stay while a large directory is filled."""

    def place(self, bucket: int, what: "DirectoryEntry | _Shard | Link | None") -> None:
        """Set the content of a bucket; None empties it."""
        self.encoded.pop(bucket, None)
        if what is None:
            del self.slots[bucket]
        else:
            self.slots[bucket] = what


class DirectoryEditor:
    """One directory. Its generators ask for blocks as walks do; after an exception the directory is as before.

    Memory: all entries of a basic directory; of a sharded one the shards that were touched.
    """

    def __init__(self, profile: Profile, mode: int | None = None, mtime: Mtime | None = None) -> None:
        """An empty directory; ``profile`` decides the form of everything written."""
        self.mode = mode
        self.mtime = mtime
        self._profile = profile
        self._opened: CID | None = None
        self._fanout = profile.hamt_fanout
        self._names: list[bytes] = []  # of a basic directory, sorted, parallel to _entries and _links
        self._entries: dict[bytes, DirectoryEntry] = {}
        self._links: dict[bytes, bytes] = {}
        self._root: _Shard | None = None  # of a sharded one
        self._estimate = 0  # without base_estimate(); of a sharded directory a lower bound
        self._count = 0  # likewise
        self._shrunk = False

    @classmethod
    def open(cls, profile: Profile, root: CID, floor: int = 0) -> "Edit[DirectoryEditor]":
        """A stored directory, with its mode and time.

        Args:
            floor: Edited.floor of the edit that made ``root``, if known.
        Raises:
            NotADirectory, UnixFSError, DagPbError, UnsupportedCodec.
        """
        node = yield from read_node(root)
        if node.kind is not Kind.DIRECTORY:
            raise NotADirectory(root, node.kind, "")
        editor = cls(profile, node.mode, node.mtime)
        editor._opened = root
        if node.fanout:
            editor._fanout = node.fanout
            slots = placed_slots(node.fanout, node.links, 0, 0)
            editor._root = _Shard(_in_memory(slots))
            editor._estimate = max(0, floor - base_estimate(profile, node.mode, node.mtime))
        else:
            for link in first_links(node.links):
                editor._put_basic(DirectoryEntry(link.name or "", link.cid, link.tsize or 0))
        return editor

    def use(self, profile: Profile) -> None:
        """Write in another CID form from now on; shards that do not change keep theirs."""
        self._profile = profile

    def find(self, name: str) -> "Edit[DirectoryEntry | None]":
        """The entry of a name, None if there is none."""
        if self._root is None:
            return self._entries.get(dag_pb.encode_name(name))
        way = yield from self._way(name)
        found = way[-1][0].slots.get(way[-1][1])
        return found if isinstance(found, DirectoryEntry) and found.name == name else None

    def insert(self, entry: DirectoryEntry) -> Edit[None]:
        """Add an entry or replace the one of its name. O(log n). Raises BadName, TooManyCollisions, UnixFSError."""
        check_name(entry.name)
        if self._root is None:
            self._put_basic(entry)
            return
        way = yield from self._way(entry.name)
        shard, bucket = way[-1]
        found = shard.slots.get(bucket)
        assert not isinstance(found, Link)  # _way() read it
        if isinstance(found, _Shard) or found is None or found.name == entry.name:
            new: DirectoryEntry | _Shard = entry
        else:
            new = self._split(found, entry, len(way))
        shard.place(bucket, new)
        _touch(way)
        by = entry_estimate(self._profile, entry)
        if isinstance(found, DirectoryEntry) and found.name == entry.name:
            by -= entry_estimate(self._profile, found)
        else:
            self._count += 1
        self._grow(by)

    def remove(self, name: str) -> "Edit[DirectoryEntry]":
        """Take an entry out and return it. Raises NoSuchEntry."""
        if self._root is None:
            return self._take_basic(name)
        way = yield from self._way(name)
        shard, bucket = way[-1]
        found = shard.slots.get(bucket)
        if not isinstance(found, DirectoryEntry) or found.name != name:
            raise NoSuchEntry(self._opened, name)
        shard.place(bucket, None)
        _touch(way)
        for (above, at), (below, _) in zip(reversed(way[:-1]), reversed(way[1:]), strict=True):
            only = next(iter(below.slots.values()), None)
            if only is None:
                above.place(at, None)
            elif len(below.slots) == 1 and isinstance(only, DirectoryEntry):
                above.place(at, only)  # a node of one entry does not exist below the root
        self._count -= 1
        self._grow(-entry_estimate(self._profile, found))
        self._shrunk = True  # even if an entry adds nothing to the estimate
        return found

    def finish(self) -> Edit[Edited]:
        """Write what changed. The editor stays usable; store the blocks before the root is used.

        A removal may have to read enough shards to tell that the directory is still above the threshold.
        """
        base = base_estimate(self._profile, self.mode, self.mtime)
        if self._root is not None and self._shrunk:
            yield from self._measure(base)
        blocks: list[Block] = []
        if self._root is None and self._profile.shards(base + self._estimate, self._count):
            self._to_trie()
        self._shrunk = False
        if self._root is not None:
            self._root.saved = None  # mode and time are in it, too
            root = yield from self._write(self._root, blocks, 0)
        else:
            tsize = sum(entry.tsize for entry in self._entries.values())
            links = [self._links[name] for name in self._names]
            root = basic_directory(self._profile, links, tsize, blocks.append, self.mode, self.mtime)
        return Edited(root, blocks, base + self._estimate)

    def _grow(self, by: int) -> None:
        self._estimate = max(0, self._estimate + by)
        self._shrunk = self._shrunk or by < 0

    def _put_basic(self, entry: DirectoryEntry) -> None:
        name = dag_pb.encode_name(entry.name)
        old = self._entries.get(name)
        if old is None:
            if self._names and name < self._names[-1]:
                insort(self._names, name)
            else:
                self._names.append(name)
            self._count += 1
        else:
            self._estimate -= entry_estimate(self._profile, old)
        self._entries[name] = entry
        self._links[name] = dag_pb.encode_link(Link(entry.cid, entry.name, entry.tsize))
        self._estimate += entry_estimate(self._profile, entry)

    def _take_basic(self, text: str) -> DirectoryEntry:
        name = dag_pb.encode_name(text)
        entry = self._entries.pop(name, None)
        if entry is None:
            raise NoSuchEntry(self._opened, text)
        del self._links[name]
        del self._names[bisect_left(self._names, name)]
        self._count -= 1
        self._estimate -= entry_estimate(self._profile, entry)
        return entry

    def _way(self, name: str) -> Edit[list[tuple[_Shard, int]]]:
        """The shards on the way to a name, each with the bucket to continue in; the last holds no shard there."""
        assert self._root is not None  # checked by the callers
        hashed, bits = hash_name(name), level_bits(self._fanout)
        way: list[tuple[_Shard, int]] = []
        shard = self._root
        path = 0
        while True:
            if len(way) == max_levels(self._fanout):
                raise TooManyCollisions(name)
            bucket = bucket_at(hashed, len(way), bits)
            path = path << bits | bucket
            way.append((shard, bucket))
            found = shard.slots.get(bucket)
            if isinstance(found, Link):
                found = yield from self._read(shard, bucket, found, len(way), path)
            if not isinstance(found, _Shard):
                return way
            shard = found

    def _read(self, above: _Shard, bucket: int, link: Link, level: int, path: int) -> Edit[_Shard]:
        _, slots = yield from read_shard(link.cid, self._fanout, level, path)
        shard = _Shard(_in_memory(slots), Child(link.cid, 0, link.tsize or 0))
        above.place(bucket, shard)
        return shard

    def _split(self, one: DirectoryEntry, other: DirectoryEntry, level: int) -> _Shard:
        """The shards below a bucket where two entries meet."""
        bits = level_bits(self._fanout)
        first, second = hash_name(one.name), hash_name(other.name)
        top = shard = _Shard({})
        while True:
            if level == max_levels(self._fanout):
                raise TooManyCollisions(other.name)
            here, there = bucket_at(first, level, bits), bucket_at(second, level, bits)
            if here != there:
                shard.slots = {here: one, there: other}
                return top
            below = _Shard({})
            shard.slots[here] = below
            shard, level = below, level + 1

    def _to_trie(self) -> None:
        self._root = _Shard({})
        self._fanout = self._profile.hamt_fanout
        estimate, count = self._estimate, self._count
        for entry in self._entries.values():
            for _ in self.insert(entry):
                raise AssertionError("shards made here are in memory")
        self._estimate, self._count = estimate, count
        self._names, self._entries, self._links = [], {}, {}

    def _measure(self, base: int) -> Edit[None]:
        """Convert back to one node if all entries together fit; else read until it is certain that they do not."""
        limit = 2 * self._profile.shard_threshold
        most = 2 * self._profile.directory_links
        if self._profile.shards(base + self._estimate, self._count):
            return
        by_size = self._profile.shard_estimate is not ShardEstimate.DISABLED
        if not (by_size or most):
            return  # without a threshold it stays unchanged
        assert self._root is not None  # checked by finish()
        bits = level_bits(self._fanout)
        entries: list[DirectoryEntry] = []
        estimate = unread = 0
        queue: deque[tuple[_Shard, int, int]] = deque([(self._root, 0, 0)])
        links: deque[tuple[_Shard, int, Link, int, int]] = deque()
        while queue or links:
            if not queue:
                if (by_size and estimate + unread * MIN_ESTIMATE > limit) or 0 < most < len(entries):
                    self._estimate, self._count = estimate + unread * MIN_ESTIMATE, len(entries) + unread
                    return
                above, bucket, link, level, path = links.popleft()
                unread -= 1
                queue.append(((yield from self._read(above, bucket, link, level, path)), level, path))
            shard, level, path = queue.popleft()
            for bucket, found in shard.slots.items():
                below = path << bits | bucket
                if isinstance(found, DirectoryEntry):
                    entries.append(found)
                    estimate += entry_estimate(self._profile, found)
                elif isinstance(found, _Shard):
                    queue.append((found, level + 1, below))
                else:
                    links.append((shard, bucket, found, level + 1, below))
                    unread += 1
        self._estimate, self._count = estimate, len(entries)
        if not self._profile.shards(base + estimate, len(entries)):
            self._root = None
            self._estimate = self._count = 0
            for entry in entries:
                self._put_basic(entry)

    def _write(self, shard: _Shard, blocks: list[Block], level: int) -> Generator[Prefetch, Buffer | None, Child]:
        """Changed shards below and this one, with a pause after each; at most max_levels() deep."""
        if shard.saved is not None:
            return shard.saved
        width = prefix_width(self._fanout)
        slots: list[tuple[int, bytes, int]] = []
        for bucket, found in sorted(shard.slots.items(), key=itemgetter(0)):
            if isinstance(found, _Shard):
                child = yield from self._write(found, blocks, level + 1)
                slots.append((bucket, encode_slot(width, bucket, Link(child.cid, "", child.tsize)), child.tsize))
                continue
            encoded = shard.encoded.get(bucket)
            if encoded is None:
                link = found if isinstance(found, Link) else Link(found.cid, found.name, found.tsize)
                encoded = shard.encoded[bucket] = encode_slot(width, bucket, link)
            slots.append((bucket, encoded, found.tsize or 0))
        metadata = () if level else (self.mode, self.mtime)
        shard.saved = put_shard(self._profile, *join_slots(self._fanout, slots, *metadata), blocks.append)
        yield PAUSE
        return shard.saved


def insert(profile: Profile, root: CID, entry: DirectoryEntry, floor: int = 0) -> Edit[Edited]:
    """One DirectoryEditor.insert() into a stored directory."""
    editor = yield from DirectoryEditor.open(profile, root, floor)
    yield from editor.insert(entry)
    return (yield from editor.finish())


def remove(profile: Profile, root: CID, name: str, floor: int = 0) -> Edit[Edited]:
    """One DirectoryEditor.remove() from a stored directory. Raises NoSuchEntry."""
    editor = yield from DirectoryEditor.open(profile, root, floor)
    yield from editor.remove(name)
    return (yield from editor.finish())


def _in_memory(slots: list[Slot]) -> dict[int, DirectoryEntry | _Shard | Link]:
    return {
        bucket: DirectoryEntry(link.name, link.cid, link.tsize or 0) if link.name else link for bucket, link in slots
    }


def _touch(way: list[tuple[_Shard, int]]) -> None:
    for shard, _ in way:
        shard.saved = None
