"""Rabin fingerprints over a window of 16 bytes, as Kubo cuts: the window as a polynomial, modulo POLYNOMIAL.

A fingerprint is linear: the exclusive or of the contributions of its bytes at their places. So SIEVE bits come from one
table look-up per pair of bytes (the table holds those bits for all places of the pair, side by side), done for all
positions together; for the one in 64 that passes, SIEVE more bits are checked, and for those that remain, all.

Spec: boxo chunker/rabin.go, github.com/whyrusleeping/chunker
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from cidery.multiformats.varint import Buffer
from cidery.unixfs.chunker_match import RABIN_WINDOW, Matcher

POLYNOMIAL = 17437180132763653
"""Irreducible over GF(2), of degree 53."""
DEGREE = 53
SIEVE = 6
"""Bits checked first: those of PLACES pairs of bytes fit into a number of 32."""
SIEVE_MASK = (1 << SIEVE) - 1
PLACES = 5
"""Pairs of bytes of the window whose reduction changes the lowest bits."""
MIN_SCAN = 2048
"""Minimum of bytes processed together, though the next cut may be nearer: each round costs some 50 us."""
SCAN = 64 * 1024
"""Bytes processed together: their intermediate results fit into the cache of a core."""


def rabin(average: int) -> Matcher:
    """Cuts where the lowest log2(average) bits of the fingerprint are zero."""
    mask = (1 << average.bit_length() - 1) - 1
    scan = min(SCAN, max(MIN_SCAN, average))

    def first_cut(data: Buffer, start: int, stop: int) -> int:
        for at in range(start, stop, scan):
            found = _cuts(data, at, min(at + scan, stop), mask)
            if len(found):
                return int(found[0])
        return -1

    return first_cut


def _cuts(data: Buffer, start: int, stop: int, mask: int) -> NDArray[np.intp]:
    """All ends in [start, stop), in order."""
    first = start - RABIN_WINDOW
    octets = np.frombuffer(data, np.uint8, stop - 1 - first, first)
    passed: list[NDArray[np.intp]] = []
    for parity in (0, 1):
        count = (stop - start - parity + 1) // 2
        if count <= 0:
            continue
        pairs = np.frombuffer(data, "<u2", count + PLACES - 1, first + parity).astype(np.intp)
        packed = _packed_tables()[0].take(pairs)
        bits = packed[PLACES - 1 :] >> np.uint32(SIEVE)
        for place in range(PLACES - 2, 0, -1):
            bits ^= packed[place : place + count]
            bits >>= np.uint32(SIEVE)
        bits ^= packed[:count]
        bits ^= octets[parity + RABIN_WINDOW - 1 :: 2][:count]
        bits &= np.uint32(mask & SIEVE_MASK)
        index = np.flatnonzero(bits == 0)
        passed.append(_sieved_again(pairs, octets, index, parity, mask) * 2 + parity)
    windows = np.concatenate(passed)
    windows.sort()
    places = np.arange(RABIN_WINDOW)[:, None]
    index = octets.take(windows + places) + places * 256
    digest = np.bitwise_xor.reduce(_byte_tables().reshape(-1).take(index), axis=0)
    matching: NDArray[np.intp] = windows[(digest & np.uint64(mask)) == 0]
    return matching + start


def _sieved_again(
    pairs: NDArray[np.intp], octets: NDArray[np.uint8], index: NDArray[np.intp], parity: int, mask: int
) -> NDArray[np.intp]:
    """Of the windows ``index`` those with the next SIEVE bits zero, too."""
    last = index * 2 + parity + RABIN_WINDOW - 1
    bits = (octets.take(last).astype(np.uint32) | octets.take(last - 1).astype(np.uint32) << 8) >> np.uint32(SIEVE)
    places = np.arange(PLACES)[:, None]
    added = _packed_tables()[1].take(pairs.take(index + places))
    added >>= places.astype(np.uint32) * np.uint32(SIEVE)
    bits ^= np.bitwise_xor.reduce(added, axis=0)
    bits &= np.uint32(mask >> SIEVE & SIEVE_MASK)
    left: NDArray[np.intp] = index[bits == 0]
    return left


@cache
def _byte_tables() -> NDArray[np.uint64]:
    """By place in the window and byte: its contribution to the digest."""
    tables = np.zeros((RABIN_WINDOW, 256), np.uint64)
    powers = [1 << bit for bit in range(8)]  # contributions of the bits of the last byte
    for table in reversed(tables):
        for bit, power in enumerate(powers):
            table[1 << bit : 2 << bit] = table[: 1 << bit] ^ np.uint64(power)
        powers = [_times_x8(power) for power in powers]
    return tables


def _times_x8(value: int) -> int:
    for _ in range(8):
        value <<= 1
        if value >> DEGREE:
            value ^= POLYNOMIAL
    return value


@cache
def _packed_tables() -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """Two bytes, little-endian -> their contribution to the lowest SIEVE bits, and to the SIEVE bits above those.

    For each of PLACES pairs of places: SIEVE bits, the first place lowest. The other six bytes are below degree 48, so
    that they occur in the digest unchanged.
    """
    octets = _byte_tables()
    tables = (np.zeros(1 << 16, np.uint32), np.zeros(1 << 16, np.uint32))
    for place in range(PLACES):
        added = (octets[2 * place + 1][:, None] ^ octets[2 * place][None, :]).reshape(-1)
        for level, table in enumerate(tables):
            bits = added >> np.uint64(SIEVE * level) & np.uint64(SIEVE_MASK)
            table |= (bits << np.uint64(SIEVE * place)).astype(np.uint32)
    return tables
