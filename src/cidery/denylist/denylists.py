"""All lists in force, as one judge: is this block, path or name denied, and by which rule of which list?

Later lists override earlier ones, and in a list later rules override earlier ones.

Spec: https://specs.ipfs.tech/compact-denylist-format/
"""

from collections.abc import Sequence
from functools import cache
from hashlib import sha256
from typing import NamedTuple

from cidery.denylist.index import KEY
from cidery.denylist.rule_list import Found, RuleList, block_key, double_key, path_key
from cidery.denylist.rules import Kind, name_key
from cidery.errors import NotFound
from cidery.multiformats.cid import CID
from cidery.multiformats.multibase import encode_base58btc
from cidery.multiformats.multicodec import DAG_PB, LIBP2P_KEY, RAW
from cidery.multiformats.multihash import hash_function

STATUSES = ("410", "451")
"""Statuses that the hint gateway_status may ask for; others are answered by the first."""
SAME_BYTES = (DAG_PB, RAW)
"""Codecs by which the bytes of a block can be asked for, whatever the codec is by which an old hash was made."""


REMEMBERED = 8192
"""Judgements on blocks that are kept: a session asks for each more than once, and a gateway for some all the time."""
_DIGITS = "abcdefghijklmnopqrstuvwxyz234567"


class Denied(NotFound):
    """Content or a name that the operator of this node denies."""

    def __init__(self, what: str, match: "Match") -> None:
        super().__init__(what, match)
        self.what = what
        self.match = match

    @property
    def status(self) -> int:
        """For an answer over HTTP: 410, or 451 if the rule says so."""
        asked = dict(self.match.hints).get("gateway_status", "")
        return int(asked if asked in STATUSES else STATUSES[0])

    def __str__(self) -> str:
        hints = dict(self.match.hints)
        reason = hints.get("reason", "")
        said = f" ({reason[:200]})" if reason else ""
        return f"{self.what[:200]} is denied on this node by the list {self.match.title[:80]!r}{said}"


class Match(NamedTuple):
    """The rule that denies."""

    source: str
    """Path of the list's file."""
    title: str
    """The list's name for others."""
    position: int
    """Where the rule begins in the file, in bytes."""
    hints: tuple[tuple[str, str], ...]


class Denylists:
    """The lists in force; empty: nothing is denied, and nobody needs to ask. Replaced while the node runs."""

    def __init__(self) -> None:
        self.lists: tuple[RuleList, ...] = ()
        """In the order of their names: later ones override earlier ones."""
        self.refused = 0
        """Times that Denied was raised."""
        self._known: dict[bytes, Match | None] = {}
        """What was judged lately."""
        self._functions: tuple[int, ...] = ()
        self._old_hashes = self._hashes = False

    def use(self, lists: Sequence[RuleList]) -> None:
        """From now on these."""
        self._functions = tuple(sorted(set().union(*(one.functions for one in lists))))
        self._old_hashes = any(one.old_hashes for one in lists)
        self._hashes = self._old_hashes or bool(self._functions)
        self.lists = tuple(lists)
        self._known = {}  # a new one: what is judged by the old lists meanwhile goes into the old one

    def block(self, cid: CID) -> Match | None:
        """Whether a block is denied, by whatever CID its bytes are named.

        Costs 1.5 us, with double hashes 9; 0.2 us if it was asked lately.
        """
        known, name = self._known, cid.encode()
        try:
            return known[name]
        except KeyError:
            match = self._judge(cid)
        if len(known) >= REMEMBERED:
            known.clear()
        known[name] = match
        return match

    def _judge(self, cid: CID) -> Match | None:
        key, doubles = block_key(cid.multihash), self._block_doubles(cid) if self._hashes else ()
        for one in reversed(self.lists):
            if (found := one.find_block(key, doubles)) is not None:
                return _match(one, found)
        return None

    def path(self, root: CID, segments: Sequence[str]) -> Match | None:
        """Whether a path of content is denied, be it by its root."""
        match = self.block(root)
        if match is not None or not segments:
            return match
        path = "/".join(segments)
        doubles = self._doubles(root.multihash, _texts(root), f"/{path}", f"/{path}") if self._hashes else ()
        return self._path(Kind.CONTENT, root.multihash, path, doubles)

    def name(self, name: str, path: str = "") -> Match | None:
        """Whether an IPNS name, or a path below it, is denied before it is resolved."""
        root, path = name_key(name), path.strip("/")
        domain = name.lower().rstrip(".")
        is_domain = root == domain.encode("utf-8", "surrogateescape")
        modern: bytes | str = f"/ipns/{domain}" if is_domain else root
        old = [domain if is_domain else str(CID(1, LIBP2P_KEY, root))]
        doubles = self._doubles(modern, old, "", "/")
        if path:
            doubles += self._doubles(modern, old, f"/{path}", f"/{path}")
        return self._path(Kind.NAME, root, path, doubles)

    def refuse_block(self, cid: CID) -> None:
        """Raises Denied."""
        self._refuse(self.block(cid), cid)

    def refuse_path(self, namespace: str, root: CID, segments: Sequence[str]) -> None:
        """Raises Denied."""
        match = self.path(root, segments)
        if match is not None:
            self._refuse(match, "/".join(("", namespace, str(root), *segments)))

    def refuse_name(self, name: str, path: str = "") -> None:
        """Raises Denied."""
        self._refuse(self.name(name, path), f"/ipns/{name}" + (f"/{path}" if path else ""))

    # --- inside

    def _refuse(self, match: Match | None, what: object) -> None:
        if match is not None:
            self.refused += 1
            raise Denied(str(what), match)

    def _path(self, kind: Kind, root: bytes, path: str, doubles: Sequence[bytes]) -> Match | None:
        keys = [path_key(kind, root, path), path_key(kind, root, "", below=True)]
        if kind is Kind.NAME and path:  # what is not resolved has nothing below it
            keys.append(path_key(kind, root, ""))
        for one in reversed(self.lists):
            if (found := one.find_path(kind, root, path, keys, doubles)) is not None:
                return _match(one, found)
        return None

    def _block_doubles(self, cid: CID) -> list[bytes]:
        return self._doubles(cid.multihash, _texts(cid) if self._old_hashes else (), "", "/")

    def _doubles(self, modern: bytes | str, old: Sequence[str], below: str, below_old: str) -> list[bytes]:
        """The keys of ``modern`` (a multihash, or text) by every hash function of the lists, and of the older form."""
        keys: list[bytes] = []
        if self._functions:
            text = modern if isinstance(modern, str) else encode_base58btc(modern)
            data = (text + below).encode("utf-8", "surrogateescape")
            keys = [double_key(code, hash_function(code)[2](data)) for code in self._functions]
        if self._old_hashes:
            keys += [sha256((text + below_old).encode("utf-8", "surrogateescape")).digest()[:KEY] for text in old]
        return keys


def _texts(cid: CID) -> list[str]:
    """The CID as old double hashes have it (version 1, base32), and the other CIDs of the same bytes."""
    mh, codec = cid.multihash, cid.codec
    if len(mh) != USUAL or codec >= 0x80:
        return [str(CID(1, one, mh)) for one in dict.fromkeys((codec, *SAME_BYTES))]
    tail = _tail(mh)
    return [head + tail for head in _heads(codec, mh[0] >> 4)]


USUAL = 34
"""Bytes of a sha2-256 multihash."""


@cache
def _heads(codec: int, following: int) -> tuple[str, ...]:
    """The first five characters of the CIDs: the base, version and codec, and half a byte more."""
    bits = [1 << 12 | one << 4 | following for one in dict.fromkeys((codec, *SAME_BYTES))]
    return tuple("b" + "".join(_DIGITS[one >> shift & 31] for shift in (15, 10, 5, 0)) for one in bits)


@cache
def _triples() -> list[str]:
    """Three digits of base32 for each number of 15 bits."""
    return [a + b + c for a in _DIGITS for b in _DIGITS for c in _DIGITS]


def _tail(multihash: bytes) -> str:
    """The other 54 characters, in half the time of base64.b32encode()."""
    number, three = int.from_bytes(multihash) << 2, _triples()  # 274 bits, of which the first four are in the head
    found: list[str] = []
    for shift in (210, 150, 90, 30):
        part = number >> shift & 0xFFF_FFFF_FFFF_FFFF
        found += (three[part >> 45], three[part >> 30 & 32767], three[part >> 15 & 32767], three[part & 32767])
    return "".join((*found, three[number >> 15 & 32767], three[number & 32767]))


def _match(one: RuleList, found: Found) -> Match | None:
    return None if found.allow else Match(one.source, one.title, found.position, found.hints)
