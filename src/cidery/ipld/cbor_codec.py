"""Plain CBOR as a codec: the values of DAG-CBOR, without links, in any valid form.

Spec: https://www.rfc-editor.org/rfc/rfc8949
"""

from cidery.ipld import dag_cbor
from cidery.ipld.data_model import CodecError, NotEncodable, Value, links_of
from cidery.multiformats.varint import Buffer


class CborError(CodecError):
    """Bytes that are not CBOR of the data model."""


def decode(block: Buffer) -> Value:
    """Decode a plain CBOR block: heads and floats of any length, keys in any order; no indefinite lengths.

    Raises:
        DagCborError: not CBOR of the data model. CborError: links. Nothing else (fuzzed).
    """
    value = dag_cbor.decode(block, canonical=False)
    if links_of(value):
        raise CborError("cbor", "it has no links; use dag-cbor")
    return value


def encode(value: Value) -> bytes:
    """The canonical form. Raises NotEncodable, also for links."""
    if links_of(value):
        raise NotEncodable("cbor", "it has no links; use dag-cbor")
    return dag_cbor.encode(value)
