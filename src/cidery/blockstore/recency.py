"""Records which cached blocks were read recently: one bit per block and the order of the segments, in memory.

Updated on every read of a cached block, so it must cost next to nothing; two racing threads may lose a bit, which only
makes a block look colder. After a restart all blocks are cold and the oldest segment goes first.
"""

from cidery.blockstore.bitmap import Bitmap
from cidery.blockstore.segment_file import Location


class Recency:
    """For one store."""

    def __init__(self) -> None:
        self._hot = Bitmap()
        self._tick = 0
        self._last: dict[int, int] = {}

    def note(self, at: Location) -> None:
        """A cached block was read."""
        self._tick += 1
        self._last[at.segment] = self._tick
        self._hot.add(at.ordinal)

    def coldest(self, segments: list[int]) -> list[int]:
        """The segments, least recently read first, then oldest first."""
        return sorted(segments, key=lambda number: (self._last.get(number, 0), number))

    def is_hot(self, at: Location) -> bool:
        """Whether it was read since it was last cooled."""
        return at.ordinal in self._hot

    def cool(self, at: Location) -> None:
        """Forget the reads so far: the next round of eviction may take it."""
        self._hot.discard(at.ordinal)
