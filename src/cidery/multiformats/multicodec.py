"""The multicodec numbers that Cidery uses.

Spec: https://github.com/multiformats/multicodec/blob/master/table.csv
"""

CIDV1 = 0x01
CBOR = 0x51
RAW = 0x55
DAG_PB = 0x70
DAG_CBOR = 0x71
LIBP2P_KEY = 0x72
GIT_RAW = 0x78
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
"""Content codecs that are read as values, by name."""

STORED_CODECS: dict[str, int] = {
    "git-raw": GIT_RAW,
    "eth-block": 0x90,
    "eth-block-list": 0x91,
    "eth-tx-trie": 0x92,
    "eth-tx": 0x93,
    "eth-tx-receipt-trie": 0x94,
    "eth-tx-receipt": 0x95,
    "eth-state-trie": 0x96,
    "eth-account-snapshot": 0x97,
    "eth-storage-trie": 0x98,
    "eth-receipt-log-trie": 0x99,
    "eth-receipt-log": 0x9A,
}
"""Content codecs that blocks may have, but that are not read as values; for git-raw, the links can be read."""

CODEC_NAMES: dict[int, str] = {code: name for name, code in (CODECS | STORED_CODECS).items()}
