"""Walks over directories of either shape: entries in stored order, one entry by name.

Spec: https://specs.ipfs.tech/unixfs/#dag-pb-hamtdirectory
"""

from collections.abc import Generator, Sequence

from cidery.errors import InvalidInput, NotFound
from cidery.ipld.dag_pb import Link
from cidery.ipld.walk import Need, Prefetch, Walk, need
from cidery.multiformats.cid import CID
from cidery.multiformats.varint import Buffer
from cidery.unixfs.data import UnixFSError
from cidery.unixfs.node import Kind, UnixFSNode, decode_node_steps
from cidery.unixfs.shard import Slot, bucket_at, hash_name, level_bits, max_levels, placed_slots, prefix_width


class NotADirectory(InvalidInput):
    """A path continues below something that is not a directory."""

    def __init__(self, cid: CID, kind: Kind, name: str) -> None:
        super().__init__(cid, kind, name)
        self.cid = cid
        self.kind = kind
        self.name = name

    def __str__(self) -> str:
        return f"{self.cid} is a {self.kind.value}, it has no entry {self.name!r}"


class NoSuchEntry(NotFound):
    """A directory has no entry of a name."""

    def __init__(self, cid: CID | None, name: str) -> None:
        """``cid``: None for a directory that was never stored."""
        super().__init__(cid, name)
        self.cid = cid
        self.name = name

    def __str__(self) -> str:
        return f"no link named {self.name!r} under {self.cid or 'the new directory'}"


def read_shard(
    cid: CID, fanout: int, level: int, path: int
) -> Generator[Need | Prefetch, Buffer | None, tuple[UnixFSNode, list[Slot]]]:
    """A shard below the root, and its slots; ``path``: the bits of the buckets above. Raises UnixFSError."""
    node = yield from decode_node_steps(cid, (yield from need(cid)))
    if node.fanout != fanout:
        raise _other_fanout(cid, fanout)
    return node, placed_slots(fanout, node.links, level, path)


def walk_entries(root: UnixFSNode) -> Walk[Link, None]:
    """The entries of a directory in stored order, as they arrive; of several with one name the first.

    Memory: the shards on the way to the current entry. Shards are named ahead, entries are not.
    Raises NotADirectory, UnixFSError, DagPbError.
    """
    if root.kind is not Kind.DIRECTORY:
        raise NotADirectory(root.cid, root.kind, "")
    if not root.fanout:
        yield from first_links(root.links)
        return
    bits = level_bits(root.fanout)
    slots = placed_slots(root.fanout, root.links, 0, 0)
    pending: list[tuple[Link, int, int]] = []  # link, level, path of a sub-shard
    pending += [(slot.link, 1, slot.bucket) for slot in reversed(slots)]
    yield _ahead(slots)
    while pending:
        link, level, path = pending.pop()
        if link.name:
            yield link
            continue
        _, slots = yield from read_shard(link.cid, root.fanout, level, path)
        yield _ahead(slots)
        pending += [(slot.link, level + 1, path << bits | slot.bucket) for slot in reversed(slots)]


def first_links(links: Sequence[Link]) -> list[Link]:
    """The links in order; of several with one name the first."""
    first = {link.name or "": link for link in reversed(links)}
    return list(reversed(first.values()))


def _ahead(slots: list[Slot]) -> Prefetch:
    return Prefetch(tuple(slot.link.cid for slot in slots if not slot.link.name))


def find_link(node: UnixFSNode, name: str) -> Generator[Need | Prefetch, Buffer | None, Link | None]:
    """The link of an entry, None if there is none; of a sharded directory only the shards on its way are read.

    Raises NotADirectory, UnixFSError, DagPbError.
    """
    if node.kind is not Kind.DIRECTORY:
        raise NotADirectory(node.cid, node.kind, name)
    if not node.fanout:
        return next((link for link in node.links if (link.name or "") == name), None)
    fanout, bits, width, hashed = node.fanout, level_bits(node.fanout), prefix_width(node.fanout), hash_name(name)
    for level in range(max_levels(fanout)):
        prefix = f"{bucket_at(hashed, level, bits):0{width}X}"
        link = next((link for link in node.links if link.name is not None and link.name.startswith(prefix)), None)
        if link is None or link.name != prefix:
            return link._replace(name=name) if link is not None and link.name == prefix + name else None
        if level + 1 == max_levels(fanout):
            break
        node = yield from decode_node_steps(link.cid, (yield from need(link.cid)))
        if node.fanout != fanout:
            raise _other_fanout(link.cid, fanout)
    raise UnixFSError(f"a directory of more than {max_levels(fanout)} levels of shards")


def _other_fanout(cid: CID, fanout: int) -> UnixFSError:
    return UnixFSError(f"{cid} is no shard of fanout {fanout}, as those above it are")


def find_entry(node: UnixFSNode, name: str) -> Generator[Need | Prefetch, Buffer | None, CID]:
    """The CID of an entry. Raises NoSuchEntry and as find_link()."""
    link = yield from find_link(node, name)
    if link is None:
        raise NoSuchEntry(node.cid, name)
    return link.cid
