"""The key space: 256-bit numbers, and how near two of them are.

A peer, a provider record and a value record lie at the sha2-256 of their binary key; nearness is XOR. Positions are
Python ints: one XOR and one comparison each, without any code per byte.

Spec: https://specs.ipfs.tech/routing/kad-dht/#kademlia-keyspace
"""

from collections.abc import Callable
from hashlib import sha256

BITS = 256
"""Bits of a position."""
K = 20
"""Peers per bucket, holders per record, and peers in an answer (Amino's replication parameter)."""
MAX_PREIMAGE_BITS = 14
"""Longest prefix that preimage() looks for: 16,384 hashes, some 8 ms, on average."""


def position(key: bytes) -> int:
    """Where a binary key (peer id, multihash, record key) lies."""
    return int.from_bytes(sha256(key).digest(), "big")


def common_prefix(one: int, other: int) -> int:
    """How many leading bits two positions share, 0..256."""
    return BITS - (one ^ other).bit_length()


def prefix_of(at: int, length: int) -> int:
    """The first ``length`` bits of a position as a number."""
    return at >> (BITS - length)


def prefix_range(prefix: int, length: int) -> tuple[int, int]:
    """The first position under a prefix, and the one after the last."""
    shift = BITS - length
    return prefix << shift, (prefix + 1) << shift


def preimage(prefix: int, length: int, entropy: Callable[[int], bytes]) -> bytes:
    """A 32-byte key whose position begins with the ``length`` bits of ``prefix``.

    Others can only be asked about keys, not about positions. Prefixes over MAX_PREIMAGE_BITS are cut.
    Cost: 2**length hashes on average.
    """
    if length > MAX_PREIMAGE_BITS:
        prefix >>= length - MAX_PREIMAGE_BITS
        length = MAX_PREIMAGE_BITS
    shift = 64 - length
    stem, counter = entropy(24), 0
    while True:
        key = stem + counter.to_bytes(8, "big")
        if int.from_bytes(sha256(key).digest()[:8], "big") >> shift == prefix:
            return key
        counter += 1
