"""The links of a DAG-JSON block, found in small steps and without building its value.

For input that dag_json.decode() accepts, the links are the same, which a property test checks. Since a walk must not
stop where other implementations continue, this also accepts keys in any order, blanks, numbers of any size and text
that is not UTF-8. A hostile block of 2 MiB keeps the standard parser busy for seconds without interruption; this one
pauses.
"""

import json
import re
from collections.abc import Generator
from typing import Any

from cidery.ipld.data_model import MAX_LINKS, MAX_NESTING
from cidery.ipld.json_codec import JsonError, is_unicode
from cidery.multiformats.cid import CID, CIDError

CODEC = "dag-json"
STEP = 1024
"""Tokens between two pauses: about 1 ms."""
Paths = list[tuple[CID, tuple[object, ...]]]
"""Target, and the keys and positions that lead to it."""

_TOKEN = re.compile(
    r"[ \t\n\r]*(?:"
    r"([\[\]{}:,])"
    r'|("(?:[^"\\\x00-\x1f]++|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*+")'  # possessive: an open string fails at once
    r"|-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?"
    r"|true|false|null"
    r")"
)
_PUNCTUATION, _STRING = 1, 2
_BLANK = re.compile(r"[ \t\n\r]*")
_VALUE, _FIRST_KEY, _KEY, _COLON, _AFTER, _FIRST_ITEM, _END = range(7)
"""The tokens that may come next."""
_PLAIN = object()
"""A value that is neither text nor map; also a link, or bytes."""


class _Map:
    """An open map, or the summary of a closed one."""

    __slots__ = ("count", "data", "key", "slash")

    def __init__(self) -> None:
        self.count = 0
        self.key = ""
        self.slash: Any = None
        """The value of "/": text, a _Map, or _PLAIN."""
        self.data: str | None = None
        """The value of "bytes", if it is text."""

    def take_key(self, key: str) -> None:
        self.count += 1
        self.key = key

    def take_value(self, value: Any) -> None:
        if self.key == "/":
            self.slash = value
        elif self.key == "bytes" and isinstance(value, str):
            self.data = value

    def closed(self) -> Any:
        """Itself, the CID that it stands for, or _PLAIN if it stands for bytes. Raises JsonError."""
        if isinstance(self.slash, str):
            if self.count > 1:
                raise JsonError(CODEC, 'a link with keys other than "/"')
            try:
                return CID.parse(self.slash)
            except CIDError as exc:
                raise JsonError(CODEC, f"a link that is no CID ({exc.reason})") from exc
        if isinstance(self.slash, _Map) and self.slash.data is not None:
            if self.count > 1 or self.slash.count > 1:
                raise JsonError(CODEC, 'bytes with keys other than "bytes"')
            return _PLAIN
        self.slash = None  # an outer map needs only ``data`` and ``count``
        return self


def scan(block: bytes, *, bounded: bool = True) -> Generator[None, None, Paths]:
    """The links in the block's order; pauses every STEP tokens. Memory: the text and the links.

    Args:
        bounded: refuse more than MAX_LINKS, and nesting over MAX_NESTING. False: for callers that must not miss a link.
    Raises JsonError, nothing else (fuzzed).
    """
    return (yield from _Scan(block.decode("utf-8", "replace"), bounded).run())


class _Scan:
    """One pass through a text."""

    def __init__(self, text: str, bounded: bool) -> None:
        self.text = text
        self.bounded = bounded
        self.found: Paths = []
        self.stack: list[_Map | list[int]] = []
        """Open maps, and for open lists the position of the current item."""

    def run(self) -> Generator[None, None, Paths]:
        match, text = _TOKEN.match, self.text
        at, state, count = 0, _VALUE, 0
        while state != _END:
            token = match(text, at)
            if token is None:
                raise JsonError(CODEC, f"something unexpected at character {at}")
            at = token.end()
            state = self._take(token, state)
            count += 1
            if count % STEP == 0:
                yield
        blank = _BLANK.match(text, at)
        if blank is None or blank.end() != len(text):
            raise JsonError(CODEC, f"more than one value at character {at}")
        return self.found

    def _take(self, token: "re.Match[str]", state: int) -> int:
        mark = token[_PUNCTUATION]
        if mark is None:
            string = token[_STRING]
            if string is not None and state in (_KEY, _FIRST_KEY):
                here = self.stack[-1]
                assert isinstance(here, _Map)  # keys are awaited in maps only
                here.take_key(_text(string))
                return _COLON
            if state not in (_VALUE, _FIRST_ITEM):
                raise self._unexpected(token)
            return self._value(_PLAIN if string is None else _text(string))
        if mark == ":" and state == _COLON:
            return _VALUE
        if mark == "," and state == _AFTER:
            here = self.stack[-1]
            if isinstance(here, _Map):
                return _KEY
            here[0] += 1
            return _VALUE
        if mark in "[{" and state in (_VALUE, _FIRST_ITEM):
            if self.bounded and len(self.stack) >= MAX_NESTING:
                raise JsonError(CODEC, f"nested deeper than {MAX_NESTING}")
            self.stack.append([0] if mark == "[" else _Map())
            return _FIRST_ITEM if mark == "[" else _FIRST_KEY
        if mark == "]" and state in (_AFTER, _FIRST_ITEM) and isinstance(self.stack[-1], list):
            self.stack.pop()
            return self._value(_PLAIN)
        if mark == "}" and state in (_AFTER, _FIRST_KEY):
            here = self.stack[-1]
            if isinstance(here, _Map):
                self.stack.pop()
                return self._value(here.closed())
        raise self._unexpected(token)

    def _value(self, value: Any) -> int:
        """A value is complete."""
        if isinstance(value, CID):
            self.found.append((value, tuple(one.key if isinstance(one, _Map) else one[0] for one in self.stack)))
            if self.bounded and len(self.found) > MAX_LINKS:
                raise JsonError(CODEC, f"more than {MAX_LINKS} links")
            value = _PLAIN
        if not self.stack:
            return _END
        here = self.stack[-1]
        if isinstance(here, _Map):
            here.take_value(value)
        return _AFTER

    def _unexpected(self, token: "re.Match[str]") -> JsonError:
        return JsonError(CODEC, f"something unexpected before character {token.end()}")


def _text(token: str) -> str:
    if "\\" not in token:
        return token[1:-1]
    text: str = json.loads(token)
    return text if is_unicode(text) else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
