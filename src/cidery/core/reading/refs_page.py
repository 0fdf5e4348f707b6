"""A part of the links of a DAG, from any of them on.

A link is named by its place: the positions of the links on the way to it, from the root, as ``0.17.3``. The blocks
below a CID never change, so a place means the same link for ever.
"""

from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple

from cidery.blockstore.drive import drive
from cidery.core.reading.content_path import ContentPath
from cidery.core.reading.resolve import resolve
from cidery.core.session import BlockSession
from cidery.errors import InvalidInput
from cidery.ipld.walk import MAX_DEPTH, MAX_PENDING, PREFETCH_WINDOW, Edge, Prefetch, Walk, WalkLimit, need, read_links
from cidery.multiformats.cid import CID
from cidery.multiformats.multicodec import RAW

MAX_PLACE = 1 << 16
"""Longest text of a place, in characters."""
Place = tuple[int, ...]


class BadPlace(InvalidInput):
    """A text that is no place of a link below this root."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return f"there is no link at {self.text[:40]!r}: take the place (At) of the last row seen, below the same path"


class PlacedEdge(NamedTuple):
    """A link and where it is."""

    edge: Edge
    place: Place

    @property
    def at(self) -> str:
        """The place as text."""
        return ".".join(map(str, self.place))


def parse_place(text: str) -> Place:
    """Raises BadPlace."""
    parts = text.split(".") if text else []
    if len(text) > MAX_PLACE or not all(part.isascii() and part.isdigit() and len(part) < 10 for part in parts):
        raise BadPlace(text)
    return tuple(map(int, parts))


async def refs_page(
    path: str | CID | ContentPath,
    session: BlockSession,
    after: str,
    limit: int,
    *,
    recursive: bool = False,
    unique: bool = False,
    max_depth: int = -1,
) -> AsyncIterator[PlacedEdge]:
    """At most ``limit`` links behind the place ``after`` ("": from the first), in the order of refs().

    Reads the blocks on the way there, and those that the page needs. With ``unique`` it has to walk everything before,
    too. Raises BadPlace, and as refs().
    """
    start = parse_place(after)
    root = await resolve(path, session)
    async for step in drive(walk_page(root, start, limit, unique, max_depth if recursive else 1), session):
        if isinstance(step, PlacedEdge):
            yield step


class _Level(NamedTuple):
    source: CID
    links: Sequence[tuple[CID, str]]


def walk_page(root: CID, start: Place, limit: int, unique: bool, max_depth: int) -> Walk[PlacedEdge, None]:
    """As refs_page(), from a root."""
    levels: list[_Level] = []
    place: list[int] = []  # of the link that comes next, at each level
    seen: dict[CID, int] = {}  # target -> fewest links to it, when unique
    way = () if unique else start  # what is skipped without being looked at
    found = not start
    next_cid: CID | None = root
    while next_cid is not None or levels:
        if next_cid is not None:
            links = yield from _links(next_cid, len(levels), levels)
            levels.append(_Level(next_cid, links))
            first = len(place)
            place.append(way[first] if first < len(way) else 0)
            if not found and not unique and place[-1] >= len(links):
                raise BadPlace(".".join(map(str, start)))
            next_cid = None
        source, links = levels[-1]
        if place[-1] >= len(links):
            levels.pop()
            place.pop()
            if place:
                place[-1] += 1
            continue
        target, name = links[place[-1]]
        here = tuple(place)
        fresh, nearer = target not in seen, max_depth >= 0 and len(levels) < seen.get(target, 0)
        if unique and (fresh or nearer):
            seen[target] = len(levels)
        if found and fresh:
            yield PlacedEdge(Edge(source, target, name, len(levels)), here)
            limit -= 1
            if not limit:
                return
        if here == start:
            found, way = True, ()
        if target.codec != RAW and len(levels) != max_depth and (fresh or nearer):
            next_cid = target
        else:
            if not found and not unique and start[: len(here)] == here:
                raise BadPlace(".".join(map(str, start)))  # nothing is below this link
            place[-1] += 1
    if not found:
        raise BadPlace(".".join(map(str, start)))


def _links(cid: CID, depth: int, levels: list[_Level]) -> Walk[PlacedEdge, Sequence[tuple[CID, str]]]:
    if depth >= MAX_DEPTH:
        raise WalkLimit(cid, f"deeper than {MAX_DEPTH} links")
    links = yield from read_links(cid, (yield from need(cid)))
    if sum(len(level.links) for level in levels) + len(links) > MAX_PENDING:
        raise WalkLimit(cid, f"more than {MAX_PENDING} links pending")
    yield Prefetch(tuple(target for target, _ in links[:PREFETCH_WINDOW] if target.codec != RAW))
    return links
