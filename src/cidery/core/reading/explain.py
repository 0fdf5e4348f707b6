"""Explains why two CIDs of the same data differ: by the CIDs themselves, then by how their DAGs were made."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from cidery.blockstore.drive import run
from cidery.core.reading.dag import ChangeType, dag_diff
from cidery.core.session import BlockSession
from cidery.ipld.codecs import codec_name
from cidery.multiformats.cid import CID
from cidery.multiformats.multihash import MultihashError, hash_function
from cidery.unixfs.shape import AtLeast, Shape, read_shape


@dataclass(frozen=True, slots=True)
class Difference:
    """One setting that differs."""

    setting: str
    a: str
    b: str
    option: str = ""
    """Option of ``add`` that gives the data of A the setting of B; "" if there is none."""


@dataclass(slots=True)
class Explanation:
    """The findings."""

    a: CID
    b: CID
    differences: list[Difference] = field(default_factory=list)
    same: bool = False
    """Whether the bytes are known to be the same."""
    conclusion: str = ""


async def explain(a: CID, b: CID, session: BlockSession) -> Explanation:
    """Compare two CIDs; reads some blocks of each, unless the CIDs alone explain the difference.

    Of directories, the first entry that differs is compared too. Raises as the session and read_shape().
    """
    found = Explanation(a, b, list(_by_cid(a, b)))
    if a.multihash == b.multihash:
        found.same = True
        found.conclusion = (
            "They are the same CID."
            if a == b
            else "They name the same block: only the CIDs are written differently; `cidery cid format` converts them."
        )
        return found
    one, other = await run(read_shape(a), session), await run(read_shape(b), session)
    if one.kind != other.kind:
        found.conclusion = f"A is a {one.kind}, B is a {other.kind}: not the same data, or one was wrapped (add -w)."
        return found
    found.differences += _by_shape(one, other)
    if one.kind == "directory":
        await _directories(found, session)
    else:
        _conclude(found, one, other)
    return found


def _conclude(found: Explanation, one: Shape, other: Shape) -> None:
    if one.kind == "file" and one.size != other.size:
        found.conclusion = f"Not the same data: A has {one.size} bytes, B has {other.size}."
    elif one.kind == "block":
        found.conclusion = "They are single nodes, which are compared by: cidery dag diff"
    elif found.differences:
        found.conclusion = "With equal data, these settings are why the CIDs differ."
    else:
        found.conclusion = "All settings that can be seen are equal, so the data differs."


async def _directories(found: Explanation, session: BlockSession) -> None:
    """Compare the first pair of files inside that differ."""
    names = 0
    async for change in dag_diff(found.a, found.b, session):
        if change.type is not ChangeType.MOD or change.before is None or change.after is None:
            names += 1
            continue
        if not change.path:
            break  # the directories themselves: their entries are the same
        inner = await explain(change.before, change.after, session)
        known = {difference.setting for difference in found.differences}
        found.differences += [one for one in inner.differences if one.setting not in known]
        found.conclusion = f"In the entry {change.path!r}: {inner.conclusion}"
        return
    if names:
        found.conclusion = f"Not the same data: {names} entries are in one of them only; see: cidery dag diff"
    elif found.differences:
        found.conclusion = "With equal entries, these settings are why the CIDs differ."
    else:
        found.conclusion = "The entries are the same; their metadata (such as sizes) differs."


def _hash_name(cid: CID) -> str:
    multihash = cid.decoded_multihash()
    try:
        return f"{hash_function(multihash.code)[0]} ({len(multihash.digest)} bytes)"
    except MultihashError:
        return f"0x{multihash.code:x}"


def _by_cid(a: CID, b: CID) -> Iterator[Difference]:
    if a.version != b.version:
        yield Difference("CID version", str(a.version), str(b.version), f"--cid-version={b.version}")
    if a.codec != b.codec:
        yield Difference("codec", codec_name(a.codec), codec_name(b.codec))
    if _hash_name(a) != _hash_name(b):
        name = _hash_name(b).split(" ")[0]
        yield Difference("hash", _hash_name(a), _hash_name(b), "--inline" if b.is_identity else f"--hash={name}")


def _conflict(a: int | AtLeast | None, b: int | AtLeast | None) -> bool:
    """Whether two numbers, exact or lower bounds, cannot be the same setting."""
    if a is None or b is None:
        return (a is None) != (b is None) and not isinstance(a, AtLeast) and not isinstance(b, AtLeast)
    if isinstance(a, int) and isinstance(b, int):
        return a != b
    if isinstance(a, AtLeast) and isinstance(b, AtLeast):
        return False
    exact, least = (a, b) if isinstance(a, int) else (b, a)
    assert isinstance(exact, int) and isinstance(least, AtLeast)  # what is left
    return exact < least.number


def _by_shape(a: Shape, b: Shape) -> Iterator[Difference]:
    if a.raw_leaves is not None and b.raw_leaves is not None and a.raw_leaves != b.raw_leaves:
        option = f"--raw-leaves={str(b.raw_leaves).lower()}"
        yield Difference("raw leaves", _yes(a.raw_leaves), _yes(b.raw_leaves), option)
    if a.kind == "file" and _conflict(a.chunk, b.chunk):
        option = f"--chunker=size-{b.chunk}" if isinstance(b.chunk, int) else ""
        yield Difference("chunk size", _chunk(a), _chunk(b), option)
    if a.width is not None and b.width is not None and _conflict(a.width, b.width):
        option = f"--max-file-links={b.width}" if isinstance(b.width, int) else ""
        yield Difference("links per node", str(a.width), str(b.width), option)
    if a.layout and b.layout and a.layout != b.layout:
        yield Difference("layout", a.layout, b.layout, "--trickle" if b.layout == "trickle" else "--trickle=false")
    if a.fanout is not None and b.fanout is not None and a.fanout != b.fanout:
        option = f"--max-hamt-fanout={b.fanout}" if a.fanout and b.fanout else ""
        yield Difference("directory", _directory(a.fanout), _directory(b.fanout), option)
    if a.metadata != b.metadata:
        option = "--preserve-mode --preserve-mtime" if b.metadata else ""
        yield Difference("mode or mtime", _yes(a.metadata), _yes(b.metadata), option)


def _yes(answer: bool) -> str:
    return "yes" if answer else "no"


def _chunk(shape: Shape) -> str:
    return "by content (rabin, buzhash)" if shape.chunk is None else f"{shape.chunk} bytes"


def _directory(fanout: int) -> str:
    return f"sharded (HAMT, fanout {fanout})" if fanout else "basic"
