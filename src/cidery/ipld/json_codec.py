"""Plain JSON as a codec: the data model without links and bytes, and the parts that DAG-JSON shares.

Spec: https://www.rfc-editor.org/rfc/rfc8259
"""

import json
import math
from collections.abc import Callable, Iterator
from typing import Any

from cidery.ipld.data_model import MAX_INT, MAX_NESTING, MIN_INT, CodecError, NotEncodable, Value, kind_of
from cidery.multiformats.cid import CID
from cidery.multiformats.varint import Buffer

MAX_DIGITS = 20
"""Longest integer, in digits: enough for 64 bits."""
Pairs = list[tuple[str, Value]]


class JsonError(CodecError):
    """Bytes that are not JSON, or hold values outside the data model."""


def parse(block: Buffer, codec: str, read_map: Callable[[Pairs], Value]) -> Value:
    """Parse a whole text, with each object made by ``read_map``. Raises JsonError and as ``read_map``."""
    try:
        text = bytes(block).decode()
    except UnicodeDecodeError as exc:
        raise JsonError(codec, f"text that is not UTF-8 at byte {exc.start}") from exc
    check_nesting(text, codec)

    def read_int(digits: str) -> int:
        if len(digits) > MAX_DIGITS + 1 or not MIN_INT <= int(digits) <= MAX_INT:
            raise JsonError(codec, f"the integer {digits[:24]} has more than 64 bits")
        return int(digits)

    def read_float(digits: str) -> float:
        number = float(digits)
        if not math.isfinite(number):
            raise JsonError(codec, f"the number {digits[:24]} is too large")
        return number

    def refuse(name: str) -> Value:
        raise JsonError(codec, f"{name} is not a number of the data model")

    try:
        found: Value = json.loads(
            text, object_pairs_hook=read_map, parse_int=read_int, parse_float=read_float, parse_constant=refuse
        )
    except json.JSONDecodeError as exc:
        raise JsonError(codec, f"{exc.msg} at character {exc.pos}") from exc
    except RecursionError as exc:
        raise JsonError(codec, f"nested deeper than {MAX_NESTING}") from exc
    if "\\u" in text:
        _check_text(found, codec)
    return found


def check_nesting(text: str, codec: str) -> None:
    """Check the depth before a recursive parser sees the text. Raises JsonError. O(len)."""
    if text.count("[") + text.count("{") <= MAX_NESTING:
        return
    depth = 0
    inside = escaped = False
    for char in text:
        if inside:
            if escaped:
                escaped = False
            elif char == "\\":
                escaped = True
            elif char == '"':
                inside = False
        elif char == '"':
            inside = True
        elif char in "[{":
            depth += 1
            if depth > MAX_NESTING:
                raise JsonError(codec, f"nested deeper than {MAX_NESTING}")
        elif char in "]}":
            depth -= 1


def _check_text(value: Value, codec: str) -> None:
    """JSON can escape half of a surrogate pair, which no Unicode text holds. Raises JsonError."""
    stack: list[Value] = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, dict):
            stack += [*item, *item.values()]
        elif isinstance(item, list):
            stack += item
        elif isinstance(item, str) and not is_unicode(item):
            raise JsonError(codec, "an escape that is half of a character")


def is_unicode(text: str) -> bool:
    """Whether text can be written as UTF-8: it has no lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def read_plain_map(pairs: Pairs, codec: str = "json") -> dict[str, Value]:
    """A map of pairs in their order. Raises JsonError for a repeated key."""
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise JsonError(codec, f"the key {key[:40]!r} twice")
            seen.add(key)
    return found


def decode(block: Buffer) -> Value:
    """Decode a plain JSON block. Raises JsonError, nothing else (fuzzed)."""
    return parse(block, "json", read_plain_map)


def encode(value: Value) -> bytes:
    """The compact form with keys in order. Raises NotEncodable for links and bytes, and as write()."""
    return write(value, "json", _no_form)


def _no_form(item: Value) -> str:
    raise NotEncodable("json", f"it has no {kind_of(item)}; use dag-json")


def write(
    value: Value,
    codec: str,
    special: Callable[[Value], str],
    check_map: Callable[[dict[str, Value]], None] = lambda item: None,
) -> bytes:
    """Compact JSON, keys in byte order, without recursion.

    Args:
        special: the text of links and bytes.
        check_map: raises for maps that would be read back as something else.
    Raises:
        NotEncodable: nesting over MAX_NESTING, keys that are not text, numbers and text outside the data model.
    """
    parts: list[str] = []
    stack: list[tuple[Iterator[tuple[str, Value]], str]] = [(iter((("", value),)), "")]
    while stack:
        items, end = stack[-1]
        for prefix, item in items:
            parts.append(prefix)
            if isinstance(item, dict):
                check_map(item)
                parts.append("{")
                stack.append((_entries(item, codec), "}"))
            elif isinstance(item, list | tuple):
                parts.append("[")
                stack.append((iter([("," if at else "", one) for at, one in enumerate(item)]), "]"))
            else:
                parts.append(_scalar(item, codec, special))
                continue
            if len(stack) - 1 > MAX_NESTING:
                raise NotEncodable(codec, f"nested deeper than {MAX_NESTING}")
            break
        else:
            parts.append(end)
            stack.pop()
    return "".join(parts).encode()


def _entries(item: dict[str, Value], codec: str) -> Iterator[tuple[str, Value]]:
    out: list[tuple[str, Value]] = []
    for key in item:
        if not isinstance(key, str):
            raise NotEncodable(codec, f"a map key of type {type(key).__name__}; keys are text")
    for key in sorted(item):  # by code points, which is the order of the UTF-8 bytes
        out.append((("," if out else "") + _string(key, codec) + ":", item[key]))
    return iter(out)


def _string(text: str, codec: str) -> str:
    if not is_unicode(text):
        raise NotEncodable(codec, "text that is not valid Unicode")
    return json.dumps(text, ensure_ascii=False)


def _scalar(item: Any, codec: str, special: Callable[[Value], str]) -> str:
    if isinstance(item, str):
        return _string(item, codec)
    if item is None or isinstance(item, bool):
        return "null" if item is None else "true" if item else "false"
    if isinstance(item, int):
        if not MIN_INT <= item <= MAX_INT:
            raise NotEncodable(codec, f"an integer of {item.bit_length()} bits, at most 64 are allowed")
        return str(item)
    if isinstance(item, float):
        return _float(item, codec)
    if isinstance(item, CID | bytes | bytearray | memoryview):
        return special(item if isinstance(item, CID) else bytes(item))
    raise NotEncodable(codec, f"a value of type {kind_of(item)}")


def _float(number: float, codec: str) -> str:
    """Shortest digits, as in JavaScript, but always with a point or an exponent: it must stay a float."""
    if not math.isfinite(number):
        raise NotEncodable(codec, f"the float {number}")
    if number == 0 or 1e-6 <= abs(number) < 1e21:
        from decimal import Decimal  # seldom needed, and slow to import

        text = format(Decimal(repr(number)), "f")
        return text if "." in text else text + ".0"
    mantissa, _, exponent = repr(number).partition("e")
    return f"{mantissa.removesuffix('.0')}e{int(exponent):+d}"
