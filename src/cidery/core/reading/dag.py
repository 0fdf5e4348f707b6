"""Nodes of any codec: put, get, sizes of DAGs, and the differences between two."""

from collections.abc import AsyncIterator, Generator, Sequence
from dataclasses import dataclass
from enum import IntEnum

from cidery.blockstore.drive import drive
from cidery.blockstore.interface import BlockStore, Durability
from cidery.core.reading.blocks import BlockStat, BlockTooBig, block_get
from cidery.core.reading.content_path import ContentPath
from cidery.core.reading.large_values import in_thread_if_large
from cidery.core.reading.resolve import resolve, resolve_inside
from cidery.core.session import BlockSession
from cidery.errors import InvalidInput
from cidery.ipld import codecs
from cidery.ipld.block import MAX_BLOCK, Block
from cidery.ipld.codecs import codec_of, parse_codec
from cidery.ipld.dag_pb import DagPbError, Link, readable_name
from cidery.ipld.data_model import CodecError, Value
from cidery.ipld.path import follow
from cidery.ipld.walk import (
    MAX_DEPTH,
    MAX_PENDING,
    Need,
    Prefetch,
    Visited,
    Walk,
    WalkLimit,
    need,
    read_links,
    walk_edges,
)
from cidery.multiformats.cid import CID
from cidery.multiformats.multicodec import DAG_JSON, DAG_PB, RAW
from cidery.multiformats.multihash import multihash
from cidery.multiformats.varint import Buffer
from cidery.unixfs.data import UnixFSError
from cidery.unixfs.directory_reader import walk_entries
from cidery.unixfs.node import Kind, UnixFSNode
from cidery.unixfs.profile import parse_hash
from cidery.unixfs.reader import read_node

PROGRESS_BLOCKS = 256
"""Blocks between two reports of progress."""


class BadNode(InvalidInput):
    """Input that its codec cannot decode."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"the input is {self.reason}; see --input-codec"


async def dag_put(
    data: bytes,
    store: BlockStore,
    *,
    store_codec: str = "dag-cbor",
    input_codec: str = "dag-json",
    hash_name: str = "sha2-256",
    allow_big_block: bool = False,
) -> BlockStat:
    """Read a node in one codec and store it in another, canonically and durably, as kept.

    Raises: BadNode for input that its codec cannot decode, UnknownCodec, NotEncodable, InvalidInput for the hash,
    BlockTooBig, and as the store.
    """
    source, target = codec_of(parse_codec(input_codec)), parse_codec(store_codec)
    code = parse_hash(hash_name)
    try:
        block = await in_thread_if_large(lambda: codec_of(target).encode(source.read_input(data)), len(data))
    except (CodecError, DagPbError) as exc:
        raise BadNode(str(exc)) from exc
    if len(block) > MAX_BLOCK and not allow_big_block:
        raise BlockTooBig(len(block))
    cid = CID(1, target, multihash(code, block))
    await store.put_many((Block(cid, block),), kept=True, durability=Durability.DURABLE)
    return BlockStat(cid, len(block))


async def dag_get(path: str | CID | ContentPath, session: BlockSession, *, output_codec: str = "dag-json") -> bytes:
    """The value that a path leads to, in a codec of choice. Raises as resolve_inside(), UnknownCodec, NotEncodable."""
    target = parse_codec(output_codec)
    encode = codec_of(target).encode
    cid, remainder = await resolve_inside(path, session)
    block = await block_get(cid, session)
    if not remainder and target == cid.codec:
        return bytes(block)

    def converted() -> bytes:
        value = follow(cid, codecs.decode_block(cid, block), remainder).value
        # Names in dag-pb are arbitrary bytes, strings in JSON are not.
        return encode(_readable(value) if cid.codec == DAG_PB and target == DAG_JSON else value)

    return await in_thread_if_large(converted, len(block))


def _readable(value: Value) -> Value:
    if isinstance(value, str):
        return readable_name(value)
    if isinstance(value, dict):
        return {name: _readable(one) for name, one in value.items()}
    return [_readable(one) for one in value] if isinstance(value, list) else value


@dataclass(slots=True)
class DagSize:
    """One DAG, each of its blocks counted once."""

    cid: CID
    size: int = 0
    """Bytes of the blocks."""
    blocks: int = 0


@dataclass(slots=True)
class DagSizes:
    """Several DAGs, and how much they share."""

    dags: list[DagSize]
    unique_blocks: int = 0
    unique_size: int = 0
    """Bytes of all blocks, each once."""
    done: bool = False

    @property
    def shared_size(self) -> int:
        """Bytes that the sum of the sizes counts more than once."""
        return sum(dag.size for dag in self.dags) - self.unique_size

    @property
    def ratio(self) -> float:
        """The sum of the sizes divided by the total size; 1.0: nothing is shared."""
        return sum(dag.size for dag in self.dags) / self.unique_size if self.unique_size else 0.0


async def dag_stat(paths: Sequence[str | CID | ContentPath], session: BlockSession) -> AsyncIterator[DagSizes]:
    """Sizes so far every PROGRESS_BLOCKS blocks, and at the end with ``done``; always the same object.

    Raises as resolve() and the walk. Memory: O(distinct CIDs). Cancellation: safe.
    """
    sizes = DagSizes([])
    seen: set[CID] = set()
    for path in paths:
        dag = DagSize(await resolve(path, session))
        sizes.dags.append(dag)
        async for step in drive(walk_edges(dag.cid, unique=True), session):
            if not isinstance(step, Visited):
                continue
            dag.size += step.size
            dag.blocks += 1
            if step.cid not in seen:
                seen.add(step.cid)
                sizes.unique_blocks += 1
                sizes.unique_size += step.size
            if dag.blocks % PROGRESS_BLOCKS == 0:
                yield sizes
    sizes.done = True
    yield sizes


class ChangeType(IntEnum):
    """Numbers as in Kubo's ``object diff``."""

    ADD = 0
    REMOVE = 1
    MOD = 2


@dataclass(frozen=True, slots=True)
class Change:
    """One difference between two DAGs."""

    type: ChangeType
    path: str
    """Names from the roots, with slashes; "" for the roots themselves."""
    before: CID | None
    after: CID | None


async def dag_diff(
    before: str | CID | ContentPath, after: str | CID | ContentPath, session: BlockSession
) -> AsyncIterator[Change]:
    """Links that were added, removed or changed, by their paths; equal subtrees are not read.

    Descends where both sides have named links: directories, maps. Raises as resolve(), WalkLimit.
    """
    first, second = await resolve(before, session), await resolve(after, session)
    async for change in drive(_diff(first, second), session):
        yield change


def _diff(first: CID, second: CID) -> Walk[Change, None]:
    stack = [("", first, second)]
    while stack:
        path, before, after = stack.pop()
        if before == after:
            continue
        old = yield from _named(before)
        new = yield from _named(after)
        if old is None or new is None or before.codec != after.codec:
            yield Change(ChangeType.MOD, path, before, after)
            continue
        prefix = f"{path}/" if path else ""
        for name, cid in old.items():
            if name not in new:
                yield Change(ChangeType.REMOVE, prefix + name, cid, None)
        for name, cid in new.items():
            if name not in old:
                yield Change(ChangeType.ADD, prefix + name, None, cid)
        both = [(prefix + name, old[name], new[name]) for name in new if name in old and old[name] != new[name]]
        if not both and old == new:
            yield Change(ChangeType.MOD, path, before, after)  # the links are the same, other content is not
        if len(stack) + len(both) > MAX_PENDING or path.count("/") > MAX_DEPTH:
            raise WalkLimit(first, f"deeper than {MAX_DEPTH} or wider than {MAX_PENDING} links")
        stack += reversed(both)


def _named(cid: CID) -> Generator[Need | Prefetch, Buffer | None, dict[str, CID] | None]:
    """Name -> target; None if this has no named links: a file, or a block without links."""
    if cid.codec == RAW:
        return None
    if cid.codec == DAG_PB:
        try:
            node = yield from read_node(cid)
        except UnixFSError:
            return (yield from _links_by_name(cid))
        return None if node.kind is not Kind.DIRECTORY else (yield from _entries(node))
    return (yield from _links_by_name(cid))


def _links_by_name(cid: CID) -> Generator[Need | Prefetch, Buffer | None, dict[str, CID] | None]:
    block = yield from need(cid)
    found: dict[str, CID] = {}
    for target, name in (yield from read_links(cid, block)):
        found.setdefault(name, target)
    return found or None


def _entries(node: UnixFSNode) -> Generator[Need | Prefetch, Buffer | None, dict[str, CID]]:
    found: dict[str, CID] = {}
    walk = walk_entries(node)
    answer: Buffer | None = None
    while True:
        try:
            step = walk.send(answer)
        except StopIteration:
            return found
        answer = None
        if isinstance(step, Link):
            found[step.name or ""] = step.cid
        else:
            answer = yield step
