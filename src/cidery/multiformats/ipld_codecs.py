"""Every multicodec with the tag "ipld": the content types that a CID may state.

From https://github.com/multiformats/multicodec/blob/master/table.csv; a test compares the two.
"""

from cidery.multiformats.multicodec import CODECS, STORED_CODECS

_CODECS = {
    **CODECS,
    **STORED_CODECS,
    "torrent-info": 0x7B,
    "torrent-file": 0x7C,
    "blake3-hashseq": 0x80,
    "leofcoin-block": 0x81,
    "leofcoin-tx": 0x82,
    "leofcoin-pr": 0x83,
    "dag-cose": 0x86,
    "bitcoin-block": 0xB0,
    "bitcoin-tx": 0xB1,
    "bitcoin-witness-commitment": 0xB2,
    "zcash-block": 0xC0,
    "zcash-tx": 0xC1,
    "stellar-block": 0xD0,
    "stellar-tx": 0xD1,
    "decred-block": 0xE0,
    "decred-tx": 0xE1,
    "dash-block": 0xF0,
    "dash-tx": 0xF1,
    "swarm-manifest": 0xFA,
    "swarm-feed": 0xFB,
    "beeson": 0xFC,
    "swhid-1-snp": 0x1F0,
    "rdfc-1": 0xB403,
    "json-jcs": 0xB601,
}
IPLD_CODECS: dict[str, int] = dict(sorted(_CODECS.items(), key=lambda item: item[1]))
"""Name -> number, by number."""
