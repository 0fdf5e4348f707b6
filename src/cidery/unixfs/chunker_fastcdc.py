"""FastCDC: a gear hash over 32 bytes, with a stricter rule before the average size and a looser one after it.

Spec: Xia et al., "FastCDC: a Fast and Efficient Content-Defined Chunking Approach", USENIX ATC 2016. The numbers of the
bytes are ours (the paper leaves them open): the first four bytes of the SHA-256 of the byte.
"""

from hashlib import sha256

import numpy as np

from cidery.multiformats.varint import Buffer
from cidery.unixfs.chunker_match import GEAR_WINDOW, Matcher

NORMALIZATION = 2
"""Bits more than the average requires before it, and fewer after it (level 2 of the paper)."""
MIN_SCAN = 2048
"""Minimum of positions processed together, though the next cut may be nearer: each round costs some 20 us."""
SCAN = 32 * 1024
"""Positions processed together: their intermediate results fit into the cache of a core."""
NUMBERS = np.array([int.from_bytes(sha256(bytes([octet])).digest()[:4], "big") for octet in range(256)], np.uint32)


def gear(bits: int) -> Matcher:
    """Cuts where the highest ``bits`` bits of the hash are zero: they depend on the whole window."""
    limit = np.uint32(1 << 32 - bits)
    scan = min(SCAN, max(MIN_SCAN, 1 << bits))

    def first_cut(data: Buffer, start: int, stop: int) -> int:
        for at in range(start, stop, scan):
            count = min(scan, stop - at)
            hashes = NUMBERS.take(np.frombuffer(data, np.uint8, count + GEAR_WINDOW - 1, at - GEAR_WINDOW))
            for shift in (1, 2, 4, 8, 16):  # windows of 2, 4 ... 32 bytes
                hashes = (hashes[:-shift] << np.uint32(shift)) + hashes[shift:]
            found = np.flatnonzero(hashes < limit)
            if len(found):
                return at + int(found[0])
        return -1

    return first_cut
