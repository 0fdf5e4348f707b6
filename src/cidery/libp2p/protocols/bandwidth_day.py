"""What went over the connections in the last day, in spells of five minutes. Pure; at most KEPT spells.

On disk: MAGIC, then per spell: its number u64, bytes received u64, bytes sent u64; then crc32 u32 of all before it.
"""

from __future__ import annotations

import struct
import zlib
from collections import deque
from collections.abc import Iterable
from typing import NamedTuple, Self

EVERY = 300
"""Seconds of a spell."""
KEPT = 288
"""Spells of a day."""
MAGIC = b"cidery bandwidth 1\n"
_SPELL = struct.Struct(">QQQ")
_CRC = struct.Struct(">I")
MAX_BYTES = len(MAGIC) + KEPT * _SPELL.size + _CRC.size + 1
"""Most bytes that are read of an encoded day: one more than it may have."""


class BadBandwidthDay(Exception):
    """The bytes are not those of a day: damaged, or cut off in a crash."""


class Spell(NamedTuple):
    """Five minutes."""

    number: int
    """Since 1970-01-01 UTC, in spells."""
    received: int
    """Bytes."""
    sent: int


class BandwidthDay:
    """Fed with totals that only grow; they begin at zero with each start of a node."""

    def __init__(self, spells: Iterable[Spell] = ()) -> None:
        self._spells = deque(spells, KEPT)
        self._received = self._sent = 0

    def note(self, now: float, received: int, sent: int) -> None:
        """The totals at ``now``, in seconds since 1970. What came since the last call counts for the spell of now."""
        number = int(now) // EVERY
        came, went = received - self._received, sent - self._sent
        self._received, self._sent = received, sent
        if not came and not went:
            return
        last = self._spells[-1] if self._spells else None
        if last is not None and last.number >= number:  # also when the clock was put back
            self._spells[-1] = Spell(last.number, last.received + came, last.sent + went)
        else:
            self._spells.append(Spell(number, came, went))

    def spells(self, now: float) -> list[Spell]:
        """Those of the last day in which anything went, oldest first."""
        begin = int(now) // EVERY - KEPT
        return [one for one in self._spells if one.number > begin]

    def encode(self) -> bytes:
        body = MAGIC + b"".join(_SPELL.pack(*one) for one in self._spells)
        return body + _CRC.pack(zlib.crc32(body))

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Raises BadBandwidthDay."""
        body, crc = data[: -_CRC.size], data[-_CRC.size :]
        spells = body[len(MAGIC) :]
        if not body.startswith(MAGIC) or len(spells) % _SPELL.size or len(spells) > KEPT * _SPELL.size:
            raise BadBandwidthDay
        if _CRC.unpack(crc)[0] != zlib.crc32(body):
            raise BadBandwidthDay
        return cls(Spell(*numbers) for numbers in _SPELL.iter_unpack(spells))
