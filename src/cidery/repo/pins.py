"""The table of pins: roots that must not be collected. One record per CID; look-ups stay fast with millions.

Keyed by the whole CID: one multihash pinned as version 0 and 1, or as raw and as dag-pb, is two pins. The table knows
only roots; the blocks of a recursive pin are found by walking.

Older repositories keep pins of version 0 under the key of their CIDv1. They are read there, and move to their own key
when either of the two is written.
"""

import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from cidery.disk.lmdb_environment import Transaction
from cidery.errors import IntegrityError, InvalidInput
from cidery.multiformats.cid import CID, CIDError
from cidery.multiformats.multicodec import DAG_PB
from cidery.multiformats.multihash import SHA2_256_PREFIX
from cidery.repo.state import State, StateTable

MAX_NAME = 255
"""Longest name of a pin, in bytes of UTF-8, as in Kubo."""
PINS_PAGE = 1000
"""Most pins in one page: about 1 ms of reading."""

_FIXED = struct.Struct(">BBd")
_EXPIRY = struct.Struct(">d")
_RECURSIVE, _EXPIRES = 1, 2
_SHA2_256_SIZE = 34


class BadPinName(InvalidInput):
    """A name over MAX_NAME bytes, or one that is not Unicode text."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"the pin's name {self.reason}; choose another one"


class PinDamaged(IntegrityError):
    """A record in the table that cannot be decoded."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"a pin record is damaged ({self.reason}); restore meta/state from a backup"


@dataclass(frozen=True, slots=True)
class Pin:
    """One pin."""

    cid: CID
    """As given: version 0 or 1."""
    recursive: bool
    """True: everything reachable from the CID; False: this one block ("direct")."""
    name: str = ""
    created: float = 0.0
    """Seconds since 1970-01-01 UTC."""
    expires: float | None = None
    """Expiry, in seconds since 1970-01-01 UTC; None: never."""
    stored_at: bytes = field(default=b"", compare=False, repr=False)
    """Key of its record, if that is not pin_key()."""

    def expired(self, now: float) -> bool:
        """Whether it has expired."""
        return self.expires is not None and self.expires <= now

    @property
    def cursor(self) -> bytes:
        """Pass it to page() to continue after this pin."""
        return self.stored_at or pin_key(self.cid)


def pin_key(cid: CID) -> bytes:
    return cid.encode()


def _older_key(cid: CID) -> bytes:
    """The key that older versions used."""
    return cid.to_v1().encode()


def _as_version_0(cid: CID) -> CID | None:
    """The CIDv0 of the same content; None if there is none."""
    usual = cid.codec == DAG_PB and len(cid.multihash) == _SHA2_256_SIZE and cid.multihash.startswith(SHA2_256_PREFIX)
    return CID(0, DAG_PB, cid.multihash) if usual else None


def check_pin_name(name: str) -> bytes:
    """The name as bytes. Raises BadPinName."""
    try:
        encoded = name.encode()
    except UnicodeEncodeError as exc:
        raise BadPinName("is not valid Unicode") from exc
    if len(encoded) > MAX_NAME:
        raise BadPinName(f"has {len(encoded)} bytes, at most {MAX_NAME} are allowed")
    return encoded


def encode_pin(pin: Pin) -> bytes:
    """Raises BadPinName."""
    name = check_pin_name(pin.name)
    flags = _RECURSIVE * pin.recursive | _EXPIRES * (pin.expires is not None)
    expiry = b"" if pin.expires is None else _EXPIRY.pack(pin.expires)
    return _FIXED.pack(pin.cid.version, flags, pin.created) + expiry + name


def decode_pin(key: bytes, raw: bytes) -> Pin:
    """Raises PinDamaged, nothing else (fuzzed)."""
    if len(raw) < _FIXED.size:
        raise PinDamaged("truncated")
    version, flags, created = _FIXED.unpack_from(raw)
    if version > 1 or flags > _RECURSIVE | _EXPIRES:
        raise PinDamaged("unknown version or mode")
    at, expires = _FIXED.size, None
    if flags & _EXPIRES:
        if len(raw) < at + _EXPIRY.size:
            raise PinDamaged("truncated")
        expires, at = _EXPIRY.unpack_from(raw, at)[0], at + _EXPIRY.size
    try:
        cid = CID.decode(key)
        name = raw[at:].decode()
    except CIDError as exc:
        raise PinDamaged(exc.reason) from exc
    except UnicodeDecodeError as exc:
        raise PinDamaged("its name is not UTF-8") from exc
    shown = cid if version or cid.version == 0 else _as_version_0(cid)
    if shown is None:
        raise PinDamaged("it has no CID of version 0")
    return Pin(shown, bool(flags & _RECURSIVE), name, created, expires, b"" if shown == cid else key)


def _is_older(raw: bytes) -> bool:
    """Whether a record under the key of a CIDv1 is the pin of its CIDv0."""
    return raw[:1] == b"\0"


class Pins:
    """The table. Reads are synchronous; changes are durable when awaited."""

    def __init__(self, state: State) -> None:
        self._state = state
        self.on_added: list[Callable[[Sequence[Pin]], None]] = []
        """Called after pins were written."""

    def get(self, cid: CID) -> Pin | None:
        """The pin of exactly this CID, version included; not whether another pin holds it."""
        key = pin_key(cid)
        raw = self._state.get(StateTable.PINS, key)
        if raw is None and cid.version == 0:
            key = _older_key(cid)
            raw = self._state.get(StateTable.PINS, key)
            return None if raw is None or not _is_older(raw) else decode_pin(key, raw)
        return None if raw is None or (cid.version and _is_older(raw)) else decode_pin(key, raw)

    def wanted(self, cid: CID, name: str, now: float) -> Pin | None:
        """The record to write so that ``cid`` is pinned recursively, without expiry; None if it already is."""
        known = self.get(cid)
        if known is None or not known.recursive:
            return Pin(cid, True, name, now)
        if name or known.expires is not None:
            return Pin(cid, True, name or known.name, now)
        return None

    def page(self, after: bytes = b"", limit: int = PINS_PAGE) -> list[Pin]:
        """Up to ``limit`` pins after the cursor (Pin.cursor of the last one seen), ordered by CID bytes."""
        return [decode_pin(key, raw) for key, raw in self._state.page(StateTable.PINS, after, limit)]

    def count(self) -> int:
        """O(1)."""
        return self._state.count(StateTable.PINS)

    async def add(self, *pins: Pin) -> None:
        """Add or replace. All or none. Raises BadPinName, DatabaseUnavailable, StateReadOnly."""
        if not pins:
            return
        records = [(pin.cid, encode_pin(pin)) for pin in pins]

        def work(txn: Transaction) -> None:
            for cid, raw in records:
                self._put(txn, cid, raw)

        await self._state.update(work, [pin.cid for pin in pins])
        self._tell(pins)

    def _tell(self, pins: Sequence[Pin]) -> None:
        for hook in self.on_added:
            hook(pins)

    async def replace(self, old: CID, pin: Pin, *, keep_old: bool) -> None:
        """Write ``pin`` and remove the one of ``old``, both or none. Raises as add()."""
        raw = encode_pin(pin)

        def work(txn: Transaction) -> None:
            if not keep_old:
                self._delete(txn, old)
            self._put(txn, pin.cid, raw)

        await self._state.update(work, [pin.cid])
        self._tell([pin])

    async def remove_expired(self, now: float, cids: Sequence[CID]) -> None:
        """Remove those of ``cids`` whose pin has expired by now: one that was renewed in the meantime stays."""

        def work(txn: Transaction) -> None:
            for cid in cids:
                raw = self._own_record(txn, cid)
                if raw is not None and decode_pin(pin_key(cid), raw).expired(now):
                    self._delete(txn, cid)

        await self._state.update(work)

    async def remove(self, cids: Sequence[CID]) -> list[bool]:
        """Remove; True where one was there. All or none."""
        return await self._state.update(lambda txn: [self._delete(txn, cid) for cid in cids])

    # -- inside a transaction --------------------------------------------------------------------------------------

    def _own_record(self, txn: Transaction, cid: CID) -> bytes | None:
        """The record of exactly this CID, after moving one of the other version out of its place."""
        table = self._state.table(StateTable.PINS)
        older = _as_version_0(cid)
        raw: bytes | None = None if older is None else txn.get(_older_key(cid), db=table)
        if older is not None and raw is not None and _is_older(raw):
            txn.delete(_older_key(cid), db=table)
            if txn.get(pin_key(older), db=table) is None:
                txn.put(pin_key(older), raw, db=table)
        found: bytes | None = txn.get(pin_key(cid), db=table)
        return found

    def _put(self, txn: Transaction, cid: CID, raw: bytes) -> None:
        self._own_record(txn, cid)
        txn.put(pin_key(cid), raw, db=self._state.table(StateTable.PINS))

    def _delete(self, txn: Transaction, cid: CID) -> bool:
        self._own_record(txn, cid)
        return bool(txn.delete(pin_key(cid), db=self._state.table(StateTable.PINS)))

    def every(self) -> Iterable[Pin]:
        """All pins, page by page; concurrent changes may or may not show."""
        page = self.page()
        while page:
            yield from page
            page = self.page(page[-1].cursor)
