"""The interface of a rolling hash to a chunker: the next place where its rule says to cut."""

from collections.abc import Callable

from cidery.multiformats.varint import Buffer

Matcher = Callable[[Buffer, int, int], int]
"""(data, start, stop) -> the first end of a chunk in [start, stop), -1 if there is none. Looks back by its window."""
RABIN_WINDOW = 16
"""Bytes that a Rabin fingerprint looks at, and least size of a chunk."""
GEAR_WINDOW = 32
"""Bytes that a gear hash looks at, and least size of a chunk of fastcdc."""
