"""Records of names in the precious state: our own, which are republished, those that are kept alive for others, and
those that others handed us to pass on.

One setting per name: ``name-own/``, ``name-follow/`` or ``name-held/`` and the multihash -> lifetime in nanoseconds
(u64, of own ones), the raw IPNS record.
"""

from collections.abc import Iterator
from typing import NamedTuple

from cidery.identity.peer_id import PeerId, PeerIdError
from cidery.ipns.record import IpnsRecord, IpnsRecordError
from cidery.repo.state import Put, State, StateTable

OWN = b"name-own/"
FOLLOWED = b"name-follow/"
HELD = b"name-held/"
_PAGE = 256


class StoredName(NamedTuple):
    """A name's record as stored."""

    name: PeerId
    record: IpnsRecord
    lifetime: int
    """Nanoseconds that the owner wants records to live; 0 for followed ones."""


class Names:
    """The records. Reads are synchronous and take microseconds; changes are durable when awaited."""

    def __init__(self, state: State) -> None:
        self._state = state

    def get(self, name: PeerId) -> StoredName | None:
        """The newest record of the name, from any of the sets; of equal ones our own."""
        found = [one for prefix in (OWN, FOLLOWED, HELD) if (one := self.of(prefix, name)) is not None]
        return max(found, key=lambda one: one.record.rank, default=None)

    def of(self, prefix: bytes, name: PeerId) -> StoredName | None:
        """The record among OWN, FOLLOWED or HELD; None also if it is damaged."""
        raw = self._state.get(StateTable.SETTINGS, prefix + name.multihash)
        return None if raw is None else _decode(name, raw)

    def every(self, prefix: bytes) -> Iterator[StoredName]:
        """All of OWN, of FOLLOWED or of HELD, by multihash; damaged ones are skipped."""
        after = prefix
        while True:
            page = self._state.page(StateTable.SETTINGS, after, _PAGE)
            for key, raw in page:
                if not key.startswith(prefix):
                    return
                try:
                    found = _decode(PeerId.decode(key[len(prefix) :]), raw)
                except PeerIdError:
                    continue
                if found is not None:
                    yield found
            if not page:
                return
            after = page[-1][0]

    async def put(self, prefix: bytes, name: PeerId, record: IpnsRecord, lifetime: int = 0) -> None:
        """Replace the record. Raises StateReadOnly, DatabaseUnavailable."""
        value = lifetime.to_bytes(8, "big") + record.raw
        await self._state.apply(Put(StateTable.SETTINGS, prefix + name.multihash, value))

    async def remove(self, prefix: bytes, name: PeerId) -> bool:
        """Forget it; False if there was none. Raises as put()."""
        key = prefix + name.multihash
        there = self._state.get(StateTable.SETTINGS, key) is not None
        if there:
            await self._state.apply(Put(StateTable.SETTINGS, key, None))
        return there


def _decode(name: PeerId, raw: bytes) -> StoredName | None:
    try:
        return StoredName(name, IpnsRecord.decode(raw[8:]), int.from_bytes(raw[:8], "big"))
    except IpnsRecordError:
        return None
