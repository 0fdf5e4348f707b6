"""One line of a denylist as a rule.

::

    /ipfs/CID   /ipfs/CID/path   /ipfs/CID/path*   /ipfs/CID/*      content, by its multihash
    /ipns/NAME  and the same below it                              a key or a domain
    //MULTIHASH   //HEX                                            the hash of one of these
    !RULE                                                          is allowed, whatever earlier rules say
    RULE reason:phishing case=12                                   hints

Spec: https://specs.ipfs.tech/compact-denylist-format/#block-item
"""

from enum import Enum
from typing import NamedTuple
from urllib.parse import unquote

from cidery.errors import InvalidInput
from cidery.multiformats.cid import CID, CIDError
from cidery.multiformats.multibase import MultibaseError, decode_base58btc
from cidery.multiformats.multihash import IDENTITY, SHA2_256, MultihashError, decode_multihash, hash_function

MAX_LINE = 2 * 1024 * 1024
"""Longest line in bytes, with its end ("Lines should not be longer than 2MiB")."""
MAX_HINTS = 16
"""Hints of a rule that are kept; further ones are ignored."""
MAX_HINT = 256
"""Characters kept of a hint's name, and of its value."""
HEX_DIGEST = 64
"""Digits of a SHA-256 digest."""


class BadRule(InvalidInput):
    """A line that is no rule."""

    def __init__(self, line: str, reason: str) -> None:
        super().__init__(line, reason)
        self.line = line
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.line[:80]!r} is no rule: {self.reason}"


class Kind(Enum):
    """What a rule is about."""

    CONTENT = "ipfs"
    NAME = "ipns"
    DOUBLE = "double hash"


class Rule(NamedTuple):
    """A rule. For DOUBLE, ``root`` is the digest and ``function`` its hash function."""

    kind: Kind
    root: bytes
    """Multihash of the content or key; the name in lower case for a domain."""
    path: str = ""
    """Unescaped, without slashes at its ends."""
    prefix: bool = False
    """Whether the path, and all that begin so, are meant."""
    function: int = 0
    old: bool = False
    """Whether it is a double hash in the older form: of CIDv1/PATH."""
    allow: bool = False
    hints: tuple[tuple[str, str], ...] = ()


def parse_line(line: str) -> Rule | None:
    """The rule of a line; None for an empty one and a comment. Raises BadRule only (fuzzed)."""
    words = line.split()
    if not words or line.startswith("#"):
        return None
    text = words[0]
    # "!" is the specification's sign; lists made for its first implementation have "+" and "-" too
    allow = text[0] in "!+-"
    rule = text[1:] if allow else text
    if rule.startswith("//"):
        return _double(line, rule[2:])._replace(allow=allow, hints=_hints(words[1:]))
    root, path, kind = _root_and_path(line, rule)
    prefix = path.endswith("*")
    # "/ipfs/CID/path and /ipfs/CID/path/ are equivalent", and so are ab* and ab/*
    path = unquote(path.removesuffix("*").strip("/"), errors="surrogateescape")
    return Rule(kind, root, path, prefix, allow=allow, hints=_hints(words[1:]))


def name_key(name: str) -> bytes:
    """The key of an IPNS name: the multihash of a CID or peer id; a domain in lower case."""
    try:
        return CID.parse(name).multihash
    except CIDError:
        pass  # a peer id in its old form, or a domain
    if "." not in name:
        try:
            raw = decode_base58btc(name)
            found, end = decode_multihash(raw)
            if end == len(raw) and found.code in (IDENTITY, SHA2_256):
                return raw
        except (MultibaseError, MultihashError):
            pass  # a domain without dots
    return name.lower().rstrip(".").encode("utf-8", "surrogateescape")


def _root_and_path(line: str, rule: str) -> tuple[bytes, str, Kind]:
    for namespace in ("/ipfs/", "/ipld/"):
        if rule.startswith(namespace):
            root, _, path = rule.removeprefix(namespace).partition("/")
            try:
                return CID.parse(root).multihash, path, Kind.CONTENT
            except CIDError as exc:
                raise BadRule(line, exc.reason) from exc
    if rule.startswith("/ipns/"):
        name, _, path = rule.removeprefix("/ipns/").partition("/")
        if not name or "*" in name:
            raise BadRule(line, "it has no name")
        return name_key(unquote(name)), path, Kind.NAME
    if rule.startswith("/mime/"):
        raise BadRule(line, "rules by media type are not in the specification")
    raise BadRule(line, "it begins neither with /ipfs/, /ipns/ nor //")


def _double(line: str, text: str) -> Rule:
    """A multihash in base58btc, or the older SHA-256 in hexadecimal digits."""
    if len(text) == HEX_DIGEST:
        try:
            return Rule(Kind.DOUBLE, bytes.fromhex(text), function=SHA2_256, old=True)
        except ValueError:
            pass  # then it is base58btc
    try:
        raw = decode_base58btc(text)
        found, end = decode_multihash(raw)
        if end != len(raw) or found.code == IDENTITY or len(found.digest) != hash_function(found.code)[1]:
            raise BadRule(line, "it is no multihash of a hash function")
    except (MultibaseError, MultihashError) as exc:
        raise BadRule(line, f"neither a multihash in base58btc nor {HEX_DIGEST} hexadecimal digits") from exc
    return Rule(Kind.DOUBLE, found.digest, function=found.code)


def _hints(words: list[str]) -> tuple[tuple[str, str], ...]:
    """``name:value``, or ``name=value`` as the first implementation has it; the last of a name counts."""
    found: dict[str, str] = {}
    for word in words:
        at = min((at for at in (word.find(":"), word.find("=")) if at > 0), default=0)
        if at and len(found) < MAX_HINTS:
            found[word[:at][:MAX_HINT]] = word[at + 1 :][:MAX_HINT]
    return tuple(found.items())
