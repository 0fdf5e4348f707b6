"""The rules of one file, indexed. They are added as the file is read, and found by the keys of a question.

Spec: https://specs.ipfs.tech/compact-denylist-format/#block-item
"""

import hashlib
import struct
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import PurePath
from typing import NamedTuple

from cidery.budgets import DENY_PREFIXES, DENY_RULES
from cidery.denylist.header import Header
from cidery.denylist.index import KEY, MAX_POSITION, Entry, RuleIndex
from cidery.denylist.rules import BadRule, Kind, Rule, parse_line
from cidery.errors import LimitExceeded
from cidery.multiformats.multihash import SHA2_256, SHA2_256_PREFIX
from cidery.multiformats.varint import encode_uvarint

MAX_HINT_SETS = (1 << 16) - 1
"""Different sets of hints in a list; rules with further ones have those of the header."""
SHOWN_ERRORS = 16
"""Lines that are no rules, of which a list knows the text."""
_BASE32 = bytes.maketrans(
    bytes(range(256)),
    bytes(
        b"0123456789abcdefghijklmnopqrstuv"[b"abcdefghijklmnopqrstuvwxyz234567".index(code)]
        if code in b"abcdefghijklmnopqrstuvwxyz234567"
        else 0x21
        for code in range(256)
    ),
)
_USUAL = frozenset((b"\x01\x70\x12\x20", b"\x01\x55\x12\x20"))
_USUAL_LINE = len("/ipfs/") + 59
_OLD_LINE = len("/ipfs/") + 46
_HEX_LINE = len("//") + 64


class TooManyRules(LimitExceeded):
    """A list of more rules than are held."""

    def __init__(self, most: int, unit: str) -> None:
        super().__init__(most, unit)
        self.most = most
        self.unit = unit

    def __str__(self) -> str:
        return f"it has more than {self.most:,} {self.unit}"


class BadLine(NamedTuple):
    """A line that is no rule: it has no effect."""

    position: int
    """Bytes from the start of the file."""
    reason: str


class Found(NamedTuple):
    """The rule that decides in one list."""

    position: int
    allow: bool
    hints: tuple[tuple[str, str], ...]


def hash_key(data: bytes) -> bytes:
    """The key of anything that is no hash yet."""
    return hashlib.blake2b(data, digest_size=KEY).digest()


def block_key(multihash: bytes) -> bytes:
    """The key of a block, whatever its CID."""
    return multihash[2 : 2 + KEY] if multihash[:2] == SHA2_256_PREFIX else hash_key(multihash)


def double_key(function: int, digest: bytes) -> bytes:
    """The key of a double hash."""
    return digest[:KEY] if function == SHA2_256 else hash_key(encode_uvarint(function) + digest)


def path_key(kind: Kind, root: bytes, path: str, *, below: bool = False) -> bytes:
    """The key of a path below content or a name; ``below``: of all of them."""
    sign = b"*" if below else b"="
    return hash_key(kind.value.encode() + sign + root + b"\0" + path.encode("utf-8", "surrogateescape"))


class RuleList:
    """One list. add_lines() and seal() by one thread at a time; find_*() by any."""

    def __init__(self, source: str, header: Header) -> None:
        """``source``: the path of its file."""
        self.source = source
        self.header = header
        self.rules = self.bad_lines = 0
        self.errors: list[BadLine] = []
        """The first of the bad lines."""
        self.functions: set[int] = set()
        """Hash functions of its double hashes in base58btc: what is looked up must be hashed by each."""
        self.old_hashes = False
        """Whether it has double hashes in the older form, of SHA-256 in hexadecimal digits."""
        self._blocks, self._paths, self._doubles = RuleIndex(), RuleIndex(), RuleIndex()
        self._prefixes: dict[bytes, list[tuple[str, Entry]]] = {}
        self._prefix_rules = 0
        self._hints: list[tuple[tuple[str, str], ...]] = [header.hints]
        self._hint_numbers: dict[tuple[tuple[str, str], ...], int] = {(): 0}

    @property
    def title(self) -> str:
        """How it is named to others: by its header, else by its file without the folder."""
        return self.header.name or PurePath(self.source).name

    def add_lines(self, lines: Iterable[bytes], position: int) -> int:
        """Add the rules of whole lines, without their ends; ``position``: of the first, in bytes. Returns the next.

        Costs some 2 us a line. Raises TooManyRules.
        """
        blocks, doubles, usual = self._blocks, self._doubles, _USUAL
        for line in lines:
            size = len(line)
            # the forms of which lists have a million, by what is enough for them
            if size == _USUAL_LINE and line[:7] == b"/ipfs/b":
                number = _number(line[7:])
                raw = (number >> 2).to_bytes(37)
                if not number & 3 and raw[1:5] in usual:
                    blocks.add_plain(raw[5 : 5 + KEY], position)
                    self.rules += 1
                    position += size + 1
                    continue
            elif size == _OLD_LINE and line[:8] == b"/ipfs/Qm" and (raw := _unbase58(line[6:])):
                blocks.add_plain(raw[2 : 2 + KEY], position)
                self.rules += 1
                position += size + 1
                continue
            elif size == _HEX_LINE and line[:2] == b"//" and (digest := _unhex(line[2:])):
                doubles.add_plain(digest[:KEY], position)
                self.old_hashes = True
                self.rules += 1
                position += size + 1
                continue
            if size:
                self._add_line(line, position)
            position += size + 1
        if self.rules > DENY_RULES.amount or position > MAX_POSITION:
            raise TooManyRules(DENY_RULES.amount, "rules")
        return position

    def seal(self) -> None:
        """The rules that were added are found from now on."""
        for index in (self._blocks, self._paths, self._doubles):
            index.seal()

    def find_block(self, key: bytes, doubles: Iterable[bytes]) -> Found | None:
        """The last rule about a block."""
        best = self._blocks.get(key)
        for double in doubles:
            if (entry := self._doubles.get(double)) is not None and (best is None or entry > best):
                best = entry
        return None if best is None else self._found(best)

    def find_path(
        self, kind: Kind, root: bytes, path: str, keys: Sequence[bytes], doubles: Iterable[bytes]
    ) -> Found | None:
        """The last rule about a path. ``keys``: those of path_key() that match it."""
        entries = [*map(self._paths.get, keys), *map(self._doubles.get, doubles)]
        if self._prefixes and (known := self._prefixes.get(path_key(kind, root, "", below=True))):
            entries += [entry for prefix, entry in known if path.startswith(prefix)]
        return self._last(entries)

    # --- inside

    def _add_line(self, line: bytes, position: int) -> None:
        try:
            rule = parse_line(line.decode("utf-8"))
        except (BadRule, UnicodeDecodeError) as exc:
            self.bad_lines += 1
            if len(self.errors) < SHOWN_ERRORS:
                self.errors.append(BadLine(position, str(exc) if isinstance(exc, BadRule) else "it is not UTF-8"))
            return
        if rule is not None:
            self._add(rule, Entry(position, rule.allow, self._hint_number(rule.hints)))
            self.rules += 1

    def _add(self, rule: Rule, entry: Entry) -> None:
        kind, root = rule.kind, rule.root
        if kind is Kind.DOUBLE:
            if rule.old:
                self.old_hashes = True
            else:
                self.functions.add(rule.function)
            self._doubles.add(double_key(rule.function, root), entry)
        elif rule.prefix and rule.path:
            self._prefix_rules += 1
            if self._prefix_rules > DENY_PREFIXES.amount:
                raise TooManyRules(DENY_PREFIXES.amount, "rules with a path and *")
            known = self._prefixes.setdefault(path_key(kind, root, "", below=True), [])
            known.append((rule.path, entry))
        elif rule.path:
            self._paths.add(path_key(kind, root, rule.path), entry)
        else:
            # "/ipfs/CID/* blocks the CID itself, and any paths"
            if rule.prefix:
                self._paths.add(path_key(kind, root, "", below=True), entry)
            if kind is Kind.CONTENT:
                self._blocks.add(block_key(root), entry)
            else:
                self._paths.add(path_key(kind, root, ""), entry)

    def _hint_number(self, hints: tuple[tuple[str, str], ...]) -> int:
        number = self._hint_numbers.get(hints)
        if number is None:
            if len(self._hints) >= MAX_HINT_SETS:
                return 0
            number = self._hint_numbers[hints] = len(self._hints)
            # "Local hint overrides a global one with the same key name."
            self._hints.append(tuple((dict(self.header.hints) | dict(hints)).items()))
        return number

    def _last(self, entries: Iterable[Entry | None]) -> Found | None:
        best = max((entry for entry in entries if entry is not None), default=None)
        return None if best is None else self._found(best)

    def _found(self, entry: Entry) -> Found:
        return Found(entry.position, entry.allow, self._hints[entry.hints])


def _number(digits: bytes) -> int:
    """The number that base32 text is; 1, which no CID is, for other text."""
    try:
        return int(digits.translate(_BASE32), 32)
    except ValueError:
        return 1


_BASE58 = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_split_pairs = struct.Struct("2s" * 23).unpack


@cache
def _pairs() -> dict[bytes, int]:
    return {bytes((a, b)): i * 58 + j for i, a in enumerate(_BASE58) for j, b in enumerate(_BASE58)}


def _unbase58(digits: bytes) -> bytes:
    """The sha2-256 multihash that 46 digits are; b"" for other text. By pairs, in a third of the time."""
    pairs = _pairs()
    try:
        values = [pairs[pair] for pair in _split_pairs(digits)]
    except KeyError:
        return b""
    number = 0
    for value in values:
        number = number * 3364 + value
    raw = number.to_bytes(35)  # as many bytes as any 46 digits are
    return raw[1:] if raw[:3] == b"\0" + SHA2_256_PREFIX else b""


def _unhex(digits: bytes) -> bytes:
    """b"" for other text; no character is passed over, as bytes.fromhex() passes over blanks."""
    try:
        digest = bytes.fromhex(digits.decode("ascii"))
    except ValueError:
        return b""
    return digest if len(digest) * 2 == len(digits) else b""
