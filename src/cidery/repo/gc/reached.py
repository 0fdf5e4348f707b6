"""Which blocks a mark has reached, whether they are stored or not: for references to files, which have no ordinals.

A Bloom filter: what it says was not reached was not. It is wrong the other way for one in a hundred, each time others,
so that what is left over goes with one of the next collections.
"""

import zlib
from collections.abc import Iterable

BITS_PER_BLOCK = 16
"""With two bits set for each: one in eighty is taken for another."""
MAX_BITS = 1 << 30
"""Largest filter, 128 MiB: enough for 67 million blocks; with more of them more is left over."""
MIN_BITS = 1 << 12


class Reached:
    """A set of multihashes that forgets nothing and may say yes too often. Not thread-safe."""

    def __init__(self, blocks: int, seed: int) -> None:
        """``blocks``: about how many will be added; ``seed``: another one for each collection."""
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
