"""Blocks that running operations found "already there": they rely on these and did not write them themselves.

A block that an operation writes has an ordinal from after its start; one that it finds has an old ordinal, so it is
noted here, in the bitmap of the current epoch, before the operation learns of it. A collector spares all noted blocks.
An epoch begins when an operation begins, and its bitmap is dropped when every operation that began in it or before has
ended.
"""

import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from cidery.blockstore.bitmap import Bitmap
from cidery.blockstore.segment_file import Location

MAX_EPOCHS = 8
"""Most bitmaps kept: above, new operations join the current epoch, and a little more is spared a little longer."""


class Touched:
    """Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._epoch = 0
        self._holders: dict[int, int] = {}
        self._bitmaps: dict[int, Bitmap] = {}

    @contextmanager
    def hold(self) -> Iterator[None]:
        """From here to the end of the context, found blocks stay noted."""
        with self._lock:
            if self._bitmaps.get(self._epoch) and len(self._bitmaps) < MAX_EPOCHS:
                self._epoch += 1
            epoch = self._epoch
            self._holders[epoch] = self._holders.get(epoch, 0) + 1
        try:
            yield
        finally:
            with self._lock:
                self._release(epoch)

    def _release(self, epoch: int) -> None:
        self._holders[epoch] -= 1
        if not self._holders[epoch]:
            del self._holders[epoch]
        first = min(self._holders, default=self._epoch + 1)
        for old in [number for number in self._bitmaps if number < first]:
            del self._bitmaps[old]

    def note(self, ordinals: Sequence[int]) -> None:
        """Remember blocks that were found. About 0.3 us each; nothing while no operation is running."""
        if not ordinals or not self._holders:
            return
        with self._lock:
            if self._holders:
                self._bitmaps.setdefault(self._epoch, Bitmap()).update(ordinals)

    def __contains__(self, ordinal: int) -> bool:
        with self._lock:
            return any(ordinal in bitmap for bitmap in self._bitmaps.values())


class Arrivals:
    """Blocks that a collector awaits, and which of them were put. True while there are some to look at.

    Thread-safe; the writer notes and looks under its own lock, so its decisions there come before or after.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._awaited: set[bytes] = set()
        self._arrived: set[bytes] = set()

    def __bool__(self) -> bool:
        return bool(self._arrived)

    def expect(self, multihashes: Iterable[bytes]) -> None:
        """Await these, too."""
        with self._lock:
            self._awaited.update(multihashes)

    def note(self, placed: Sequence[tuple[bytes, Location]]) -> None:
        """These were put."""
        if self._awaited:
            with self._lock:
                self._arrived.update(key for key, _ in placed if key in self._awaited)

    def take(self) -> set[bytes]:
        """Awaited blocks that were put since the last call; they are no longer awaited."""
        with self._lock:
            found, self._arrived = self._arrived, set()
            self._awaited -= found
            return found

    def forget(self) -> None:
        """Stop awaiting blocks."""
        with self._lock:
            self._awaited, self._arrived = set(), set()
