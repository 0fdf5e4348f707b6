"""The file ``_redirects`` at the root of a site: where paths lead that the site does not have. Pure.

::

    # comment
    /old/*      /new/:splat           301
    /posts/:id  /blog/:id.html        200
    /*          /index.html           200

Spec: https://specs.ipfs.tech/http-gateways/web-redirects-file/
"""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import quote, unquote, urlsplit

from cidery.errors import IntegrityError
from cidery.multiformats.varint import Buffer

NAME = "_redirects"
MAX_BYTES = 64 * 1024
"""Largest file: "the file size MUST NOT exceed 64 KiB"."""
MAX_SEGMENTS = 256
"""Most names of a path that rules are compared with: more match nothing."""
STATUSES = (200, 301, 302, 303, 307, 308, 404, 410, 451)
_PLACEHOLDER = re.compile(r":([A-Za-z][A-Za-z0-9_]*)")
_SAFE = "/!$&'()*+,;=:@-._~"


class BadRedirects(IntegrityError):
    """A file that does not follow the format."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"could not parse _redirects: {self.reason}"


class Rule(NamedTuple):
    """One line."""

    source: tuple[str, ...]
    """Names of a path; ``:name`` stands for one of any text, a final ``*`` for all that follow."""
    target: str
    status: int


class Redirect(NamedTuple):
    """What a rule makes of a path."""

    target: str
    """A path from the root of the site, or a URL; escaped."""
    status: int


def parse_redirects(data: Buffer) -> list[Rule]:
    """The rules in order. Raises BadRedirects only (fuzzed)."""
    if len(data) > MAX_BYTES:
        raise BadRedirects(f"redirects file size cannot exceed {MAX_BYTES} bytes")
    try:
        text = str(bytes(data), "utf-8")
    except UnicodeDecodeError as exc:
        raise BadRedirects("it is not UTF-8 text") from exc
    rules = []
    for number, line in enumerate(text.split("\n"), 1):
        words = _without_comment(line)
        if words:
            rules.append(_rule(words, number))
    return rules


def _without_comment(line: str) -> list[str]:
    words = line.split()
    at = next((at for at, word in enumerate(words) if word.startswith("#")), len(words))
    return words[:at]


def _rule(words: list[str], number: int) -> Rule:
    if len(words) not in (2, 3):
        raise BadRedirects(f"line {number} is not of the form: from to [status]")
    source, target = words[0], quote(words[1], safe=f"{_SAFE}%?#[]")
    if not source.startswith("/"):
        raise BadRedirects(f"line {number}: {source[:80]!r} does not begin with /")
    status = 301
    if len(words) == 3:
        if not words[2].isascii() or not words[2].isdigit() or int(words[2][:4]) not in STATUSES:
            raise BadRedirects(f"line {number}: status {words[2][:20]} is none of {', '.join(map(str, STATUSES))}")
        status = int(words[2])
    names = _names(source)
    if any("*" in name for name in names[:-1]) or (names and "*" in names[-1] and names[-1] != "*"):
        raise BadRedirects(f"line {number}: * may only be the last name of a path")
    if target.startswith("//"):
        raise BadRedirects(f"line {number}: {target[:80]!r} names a host; write https:// before it, or one slash")
    if not target.startswith("/"):
        try:
            parts = urlsplit(target)
        except ValueError as exc:
            raise BadRedirects(f"line {number}: {target[:80]!r} is not a URL") from exc
        if _PLACEHOLDER.search(parts.netloc):
            raise BadRedirects(f"line {number}: the host of {target[:80]!r} has to be the same for every path")
        if parts.scheme not in ("http", "https", "ipfs", "ipns") or not parts.netloc or status in (200, 404, 410, 451):
            raise BadRedirects(f"line {number}: {target[:80]!r} is neither a path nor a URL to redirect to")
    return Rule(names, target, status)


def _names(path: str) -> tuple[str, ...]:
    return tuple(unquote(name) for name in path.split("/") if name)


def find_redirect(rules: list[Rule], path: str) -> Redirect | None:
    """The first rule that matches ``path`` (unescaped, from the root of the site); None: none does."""
    names = tuple(name for name in path.split("/") if name)
    if len(names) > MAX_SEGMENTS:
        return None
    for rule in rules:
        values = _matching(rule.source, names)
        if values is not None:
            return Redirect(_filled(rule.target, values), rule.status)
    return None


def _matching(source: tuple[str, ...], names: tuple[str, ...]) -> dict[str, str] | None:
    values: dict[str, str] = {}
    for at, wanted in enumerate(source):
        if wanted == "*" and at == len(source) - 1:
            values["splat"] = "/".join(names[at:])
            return values
        if at >= len(names):
            return None
        if _PLACEHOLDER.fullmatch(wanted):
            if values.setdefault(wanted[1:], names[at]) != names[at]:
                return None
        elif wanted != names[at]:
            return None
    return values if len(source) == len(names) else None


def _filled(target: str, values: dict[str, str]) -> str:
    query = target.find("?")

    def text(found: re.Match[str]) -> str:
        if found[1] not in values:
            return found[0]
        in_query = 0 <= query < found.start()  # there a value is no further field
        return quote(values[found[1]], safe="/" if in_query else _SAFE)

    return _PLACEHOLDER.sub(text, target)


def with_query(target: str, query: str) -> str:
    """``target`` with the request's query: its fields come first, "user-provided query parameters win"."""
    if not query:
        return target
    base, hash_sign, fragment = target.partition("#")
    path, _, given = base.partition("?")
    taken = {field.partition("=")[0] for field in query.split("&")}
    kept = [field for field in given.split("&") if field and field.partition("=")[0] not in taken]
    return f"{path}?{'&'.join([query, *kept])}{hash_sign}{fragment}"
