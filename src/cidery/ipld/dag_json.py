"""DAG-JSON: the data model as JSON text. ``{"/": "CID"}`` is a link, ``{"/": {"bytes": "base64"}}`` are bytes.

Blocks have their keys in byte order, without spaces; input written by people need not (``canonical=False``).

Spec: https://ipld.io/specs/codecs/dag-json/spec/
"""

import base64
import binascii
import json

from cidery.ipld.data_model import NotEncodable, Value
from cidery.ipld.json_codec import JsonError, Pairs, parse, read_plain_map, write
from cidery.multiformats.cid import CID, CIDError
from cidery.multiformats.varint import Buffer

CODEC = "dag-json"
_RESERVED = "/"


def decode(block: Buffer, *, canonical: bool = True) -> Value:
    """Decode a whole block. O(len(block)).

    Args:
        canonical: False accepts keys in any order. Each key must be unique in both cases.
    Raises:
        JsonError: not JSON, keys twice or out of order, a reserved ``{"/": ...}`` that is neither link nor bytes,
            numbers outside 64 bits, nesting over MAX_NESTING. Nothing else (fuzzed).
    """
    return parse(block, CODEC, _read_canonical_map if canonical else _read_map)


def _read_canonical_map(pairs: Pairs) -> Value:
    for (one, _), (other, _) in zip(pairs, pairs[1:], strict=False):
        if one > other:  # by code points, which is the order of the UTF-8 bytes
            raise JsonError(CODEC, f"the key {other[:40]!r} out of order")
    return _read_map(pairs)


def _read_map(pairs: Pairs) -> Value:
    found = read_plain_map(pairs, CODEC)
    if _RESERVED not in found:
        return found
    inner = found[_RESERVED]
    if isinstance(inner, str):
        if len(found) > 1:
            raise JsonError(CODEC, 'a link with keys other than "/"')
        try:
            return CID.parse(inner)
        except CIDError as exc:
            raise JsonError(CODEC, f"a link that is no CID ({exc.reason})") from exc
    if isinstance(inner, dict) and isinstance(text := inner.get("bytes"), str):
        if len(found) > 1 or len(inner) > 1:
            raise JsonError(CODEC, 'bytes with keys other than "bytes"')
        return read_base64(text)
    return found


def read_base64(text: str) -> bytes:
    """The bytes of the text form. Raises JsonError."""
    try:
        data = base64.b64decode(text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4), validate=True)
    except (binascii.Error, ValueError) as exc:
        raise JsonError(CODEC, f"bytes that are not base64 ({exc})") from exc
    if _base64(data) != text.rstrip("="):
        raise JsonError(CODEC, "bytes whose base64 has stray bits")
    return data


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii").rstrip("=")


def encode(value: Value) -> bytes:
    """The canonical block of a value. Raises NotEncodable, also for maps that would be read as a link or bytes."""
    return write(value, CODEC, _special, _check_map)


def _special(item: Value) -> str:
    if isinstance(item, CID):
        return '{"/":' + json.dumps(str(item)) + "}"
    assert isinstance(item, bytes)  # write() gives links and bytes only
    return '{"/":{"bytes":"' + _base64(item) + '"}}'


def _check_map(item: dict[str, Value]) -> None:
    inner = item.get(_RESERVED)
    if isinstance(inner, str) or (isinstance(inner, dict) and isinstance(inner.get("bytes"), str)):
        raise NotEncodable(CODEC, 'a map with the key "/" that would be read as a link or bytes')
