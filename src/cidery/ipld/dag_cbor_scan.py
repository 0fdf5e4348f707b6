"""The links of a DAG-CBOR block, found in small steps and without building its value.

A walk needs only the links, and must not stop where other implementations continue: this accepts every well-formed CBOR
item, even with text that is not UTF-8 (much of Filecoin's chain), unordered keys, longer heads, short floats,
indefinite lengths or other tags. For input that dag_cbor.decode() accepts, the links are the same, which a property
test checks.

Spec: https://www.rfc-editor.org/rfc/rfc8949
"""

from collections.abc import Generator

from cidery.ipld.dag_cbor import DagCborError
from cidery.ipld.data_model import MAX_LINKS, MAX_NESTING
from cidery.multiformats.cid import CID, CIDError

STEP = 1024
"""Values between two pauses."""
Paths = list[tuple[CID, tuple[object, ...]]]
"""Target, and the keys and positions that lead to it."""
_UNSIGNED, _NEGATIVE, _BYTES, _TEXT, _LIST, _MAP, _TAG = range(7)
_LINK_TAG = 42
MAX_TAGS = 64
"""Most tags of one value: they are skipped without a pause."""
MAX_PIECES = 64
"""Most pieces of a map key or link of indefinite length."""
_INDEFINITE = 31
_BREAK = 0xFF
_USUAL_LINK = b"\xd8\x2a\x58\x25\x00"
_USUAL_LINK_SIZE = len(_USUAL_LINK) + 36


class _Passed:
    """A list or map whose entries are skipped."""

    __slots__ = ("count", "is_map", "key", "left")

    def __init__(self, is_map: bool, left: int) -> None:
        self.is_map = is_map
        self.left = left
        """Remaining entries; below 0: up to a break."""
        self.count = 0
        self.key = ""

    @property
    def name(self) -> object:
        """The key or position of the current entry."""
        return self.key if self.is_map else self.count


def scan(buf: bytes, *, bounded: bool = True) -> Generator[None, None, Paths]:
    """Links in the block's order, with the path to each; pauses every STEP values, about a millisecond.

    Args:
        bounded: refuse more than MAX_LINKS, and nesting over MAX_NESTING. False: for callers that must not miss a link.
    Memory: the links. Raises DagCborError, nothing else (fuzzed).
    """
    try:
        found, at = yield from _Scan(buf, bounded).run()
    except IndexError as exc:
        raise DagCborError("truncated", len(buf)) from exc
    if at != len(buf):
        raise DagCborError("more than one value", at)
    return found


class _Scan:
    """One pass through a block."""

    def __init__(self, buf: bytes, bounded: bool) -> None:
        self.buf = buf
        self.bounded = bounded
        self.found: Paths = []
        self.stack: list[_Passed] = []

    def run(self) -> Generator[None, None, tuple[Paths, int]]:
        buf, stack = self.buf, self.stack
        at = values = 0
        while True:
            values += 1
            if values % STEP == 0:
                yield
            here = stack[-1] if stack else None
            if here is not None and here.left < 0 and buf[at] == _BREAK:
                stack.pop()
                at += 1
            else:
                if here is not None and here.is_map:
                    at = self._key(at, here)
                at, opened = self._value(at)
                if opened is not None:
                    stack.append(opened)
                    continue
            while stack:
                here = stack[-1]
                here.count += 1
                here.left -= 1
                if here.left:
                    break
                stack.pop()
            if not stack:
                return self.found, at

    def _value(self, at: int) -> tuple[int, _Passed | None]:
        """The offset after a value, or after the head of one that has entries."""
        buf = self.buf
        head = buf[at]
        if head < 0x18:
            return at + 1, None
        if head == 0xD8 and buf.startswith(_USUAL_LINK, at):
            end = at + _USUAL_LINK_SIZE
            self._link(buf[at + len(_USUAL_LINK) : end], at)
            return end, None
        if head >> 5 == _TAG:
            at, is_link = self._tags(at)
            if is_link:
                raw, end = self._string(at, _BYTES)
                if raw[:1] != b"\x00":
                    raise DagCborError("a link without the leading zero byte", at)
                self._link(raw[1:], at)
                return end, None
            head = buf[at]
        major = head >> 5
        count, start = self._head(at)
        if major in (_LIST, _MAP) or (count < 0 and major in (_BYTES, _TEXT)):  # the latter is a list of pieces
            if count * (2 if major == _MAP else 1) > len(buf) - start:
                raise DagCborError(f"{count} entries in {len(buf) - start} bytes", at)
            if count and self.bounded and len(self.stack) >= MAX_NESTING:
                raise DagCborError(f"nested deeper than {MAX_NESTING}", at)
            return start, _Passed(major == _MAP, count) if count else None
        if major in (_BYTES, _TEXT):
            return self._end(at, start, count), None
        if count < 0:
            raise DagCborError("a length that is not one", at)
        return start, None

    def _tags(self, at: int) -> tuple[int, bool]:
        """The offset after the tags of a value, and whether the last one marks a link."""
        for _ in range(MAX_TAGS):
            if self.buf[at] >> 5 != _TAG:
                return at, False
            tag, at = self._head(at)
            if tag == _LINK_TAG:
                return at, True
        raise DagCborError(f"more than {MAX_TAGS} tags", at)

    def _link(self, raw: bytes, at: int) -> None:
        try:
            cid = CID.decode(raw)
        except CIDError as exc:
            raise DagCborError(f"a link that is no CID ({exc.reason})", at) from exc
        self.found.append((cid, tuple([one.name for one in self.stack])))
        if self.bounded and len(self.found) > MAX_LINKS:
            raise DagCborError(f"more than {MAX_LINKS} links", at)

    def _key(self, at: int, here: _Passed) -> int:
        major = self.buf[at] >> 5
        if major == _TEXT or major == _BYTES:
            raw, end = self._string(at, major)
            here.key = raw.decode("utf-8", "replace")
            return end
        if major not in (_UNSIGNED, _NEGATIVE):
            raise DagCborError("a map key that is not text", at)
        number, end = self._head(at)
        here.key = str(number if major == _UNSIGNED else -1 - number)
        return end

    def _string(self, at: int, major: int) -> tuple[bytes, int]:
        if self.buf[at] >> 5 != major:
            raise DagCborError("not the string that has to be here", at)
        size, start = self._head(at)
        if size >= 0:
            end = self._end(at, start, size)
            return self.buf[start:end], end
        pieces: list[bytes] = []
        while self.buf[start] != _BREAK:
            if self.buf[start] == major << 5 | _INDEFINITE or len(pieces) >= MAX_PIECES:
                raise DagCborError("a string in too many pieces", start)
            piece, start = self._string(start, major)
            pieces.append(piece)
        return b"".join(pieces), start + 1

    def _end(self, at: int, start: int, size: int) -> int:
        if start + size > len(self.buf):
            raise DagCborError(f"a string of {size} bytes, {len(self.buf) - start} are there", at)
        return start + size

    def _head(self, at: int) -> tuple[int, int]:
        """The argument of the head at ``at``, -1 for an indefinite length, and the offset after it."""
        info = self.buf[at] & 0x1F
        if info < 24:
            return info, at + 1
        if info == _INDEFINITE:
            return -1, at + 1
        if info > 27:
            raise DagCborError("a reserved length", at)
        end = at + 1 + (1 << (info - 24))
        if end > len(self.buf):
            raise DagCborError("truncated", at)
        return int.from_bytes(self.buf[at + 1 : end], "big"), end
