"""Cuts files into chunks: at fixed sizes (``size-N``), or depending on content (rabin, buzhash, fastcdc).

Content-defined cuts move with the content: a byte inserted into a file changes only the chunks around it, so
versions of a file share most of their blocks. rabin and buzhash cut where Kubo cuts; fastcdc exists only in Cidery.

Spec: Kubo's documentation of ``ipfs add --chunker``; boxo chunker/; Xia et al., FastCDC, USENIX ATC 2016
"""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from cidery.errors import InvalidInput
from cidery.multiformats.varint import Buffer
from cidery.unixfs.chunker_match import GEAR_WINDOW, RABIN_WINDOW, Matcher

MAX_CHUNK = 2_096_896
"""Largest chunk, in bytes: a 2 MiB block minus room for the node around it (as in Kubo)."""
BUZHASH_MIN, BUZHASH_MAX = 128 << 10, 512 << 10
DEFAULT_AVERAGE = 256 << 10
"""Average chunk of rabin and fastcdc, in bytes, when none is given."""
MAX_SPEC = 64
"""Longest text of a chunker, in characters."""


class ChunkerError(InvalidInput):
    """Text that names no chunker, or impossible sizes."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return self.reason


class Rule(NamedTuple):
    """Where a chunk may end."""

    start: int
    """Bytes from the start of the chunk; the first possible end."""
    stop: int
    matcher: Matcher


@dataclass(frozen=True)
class Chunker:
    """A way to cut. All sizes in bytes."""

    kind: str
    min_size: int
    average: int
    max_size: int

    @property
    def is_fixed(self) -> bool:
        """Whether all chunks but the last have ``max_size`` bytes."""
        return self.kind == "size"

    @cached_property
    def _rules(self) -> tuple[Rule, ...]:
        # imported on use: numpy takes a tenth of a second
        match self.kind:
            case "rabin":
                from cidery.unixfs.chunker_rabin import rabin

                return (Rule(self.min_size, self.max_size, rabin(self.average)),)
            case "buzhash":
                from cidery.unixfs.chunker_buzhash import buzhash

                return (Rule(self.min_size, self.max_size, buzhash),)
            case "fastcdc":
                from cidery.unixfs.chunker_fastcdc import NORMALIZATION, gear

                bits = self.average.bit_length() - 1
                strict, loose = gear(bits + NORMALIZATION), gear(bits - NORMALIZATION)
                return Rule(self.min_size, self.average, strict), Rule(self.average, self.max_size, loose)
        return ()

    def next_cut(self, data: Buffer, start: int) -> int:
        """The end of the chunk that starts at ``start``, in ``data``.

        ``data`` holds ``max_size`` bytes from there, or ends where the file ends. CPU-bound: a few ns per byte.
        """
        end = min(start + self.max_size, len(data))
        for first, stop, matcher in self._rules:
            if start + first < end:
                found = matcher(data, start + first, min(start + stop, end))
                if found >= 0:
                    return found
        return end


def parse_chunker(text: str) -> Chunker:
    """``size-N``, ``rabin``, ``rabin-AVG``, ``rabin-MIN-AVG-MAX``, ``buzhash``, ``fastcdc``, ``fastcdc-AVG``,
    ``fastcdc-MIN-AVG-MAX`` or ``default``. Raises ChunkerError.
    """
    kind, *parts = text[:MAX_SPEC].split("-")
    numbers = [_number(part) for part in parts]
    if text == "default":
        return Chunker("size", DEFAULT_AVERAGE, DEFAULT_AVERAGE, DEFAULT_AVERAGE)
    if text == "buzhash":
        return Chunker(kind, BUZHASH_MIN, DEFAULT_AVERAGE, BUZHASH_MAX)
    if kind == "size" and len(parts) == 1 and None not in numbers:
        size = numbers[0] or 0
        if not 1 <= size <= MAX_CHUNK:
            raise ChunkerError(f"chunks of {size} bytes; 1 to {MAX_CHUNK} are allowed")
        return Chunker(kind, size, size, size)
    if kind not in ("rabin", "fastcdc") or None in numbers or len(parts) not in (0, 1, 3):
        raise ChunkerError(
            f"unknown chunker {text[:MAX_SPEC]!r}; use size-N with N in bytes, as size-262144, or rabin-MIN-AVG-MAX,"
            " rabin-AVG, rabin, buzhash, fastcdc-MIN-AVG-MAX, fastcdc"
        )
    sizes = [number or 0 for number in numbers]
    if len(sizes) == 3:
        low, average, high = sizes
    else:
        average = sizes[0] if sizes else DEFAULT_AVERAGE
        low, high = (average // 3, average + average // 2) if kind == "rabin" else (average // 4, average * 4)
    least = RABIN_WINDOW if kind == "rabin" else GEAR_WINDOW
    if not least <= low < average < high <= MAX_CHUNK:
        raise ChunkerError(
            f"chunks of {low} to {high} bytes, {average} on average; {kind} needs"
            f" {least} <= least < average < most <= {MAX_CHUNK}"
        )
    return Chunker(kind, low, average, high)


def _number(text: str) -> int | None:
    # Kubo accepts labels, too: rabin-min:16-avg:32-max:64
    _, _, digits = text.rpartition(":")
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) <= 9 else None
