"""DAG-JOSE: signed (JWS) and encrypted (JWE) objects in their general form, stored as DAG-CBOR with byte strings.

In the data model the byte strings are base64url text, as in JOSE. A signed object has an additional field that is
not stored: ``link``, the CID in its payload, or ``pld``, the JSON in it with ``ipfs://`` texts as links.

Spec: https://ipld.io/specs/codecs/dag-jose/spec/
"""

from cidery.ipld import dag_cbor, json_codec
from cidery.ipld.data_model import CodecError, NotEncodable, Value, kind_of
from cidery.ipld.json_codec import JsonError, Pairs, read_plain_map
from cidery.multiformats.cid import CID, CIDError
from cidery.multiformats.multibase import BASES, MultibaseError
from cidery.multiformats.varint import Buffer

_BYTES, _MAP, _LIST = "bytes", "map", "list of maps"
_SIGNATURE = {"header": _MAP, "protected": _BYTES, "signature": _BYTES}
_RECIPIENT = {"encrypted_key": _BYTES, "header": _MAP}
_JWS = {"payload": _BYTES, "signatures": _LIST}
_JWE = {
    "aad": _BYTES, "ciphertext": _BYTES, "iv": _BYTES, "protected": _BYTES, "recipients": _LIST, "tag": _BYTES,
    "unprotected": _MAP,
}  # fmt: skip
_PARTS = {"signatures": _SIGNATURE, "recipients": _RECIPIENT}
_URI = "ipfs://"
MAX_PAYLOAD_PARTS = 8192
"""Most entries of a JSON payload that is parsed: claims have some ten, and the parser cannot be interrupted."""


class DagJoseError(CodecError):
    """DAG-CBOR that is neither a JWS nor a JWE."""

    def __init__(self, reason: str) -> None:
        super().__init__("dag-jose", reason)


def decode(block: Buffer) -> Value:
    """Decode a block. Raises DagJoseError, DagCborError, nothing else (fuzzed). O(len(block))."""
    stored = dag_cbor.decode(block)
    if not isinstance(stored, dict):
        raise DagJoseError("it is not a map")
    found = _read(stored, _shape(stored))
    payload = stored.get("payload")
    if isinstance(payload, bytes):
        found |= _payload(payload)
    return dict(sorted(found.items()))


def _shape(value: dict[str, Value]) -> dict[str, str]:
    """The fields a map may have: a JWS if it has a payload, a JWE if it has a ciphertext."""
    for must, fields in (("payload", _JWS), ("ciphertext", _JWE)):
        if must in value:
            return fields
    raise DagJoseError("it has neither payload nor ciphertext")


def _read(stored: dict[str, Value], fields: dict[str, str]) -> dict[str, Value]:
    """Convert byte strings to text, and check the type of every field."""
    found: dict[str, Value] = {}
    for name, item in stored.items():
        wanted = fields.get(name)
        if wanted == _BYTES and isinstance(item, bytes):
            found[name] = _to_text(item)
        elif wanted == _MAP and isinstance(item, dict):
            found[name] = item
        elif wanted == _LIST and isinstance(item, list):
            parts: list[Value] = []
            for part in item:
                if not isinstance(part, dict):
                    raise DagJoseError(f"{name} holds a {kind_of(part)}, not maps")
                parts.append(_read(part, _PARTS[name]))
            found[name] = parts
        else:
            raise DagJoseError(f"{name!r} is {'unknown' if wanted is None else 'not ' + wanted}")
    return found


def _to_text(data: bytes) -> str:
    return BASES["base64url"][1](data)


def _payload(payload: bytes) -> dict[str, Value]:
    try:
        return {"link": CID.decode(payload)}
    except CIDError:
        # not a link: the specification also allows JSON
        return _json_payload(payload)


def _json_payload(payload: bytes) -> dict[str, Value]:
    if sum(map(payload.count, (b",", b"[", b"{"))) > MAX_PAYLOAD_PARTS:
        return {}
    try:
        value = json_codec.parse(payload, "dag-jose", _read_uris)
    except JsonError:
        return {}  # application bytes: they stay in ``payload``
    return {"pld": value} if isinstance(value, dict) else {}


def _read_uris(pairs: Pairs) -> dict[str, Value]:
    found = read_plain_map(pairs, "dag-jose")
    return {key: [_uri(one) for one in item] if isinstance(item, list) else _uri(item) for key, item in found.items()}


def _uri(item: Value) -> Value:
    if not isinstance(item, str) or not item.startswith(_URI):
        return item
    try:
        return CID.parse(item.removeprefix(_URI))
    except CIDError:
        return item  # a path or a name: text


def encode(value: Value) -> bytes:
    """The block of a decoded value; ``link`` alone may stand for the payload, ``pld`` is left out.

    Raises NotEncodable.
    """
    if not isinstance(value, dict):
        raise NotEncodable("dag-jose", f"a {kind_of(value)}; it must be a map")
    given = {name: item for name, item in value.items() if name not in ("link", "pld")}
    link = value.get("link")
    if isinstance(link, CID):
        text = _to_text(link.encode())
        if given.setdefault("payload", text) != text:
            raise NotEncodable("dag-jose", "the link is not the payload's")
    try:
        return dag_cbor.encode(_write(given, _shape(given)))
    except DagJoseError as exc:
        raise NotEncodable("dag-jose", exc.reason) from exc


def _write(given: dict[str, Value], fields: dict[str, str]) -> dict[str, Value]:
    out: dict[str, Value] = {}
    for name, item in given.items():
        wanted = fields.get(name)
        if wanted == _BYTES and isinstance(item, str):
            try:
                out[name] = BASES["base64url"][2](item)
            except MultibaseError as exc:
                raise DagJoseError(f"{name!r} is not base64url ({exc.reason})") from exc
        elif wanted == _MAP and isinstance(item, dict):
            out[name] = item
        elif wanted == _LIST and isinstance(item, list):
            if not all(isinstance(part, dict) for part in item):
                raise DagJoseError(f"{name!r} must hold maps")
            out[name] = [_write(part, _PARTS[name]) for part in item if isinstance(part, dict)]
        else:
            raise DagJoseError(f"{name!r} is {'unknown' if wanted is None else 'not ' + wanted}")
    return out
