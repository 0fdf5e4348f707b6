"""The table of pins: what must not be collected. One record per CID, found and listed at flat cost for millions.

Keyed by codec and multihash (the CIDv1 form): one multihash pinned as raw and as dag-pb is two pins. The table knows
roots only; what a recursive pin holds is found by walking.
"""

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from cidery.blockstore.lmdb_environment import Transaction
from cidery.errors import IntegrityError, InvalidInput
from cidery.multiformats.cid import CID, CIDError
from cidery.repo.state import State, StateTable

MAX_NAME = 255
"""Longest name of a pin, in bytes of UTF-8, as Kubo has it."""
PINS_PAGE = 1000
"""Most pins in one page: about 1 ms of reading."""

_FIXED = struct.Struct(">BBd")


class BadPinName(InvalidInput):
    """A name over MAX_NAME bytes, or one that is not Unicode text."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"the pin's name {self.reason}; choose another one"


class PinDamaged(IntegrityError):
    """A record in the table that was never written so."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"a pin record is damaged ({self.reason}); restore meta/state from a backup"


@dataclass(frozen=True, slots=True)
class Pin:
    """One pin."""

    cid: CID
    """As it was given: version 0 or 1."""
    recursive: bool
    """True: all that is reachable from the CID; False: this one block ("direct")."""
    name: str = ""
    created: float = 0.0
    """Seconds since 1970-01-01 UTC."""

    @property
    def cursor(self) -> bytes:
        """Pass it to page() to go on after this pin."""
        return pin_key(self.cid)


def pin_key(cid: CID) -> bytes:
    return cid.to_v1().encode()


def encode_pin(pin: Pin) -> bytes:
    """Raises BadPinName."""
    try:
        name = pin.name.encode()
    except UnicodeEncodeError as exc:
        raise BadPinName("is not valid Unicode") from exc
    if len(name) > MAX_NAME:
        raise BadPinName(f"has {len(name)} bytes, at most {MAX_NAME} are allowed")
    return _FIXED.pack(pin.cid.version, pin.recursive, pin.created) + name


def decode_pin(key: bytes, raw: bytes) -> Pin:
    """Raises PinDamaged, nothing else (fuzzed)."""
    if len(raw) < _FIXED.size:
        raise PinDamaged("truncated")
    version, recursive, created = _FIXED.unpack_from(raw)
    if version > 1 or recursive > 1:
        raise PinDamaged("unknown version or mode")
    try:
        cid = CID.decode(key)
        name = raw[_FIXED.size :].decode()
    except CIDError as exc:
        raise PinDamaged(exc.reason) from exc
    except UnicodeDecodeError as exc:
        raise PinDamaged("its name is not UTF-8") from exc
    return Pin(CID(0, cid.codec, cid.multihash) if version == 0 else cid, bool(recursive), name, created)


class Pins:
    """The table. Reads are synchronous; changes are durable when awaited."""

    def __init__(self, state: State) -> None:
        self._state = state

    def get(self, cid: CID) -> Pin | None:
        """The pin of exactly this CID (either version); not whether another pin holds it."""
        raw = self._state.get(StateTable.PINS, pin_key(cid))
        return None if raw is None else decode_pin(pin_key(cid), raw)

    def page(self, after: bytes = b"", limit: int = PINS_PAGE) -> list[Pin]:
        """Up to ``limit`` pins after the cursor (Pin.cursor of the last one seen), ordered by CID bytes."""
        return [decode_pin(key, raw) for key, raw in self._state.page(StateTable.PINS, after, limit)]

    def count(self) -> int:
        """O(1)."""
        return self._state.count(StateTable.PINS)

    async def add(self, *pins: Pin) -> None:
        """Add or replace. All or none. Raises BadPinName, DatabaseUnavailable, StateReadOnly."""
        records = [(pin_key(pin.cid), encode_pin(pin)) for pin in pins]

        def work(txn: Transaction) -> None:
            for key, raw in records:
                txn.put(key, raw, db=self._state.table(StateTable.PINS))

        await self._state.update(work)

    async def remove(self, cids: Sequence[CID]) -> list[bool]:
        """Remove; True where one was there. All or none."""
        keys = [pin_key(cid) for cid in cids]

        def work(txn: Transaction) -> list[bool]:
            return [bool(txn.delete(key, db=self._state.table(StateTable.PINS))) for key in keys]

        return await self._state.update(work)

    def every(self) -> Iterable[Pin]:
        """All pins, page by page; changes made meanwhile may or may not show."""
        page = self.page()
        while page:
            yield from page
            page = self.page(page[-1].cursor)
