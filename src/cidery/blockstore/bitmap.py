"""A set of ordinals as a bitmap that grows: one bit per block ever stored."""

from collections.abc import Iterable


class Bitmap:
    """Not thread-safe. Memory: an eighth of a byte per ordinal up to the highest one set."""

    __slots__ = ("_bits",)

    def __init__(self, bits: bytes = b"") -> None:
        self._bits = bytearray(bits)

    def add(self, ordinal: int) -> bool:
        """Set a bit; returns whether it was clear. O(1)."""
        at, mask = ordinal >> 3, 1 << (ordinal & 7)
        bits = self._bits
        if at >= len(bits):
            # Doubling keeps the cost per bit constant.
            bits.extend(bytes(max(at + 1 - len(bits), len(bits), 64)))
        if bits[at] & mask:
            return False
        bits[at] |= mask
        return True

    def update(self, ordinals: Iterable[int]) -> None:
        """Set many bits."""
        for ordinal in ordinals:
            self.add(ordinal)

    def __contains__(self, ordinal: int) -> bool:
        at = ordinal >> 3
        return at < len(self._bits) and bool(self._bits[at] >> (ordinal & 7) & 1)

    def discard(self, ordinal: int) -> None:
        """Clear a bit."""
        if ordinal in self:
            self._bits[ordinal >> 3] &= ~(1 << (ordinal & 7))

    def __len__(self) -> int:
        """The number of set bits. O(highest ordinal / 64)."""
        return int.from_bytes(self._bits, "little").bit_count()

    def __bool__(self) -> bool:
        return any(self._bits)

    def __bytes__(self) -> bytes:
        """The argument for the constructor."""
        return bytes(self._bits)
