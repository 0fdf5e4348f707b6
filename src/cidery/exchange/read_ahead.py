"""How far a session reads ahead of its reader: as far as memory allows, or as far as the reader's pace warrants. Pure.

A paced session begins with a small window. It doubles when the reader has taken a whole window and waits again, so
what was fetched is at most some three times what was read; a reader that pauses keeps the window from moving.
"""

from cidery.multiformats.cid import CID

READ_AHEAD = 40 * 1024 * 1024
"""Bytes that may be in flight, waiting to be read, or waiting to be stored, per session."""
FIRST_WINDOW = 2 * 1024 * 1024
"""Bytes that a paced session fetches ahead at first: TCP has not sent more in its first eight round trips."""
TAKEN_AT_ONCE = 1024 * 1024
"""Bytes that the reader takes before more is asked for in their place, while something is on its way."""
MAX_TRACKED = 16 * 1024
"""Blocks that came and are not read yet, of which a paced session keeps count; older ones are taken as read."""


class ReadAhead:
    """The account of one session."""

    def __init__(self, *, paced: bool) -> None:
        self._paced = paced
        self.window = FIRST_WINDOW if paced else READ_AHEAD
        self._unread: dict[CID, int] = {}
        self._unread_bytes = 0
        self._taken = 0
        """Bytes read since the window grew."""
        self._replaced = 0
        """Bytes read since more was asked for in their place."""

    def came(self, cid: CID, size: int) -> None:
        """A block came that the reader does not wait for."""
        if self._paced and cid not in self._unread:
            if len(self._unread) >= MAX_TRACKED:
                self._unread_bytes -= self._unread.pop(next(iter(self._unread)))
            self._unread[cid] = size
            self._unread_bytes += size

    def took(self, cid: CID, size: int) -> None:
        """The reader has a block now."""
        self._replaced += size
        if self._paced:
            self._taken += size
            self._unread_bytes -= self._unread.pop(cid, 0)

    def asks_on(self, outstanding: int) -> bool:
        """Whether enough was read to ask for more in its place, with so many bytes on their way."""
        if outstanding and self._replaced < TAKEN_AT_ONCE:
            return False
        self._replaced = 0
        return True

    def unread(self, cid: CID) -> bool:
        """Whether it came ahead of the reader."""
        return cid in self._unread

    def waits(self) -> None:
        """The reader waits for a block."""
        if self._taken >= self.window:
            self.window, self._taken = min(READ_AHEAD, 2 * self.window), 0
        if self._unread_bytes >= self.window:  # what came is not what it wants: it has left that out
            self._unread.clear()
            self._unread_bytes = 0

    def room(self, outstanding: int, held: int) -> int:
        """Bytes that may be requested now. ``held``: bytes in memory. Negative: none."""
        return min(READ_AHEAD - held, self.window - self._unread_bytes) - outstanding
