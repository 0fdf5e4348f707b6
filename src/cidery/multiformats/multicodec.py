"""The multicodec numbers that Cidery uses.

Spec: https://github.com/multiformats/multicodec/blob/master/table.csv
"""

CIDV1 = 0x01
CBOR = 0x51
RAW = 0x55
DAG_PB = 0x70
DAG_CBOR = 0x71
LIBP2P_KEY = 0x72
DAG_JOSE = 0x85
DAG_JSON = 0x0129
JSON = 0x0200
CAR_INDEX_SORTED = 0x0400
LIBP2P_PEER_RECORD = 0x0301

CODECS: dict[str, int] = {
    "cbor": CBOR,
    "raw": RAW,
    "dag-pb": DAG_PB,
    "dag-cbor": DAG_CBOR,
    "libp2p-key": LIBP2P_KEY,
    "dag-jose": DAG_JOSE,
    "dag-json": DAG_JSON,
    "json": JSON,
}
"""Content codecs by name."""

CODEC_NAMES: dict[int, str] = {code: name for name, code in CODECS.items()}
