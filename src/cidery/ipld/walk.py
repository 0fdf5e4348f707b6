"""Walks over DAGs as generators: they ask for blocks and yield results, independent of the source of the blocks.

A walk yields ``Need(cid)`` and is sent the block back; it yields ``Prefetch(cids)`` as a hint; anything else it yields
is a result. ``blockstore.drive`` runs walks over a block session. Stacks are explicit and every bound is named, because
peers can make DAGs as deep, as wide and as repetitive as they like.
"""

from collections.abc import Generator, Sequence
from typing import NamedTuple, TypeVar

from cidery.errors import LimitExceeded
from cidery.ipld.block import MAX_BLOCK, BadBlock
from cidery.ipld.links import scan_links
from cidery.multiformats.cid import CID
from cidery.multiformats.multicodec import RAW
from cidery.multiformats.varint import Buffer

MAX_DEPTH = 4096
"""Deepest DAG walked, in links from the root: far above any tree of files, and bounds the stack."""
MAX_PENDING = 1 << 18
"""Most links waiting on a stack (about 90 MB of Python objects): several full 2 MiB nodes above each other."""
MAX_EDGES = 100_000_000
"""Most links reported by one walk that repeats shared parts: such a walk is exponential in the depth of the DAG."""
STACK_PART = 1024
"""Links put on a stack between two pauses: about 2 ms."""
PREFETCH_WINDOW = 1024
"""CIDs named ahead in one hint; the session decides how many of them it requests."""


class Need(NamedTuple):
    """The walk continues when it is sent the block of this CID."""

    cid: CID


class Prefetch(NamedTuple):
    """These will be needed soon, in this order."""

    cids: tuple[CID, ...]


PAUSE = Prefetch(())
"""An empty hint between two parts of a long computation: a driver may let other tasks run."""


class Data(NamedTuple):
    """Bytes of a file, in order."""

    chunk: Buffer
    cid: CID | None = None
    """The block that has them, when they are all of its data; None when a part of it was asked for."""
    block: Buffer = b""
    """The bytes of that block."""


class Edge(NamedTuple):
    """A link found by a walk."""

    source: CID
    target: CID
    name: str
    depth: int
    """Links from the root to ``target``: 1 and up."""


class Visited(NamedTuple):
    """A block that was read, with its size."""

    cid: CID
    size: int


T = TypeVar("T")
R = TypeVar("R")
Walk = Generator[Need | Prefetch | T, Buffer | None, R]
"""Yields needs, hints and results of type T; returns R."""


class WalkLimit(LimitExceeded):
    """A DAG that exceeds a bound of this module."""

    def __init__(self, root: CID, reason: str) -> None:
        super().__init__(root, reason)
        self.root = root
        self.reason = reason

    def __str__(self) -> str:
        return f"gave up walking {self.root}: {self.reason}"


def need(cid: CID) -> Generator[Need, Buffer | None, Buffer]:
    """One block; identity CIDs contain their own. Raises WalkLimit for a block above MAX_BLOCK."""
    if cid.is_identity:
        return cid.identity_data
    block = yield Need(cid)
    assert block is not None  # the contract of Need
    if len(block) > MAX_BLOCK:
        raise WalkLimit(cid, f"a block of {len(block)} bytes, at most {MAX_BLOCK} are allowed")
    return block


def read_links(cid: CID, block: Buffer) -> Generator[Prefetch, Buffer | None, Sequence[tuple[CID, str]]]:
    """As named_links(), with pauses: no step takes more than a few milliseconds. Raises as named_links()."""
    steps = scan_links(cid, block)
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            found: Sequence[tuple[CID, str]] = stop.value
            return found
        except BadBlock as exc:
            exc.note(cid)
            raise
        yield PAUSE


class Ahead:
    """Decides how much of a walk's stack to name in a hint: each entry early, and mostly once."""

    def __init__(self) -> None:
        self._fresh = 0
        self._named = 0

    def grown(self, count: int) -> None:
        """``count`` entries were pushed on the stack."""
        self._fresh = count

    def due(self, pending: int) -> int:
        """How many of the ``pending`` entries, from the top, to name before the next one is popped; mostly 0."""
        if self._fresh:
            count = min(self._fresh, PREFETCH_WINDOW)
            self._named = count + (self._named if count == self._fresh else 0)
            self._fresh = 0
        elif self._named <= PREFETCH_WINDOW // 2 and pending > self._named:
            count = self._named = min(pending, PREFETCH_WINDOW)
        else:
            count = 0
        self._named = max(0, self._named - 1)  # the one popped now
        return count if count > 1 else 0


def walk_edges(root: CID, *, unique: bool, max_depth: int = -1, read_raw: bool = True) -> Walk[Edge | Visited, None]:
    """Every link below ``root``, depth first in the order of the links, and every block when it was read.

    Args:
        unique: report each target once. Each block is then read once; memory is O(distinct CIDs).
        max_depth: links to follow; -1: all. A block at that depth is reported as a target but not read.
        read_raw: False spares reading raw blocks, which have no links.
    Yields:
        Edge before its target is read; Visited per block read (the root first).
    Raises:
        WalkLimit, UnsupportedCodec, DagPbError.
    """
    stack: list[tuple[CID, int]] = [(root, 0)]
    edges: list[Edge | None] = [None]  # parallel to ``stack``: the edge to report on the way in
    seen: dict[CID, int] = {}
    reported: set[CID] = set()
    ahead = Ahead()
    count = 0
    while stack:
        if named := ahead.due(len(stack)):
            upcoming = reversed(stack[-named:])
            yield Prefetch(
                tuple(cid for cid, depth in upcoming if depth != max_depth and (read_raw or cid.codec != RAW))
            )
        cid, depth = stack.pop()
        edge = edges.pop()
        if edge is not None and not (unique and cid in reported):
            count += 1
            if count > MAX_EDGES:
                raise WalkLimit(root, f"more than {MAX_EDGES} links; ask for unique ones")
            if unique:
                reported.add(cid)
            yield edge
        if depth == max_depth or (cid.codec == RAW and not read_raw):
            continue
        if unique and seen.get(cid, MAX_DEPTH + 1) <= (depth if max_depth >= 0 else MAX_DEPTH):
            continue
        if depth >= MAX_DEPTH:
            raise WalkLimit(root, f"deeper than {MAX_DEPTH} links")
        if unique:
            seen[cid] = depth
        block = yield from need(cid)
        yield Visited(cid, len(block))
        links = yield from read_links(cid, block)
        if len(stack) + len(links) > MAX_PENDING:
            raise WalkLimit(root, f"more than {MAX_PENDING} links pending")
        for start in range(len(links), 0, -STACK_PART):
            part = links[max(0, start - STACK_PART) : start]
            stack += [(target, depth + 1) for target, _ in reversed(part)]
            edges += [Edge(cid, target, name, depth + 1) for target, name in reversed(part)]
            if start > STACK_PART:
                yield PAUSE
        if links:
            ahead.grown(len(links))
