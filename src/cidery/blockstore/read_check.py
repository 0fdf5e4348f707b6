"""Tracks which stored blocks were hashed on reading, and which are damaged.

A block is hashed at its first read in a process; blocks written by this process were hashed before. So bytes changed
by a disk, a copy or a person are never returned as valid, and a block that is read again and again costs one hash. With
``always`` every read is hashed (Datastore.HashOnRead). A damaged block counts as absent until it is stored again.
"""

import errno
import sys

from cidery.blockstore.bitmap import Bitmap
from cidery.blockstore.places import segment_name
from cidery.blockstore.segment_file import CorruptSegment, Location
from cidery.multiformats.cid import CID
from cidery.multiformats.multicodec import RAW
from cidery.multiformats.multihash import MultihashError, matches
from cidery.multiformats.varint import Buffer

HASH_IN_LOOP = 64 * 1024
"""Largest block hashed on the event loop, in bytes (about 50 us); larger ones are hashed in a thread."""
BAD_HASH = "its bytes do not match its hash"


def is_intact(multihash: bytes, data: Buffer) -> bool:
    """Whether the bytes match; True also for an unknown hash function, which cannot be checked."""
    try:
        return matches(multihash, data)
    except MultihashError:
        return True


def damage_of(exc: CorruptSegment | OSError) -> str:
    """The fault of a record that could not be read. Re-raises errors that are no fault of the disk."""
    if isinstance(exc, CorruptSegment):
        return exc.reason
    if isinstance(exc, FileNotFoundError):
        return "the file is missing"
    if exc.errno == errno.EIO:
        return "the disk cannot read it"
    raise exc


class ReadCheck:
    """Thread-safe: a bit lost between two threads costs one more hash."""

    def __init__(self, trusted_from: int = sys.maxsize, *, always: bool = False) -> None:
        """``trusted_from``: ordinal from which on this process wrote the blocks itself."""
        self._trusted_from = trusted_from
        self._always = always
        self._hashed = Bitmap()
        self.damaged: dict[bytes, Location] = {}
        """Multihash -> place of the damaged copy. The writer reads this, too."""
        self._reasons: dict[bytes, str] = {}

    def due(self, at: Location) -> bool:
        """Whether the block has to be hashed. About 0.2 us."""
        return self._always or (at.ordinal < self._trusted_from and at.ordinal not in self._hashed)

    def passes(self, multihash: bytes, at: Location, data: Buffer) -> bool:
        """Hash a block that is due(); False, and noted, if it is damaged."""
        if not is_intact(multihash, data):
            self.note(multihash, at, BAD_HASH)
            return False
        self.passed(at)
        return True

    def passed(self, at: Location) -> None:
        """The block at this place is intact."""
        self._hashed.add(at.ordinal)

    def note(self, multihash: bytes, at: Location, reason: str) -> None:
        """The copy at this place is damaged."""
        if self.damaged.get(multihash) == at:
            return
        self._reasons[multihash] = f"{segment_name(at.segment)} at byte {at.offset}: {reason}"
        self.damaged[multihash] = at
        import logging  # seldom needed, and slow to import

        logging.getLogger("cidery.store").warning(
            "block %s is damaged on disk (%s); it counts as absent until it is fetched or added again",
            CID(1, RAW, multihash),
            self._reasons[multihash],
        )

    def usable(self, multihash: bytes, at: Location | None) -> Location | None:
        """``at``, unless the copy there is known to be damaged."""
        return None if at is not None and self.damaged.get(multihash) == at else at

    def reason(self, multihash: bytes, at: Location | None) -> str:
        """The fault of the copy; "" if none is known."""
        return self._reasons[multihash] if at is not None and self.damaged.get(multihash) == at else ""
