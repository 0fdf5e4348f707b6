"""Every codec by its multicodec number: blocks to values of the data model and back.

Spec: https://ipld.io/docs/codecs/known/
"""

from collections.abc import Callable
from typing import NamedTuple

from cidery.errors import InvalidInput
from cidery.ipld import cbor_codec, dag_cbor, dag_jose, dag_json, dag_pb_value, json_codec
from cidery.ipld.block import BadBlock
from cidery.ipld.data_model import NotEncodable, Value, kind_of
from cidery.multiformats.cid import CID
from cidery.multiformats.multicodec import (
    CBOR,
    CODEC_NAMES,
    CODECS,
    DAG_CBOR,
    DAG_JOSE,
    DAG_JSON,
    DAG_PB,
    JSON,
    LIBP2P_KEY,
    RAW,
    STORED_CODECS,
)
from cidery.multiformats.varint import Buffer


class UnknownCodec(InvalidInput):
    """An unknown codec."""

    def __init__(self, given: str) -> None:
        super().__init__(given)
        self.given = given

    def __str__(self) -> str:
        return f"unknown codec {self.given!r}; known: {', '.join(CODECS)}"


class NoValues(InvalidInput):
    """A codec that is known by name, but cannot be read or written here."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code

    def __str__(self) -> str:
        return f"{codec_name(self.code)} blocks are not read as values here; get them as they are with: block get"


class Codec(NamedTuple):
    """How one codec reads and writes values."""

    decode: Callable[[Buffer], Value]
    """Accepts only canonical blocks, if the codec has a canonical form. Raises CodecError, DagPbError."""
    encode: Callable[[Value], bytes]
    """Raises NotEncodable."""
    read_input: Callable[[Buffer], Value]
    """As decode(), but for input of people and other programs: any valid form."""


def _encode_raw(value: Value) -> bytes:
    if not isinstance(value, bytes):
        raise NotEncodable("raw", f"a {kind_of(value)}; it holds bytes")
    return value


def _plain(decode: Callable[[Buffer], Value], encode: Callable[[Value], bytes]) -> Codec:
    return Codec(decode, encode, decode)


_CODECS: dict[int, Codec] = {
    RAW: _plain(bytes, _encode_raw),
    LIBP2P_KEY: _plain(bytes, _encode_raw),
    DAG_PB: _plain(dag_pb_value.decode, dag_pb_value.encode),
    DAG_CBOR: Codec(dag_cbor.decode, dag_cbor.encode, lambda block: dag_cbor.decode(block, canonical=False)),
    DAG_JSON: Codec(dag_json.decode, dag_json.encode, lambda block: dag_json.decode(block, canonical=False)),
    DAG_JOSE: _plain(dag_jose.decode, dag_jose.encode),
    CBOR: _plain(cbor_codec.decode, cbor_codec.encode),
    JSON: _plain(json_codec.decode, json_codec.encode),
}


def codec_of(code: int) -> Codec:
    """The codec of a multicodec number. Raises UnknownCodec, NoValues."""
    found = _CODECS.get(code)
    if found is None:
        raise NoValues(code) if code in CODEC_NAMES else UnknownCodec(f"0x{code:x}")
    return found


def parse_codec(text: str) -> int:
    """The number of a codec's name, or of a number as text (0x71). Raises UnknownCodec."""
    if text in CODECS or text in STORED_CODECS:
        return CODECS.get(text) or STORED_CODECS[text]
    if text.startswith("0x") and len(text) <= 10:
        try:
            return int(text, 16)
        except ValueError as exc:
            raise UnknownCodec(text[:40]) from exc
    raise UnknownCodec(text[:40])


def codec_name(code: int) -> str:
    return CODEC_NAMES.get(code, f"0x{code:x}")


def decode(code: int, block: Buffer) -> Value:
    """Decode a block of a codec. Raises UnknownCodec, NoValues, CodecError, DagPbError."""
    return codec_of(code).decode(block)


def decode_block(cid: CID, block: Buffer) -> Value:
    """As decode(), by the CID, which errors name."""
    try:
        return decode(cid.codec, block)
    except BadBlock as exc:
        exc.note(cid)
        raise
