"""The blocks that a mark has reached, stored or not: for references to files, which have no ordinals.

A Bloom filter: a block reported as not reached was not reached. One in a hundred is falsely reported as reached, in
each collection others, so that the remaining garbage goes with a later collection.
"""

import zlib
from collections.abc import Iterable

BITS_PER_BLOCK = 16
"""With two bits set per block: false positives are one in eighty."""
MAX_BITS = 1 << 30
"""Largest filter, 128 MiB: enough for 67 million blocks; above, more garbage remains."""
MIN_BITS = 1 << 12


class Reached:
    """A set of multihashes without false negatives, but with false positives. Not thread-safe."""

    def __init__(self, blocks: int, seed: int) -> None:
        """``blocks``: the expected number of additions; ``seed``: different for each collection."""
        size = MIN_BITS
        while size < min(blocks * BITS_PER_BLOCK, MAX_BITS):
            size *= 2
        self._bits = bytearray(size // 8)
        self._mask = size - 1
        self._seeds = (seed & 0xFFFFFFFF, (seed >> 32) & 0xFFFFFFFF)

    def update(self, multihashes: Iterable[bytes]) -> None:
        """About 0.5 us each."""
        bits, mask, crc32 = self._bits, self._mask, zlib.crc32
        first, second = self._seeds
        for key in multihashes:
            at = crc32(key, first) & mask
            bits[at >> 3] |= 1 << (at & 7)
            at = crc32(key, second) * 0x9E3779B1 >> 7 & mask
            bits[at >> 3] |= 1 << (at & 7)

    def __contains__(self, key: bytes) -> bool:
        for at in (
            zlib.crc32(key, self._seeds[0]) & self._mask,
            zlib.crc32(key, self._seeds[1]) * 0x9E3779B1 >> 7 & self._mask,
        ):
            if not self._bits[at >> 3] >> (at & 7) & 1:
                return False
        return True
