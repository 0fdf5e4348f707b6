"""The links of git's objects, as blocks of the codec git-raw: the object with its header, not compressed.

Spec: https://git-scm.com/docs/gitformat-pack and https://ipld.io/specs/codecs/git/ ; the hash of a block is the one
that git itself names the object by, so links to other objects use the hash function of the block's own CID.
"""

from collections.abc import Generator

from cidery.ipld.data_model import CodecError
from cidery.multiformats.cid import CID
from cidery.multiformats.multicodec import GIT_RAW
from cidery.multiformats.multihash import SHA1, SHA2_256, Multihash
from cidery.multiformats.varint import encode_uvarint

_DIGESTS = {SHA1: 20, SHA2_256: 32}
"""Hash functions of git's repositories -> length of their digests, in bytes."""
STEP = 1024
"""Entries between two pauses: about 1 ms."""
MAX_LINES = 65_536
"""Most lines of a commit's head that are read: a merge of thousands has some thousand."""
Paths = list[tuple[CID, tuple[object, ...]]]
"""Target, and the names that lead to it."""
_MAX_HEADER = 32
"""Longest header: the type, a blank, a decimal size and a zero byte."""


class GitError(CodecError):
    """Bytes that are not a git object."""

    def __init__(self, reason: str) -> None:
        super().__init__("git-raw", reason)


def scan(cid: CID, block: bytes) -> Generator[None, None, Paths]:
    """The tree and parents of a commit, the entries of a tree, the object of a tag; pauses every STEP of them.

    Raises GitError, nothing else (fuzzed).
    """
    code = cid.decoded_multihash().code
    size = _DIGESTS.get(code)
    if size is None:
        raise GitError("its CID has a hash function that git does not use")
    end = block.find(b"\0", 0, _MAX_HEADER)
    kind, _, length = block[: max(end, 0)].partition(b" ")
    if not length.isdigit() or int(length) != len(block) - end - 1:
        raise GitError("no header of an object")
    body = block[end + 1 :]
    if kind == b"blob":
        return []
    if kind == b"tree":
        found = yield from _entries(body, size)
    elif kind in (b"commit", b"tag"):
        found = _named(body, size)
    else:
        raise GitError(f"an object of the type {kind.decode('ascii', 'replace')!r}")
    prefix = b"\x01" + encode_uvarint(GIT_RAW) + Multihash(code, bytes(size)).encode()[:-size]
    paths: Paths = []
    for start in range(0, len(found), STEP):
        paths += [(CID.decode(prefix + digest), names) for digest, names in found[start : start + STEP]]
        yield
    return paths


def _entries(body: bytes, size: int) -> Generator[None, None, list[tuple[bytes, tuple[object, ...]]]]:
    found: list[tuple[bytes, tuple[object, ...]]] = []
    at = 0
    while at < len(body):
        if len(found) % STEP == STEP - 1:
            yield
        end = body.find(b"\0", at)
        mode, blank, name = body[at : max(end, at)].partition(b" ")
        if not (mode.isdigit() and blank and name) or end + 1 + size > len(body):
            raise GitError(f"a tree with a broken entry at byte {at}")
        found.append((body[end + 1 : end + 1 + size], (name.decode("utf-8", "replace"),)))
        at = end + 1 + size
    return found


def _named(body: bytes, size: int) -> list[tuple[bytes, tuple[object, ...]]]:
    """The objects that the head of a commit or tag names; a merged tag lies inside the head of its merge."""
    found: list[tuple[bytes, tuple[object, ...]]] = []
    counts = {"parent": 0, "mergetag": 0}
    for line in body.partition(b"\n\n")[0].split(b"\n", MAX_LINES)[:MAX_LINES]:
        field, _, text = line.partition(b" ")
        name = field.decode("ascii", "replace")
        if name == "mergetag":
            text = text.removeprefix(b"object ")
        elif name not in ("tree", "parent", "object"):
            continue
        try:
            digest = bytes.fromhex(text.decode("ascii"))
        except ValueError as exc:
            raise GitError(f"a {name} that is no name of an object") from exc
        if len(digest) != size:
            raise GitError(f"a {name} that is no name of an object")
        if name in counts:
            found.append((digest, (f"{name}s", counts[name])))
            counts[name] += 1
        else:
            found.append((digest, (name,)))
    if not found:
        raise GitError("a commit or tag that names no object")
    return found
