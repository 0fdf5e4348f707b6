"""Paths to content: ``CID``, ``CID/a/b``, ``/ipfs/CID/a/b``, ``ipfs://CID/a/b``.

Below dag-pb the names are those of UnixFS; below every other codec they are map keys and list positions. Links are
followed from block to block, whatever their codecs. With ``/ipld/CID/a/b`` dag-pb is read as a value too: Data, Links.
"""

from collections.abc import Generator
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import unquote

from cidery.blockstore.drive import run
from cidery.core.sources import BlockSession
from cidery.errors import InvalidInput
from cidery.ipld import codecs, dag_pb
from cidery.ipld.block import BadBlock
from cidery.ipld.links import SCAN_BYTES, Paths, scan_paths
from cidery.ipld.path import NoSuchPath, follow, leads_to
from cidery.ipld.walk import PAUSE, STACK_PART, Need, Prefetch, need
from cidery.multiformats.cid import CID, CIDError
from cidery.multiformats.multicodec import CBOR, DAG_JOSE, DAG_PB, JSON, RAW
from cidery.multiformats.varint import Buffer
from cidery.unixfs.data import UnixFSError
from cidery.unixfs.reader import resolve_path

MAX_PATH = 16_384
"""Longest path accepted, in characters: four times PATH_MAX of Linux, for percent-encoded ones."""


class PathError(InvalidInput):
    """Text that is not a path to content."""

    def __init__(self, given: str, reason: str) -> None:
        super().__init__(given, reason)
        self.given = given
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.given[:80]!r} is not a path to content: {self.reason}"


@dataclass(frozen=True, slots=True)
class ContentPath:
    """A root and the names below it; no ".", ".." or empty ones among them."""

    root: CID
    segments: tuple[str, ...] = ()
    namespace: str = "ipfs"
    """"ipfs", or "ipld": no codec has names but those of its value."""

    @property
    def name(self) -> str:
        """The last name, or the CID: what a copy is called by default."""
        return self.segments[-1] if self.segments else str(self.root)

    def __str__(self) -> str:
        return "/".join(("", self.namespace, str(self.root), *self.segments))


def parse_path(text: str) -> ContentPath:
    """Parse the text forms above; URIs are percent-decoded. Raises PathError with what to write instead."""
    if len(text) > MAX_PATH:
        raise PathError(text, f"longer than {MAX_PATH} characters")
    rest = text
    scheme, colon, after = text.partition(":")
    if colon and scheme in ("ipfs", "ipns"):
        rest = f"/{scheme}/" + unquote(after.removeprefix("//"), errors="surrogateescape")
    if rest.startswith("/ipns/"):
        raise PathError(text, "it is a name; a path of content is needed here: cidery name resolve prints it")
    namespace = "ipld" if rest.startswith("/ipld/") else "ipfs"
    if rest.startswith("/") and not rest.startswith(f"/{namespace}/"):
        raise PathError(text, "it must begin with a CID or /ipfs/CID")
    first, *names = rest.removeprefix(f"/{namespace}/").split("/")
    if not first:
        raise PathError(text, "it names no CID; write /ipfs/CID/path")
    try:
        root = CID.parse(first)
    except CIDError as exc:
        raise PathError(text, str(exc)) from exc
    segments: list[str] = []
    for name in names:
        if name in ("", "."):
            continue
        if name == "..":
            if not segments:
                # "a path that goes above the root MUST be rejected": https://specs.ipfs.tech/unixfs/
                raise PathError(text, "'..' leads above the root")
            segments.pop()
            continue
        if "\0" in name:
            raise PathError(text, "it contains a NUL")
        segments.append(name)
    return ContentPath(root, tuple(segments), namespace)


def name_path(text: str) -> str | None:
    """``/ipns/NAME/rest`` of a path or URI of a name; None for all other text."""
    scheme, colon, after = text.partition(":")
    if colon and scheme == "ipns":
        return "/ipns/" + unquote(after.removeprefix("//"), errors="surrogateescape")
    return text if text.startswith("/ipns/") else None


def last_name(text: str) -> str:
    """What a copy of a path's content is called by default. Raises PathError."""
    path = name_path(text)
    if path is None:
        return parse_path(text).name
    parts = [part for part in path.split("/") if part not in ("", ".", "..")]
    return parts[-1] if len(parts) > 1 else "root"


class InsideBlock(InvalidInput):
    """A path that ends inside a block, where a whole one was wanted."""

    def __init__(self, path: ContentPath, cid: CID) -> None:
        super().__init__(path, cid)
        self.path = path
        self.cid = cid

    def __str__(self) -> str:
        return f"{self.path} is a value inside the block {self.cid}; see: cidery dag get {self.path}"


class Resolved(NamedTuple):
    """The last block of a path."""

    cid: CID
    remainder: tuple[str, ...]
    """Names that lead on inside the block's value."""


async def resolve(path: str | CID | ContentPath, session: BlockSession) -> CID:
    """The CID that a path leads to; one block per name.

    Raises PathError, NoSuchEntry, NotADirectory, NoSuchPath, InsideBlock, and as get() and the codecs.
    """
    if isinstance(path, CID):
        return path
    parsed = parse_path(path) if isinstance(path, str) else path
    if not parsed.segments:
        return parsed.root
    found = await run(walk_path(parsed), session)
    if found.remainder:
        raise InsideBlock(parsed, found.cid)
    return found.cid


async def resolve_inside(path: str | CID | ContentPath, session: BlockSession) -> Resolved:
    """As resolve(), but a path may end inside a block."""
    if isinstance(path, CID):
        return Resolved(path, ())
    return await run(walk_path(parse_path(path) if isinstance(path, str) else path), session)


def walk_path(path: ContentPath) -> Generator[Need | Prefetch, Buffer | None, Resolved]:
    """Follow a path across codecs. One block per name at most. Raises as resolve().

    In a block over SCAN_BYTES only links are looked for: that names lead nowhere is found by who reads the value.
    """
    cid, left = path.root, path.segments
    while left:
        if path.namespace == "ipfs" and cid.codec in (DAG_PB, RAW):
            cid, left = (yield from _named_entry(cid, left[0])), left[1:]
            continue
        block = yield from need(cid)
        if len(block) > SCAN_BYTES and cid.codec != DAG_PB:
            met = yield from _link_on(cid, block, left)
            if met is None:
                return Resolved(cid, left)
            cid, left = met
            continue
        reached = follow(cid, codecs.decode_block(cid, block), left)
        if not isinstance(reached.value, CID):
            return Resolved(cid, left)
        cid, left = reached.value, left[reached.used :]
    return Resolved(cid, ())


def _link_on(
    cid: CID, block: Buffer, names: tuple[str, ...]
) -> Generator[Prefetch, Buffer | None, tuple[CID, tuple[str, ...]] | None]:
    """The first link on the way down a large value, and the names after it; in steps of a few milliseconds."""
    if cid.codec in (CBOR, JSON):
        return None  # they have no links
    steps = scan_paths(cid, block)
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            paths: Paths = stop.value
            break
        except BadBlock as exc:
            exc.note(cid)
            raise
        yield PAUSE
    if cid.codec == DAG_JOSE:  # of bounded size, as was just seen
        reached = follow(cid, codecs.decode_block(cid, block), names)
        return (reached.value, names[reached.used :]) if isinstance(reached.value, CID) else None
    for start in range(0, len(paths), STACK_PART):
        for target, way in paths[start : start + STACK_PART]:
            if len(way) <= len(names) and all(map(leads_to, way, names)):
                return target, names[len(way) :]
        yield PAUSE
    return None


def _named_entry(cid: CID, name: str) -> Generator[Need | Prefetch, Buffer | None, CID]:
    """An entry of a UnixFS directory; of another dag-pb node the link of that name."""
    try:
        return (yield from resolve_path(cid, (name,)))
    except UnixFSError:
        if cid.codec != DAG_PB:
            raise
    block = yield from need(cid)
    for link in dag_pb.decode(block).links:
        if (link.name or "") == name:
            return link.cid
    raise NoSuchPath(cid, name)
