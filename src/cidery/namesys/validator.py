"""The rules for values under ``/ipns/`` in the DHT: valid records of that name; the better one stays."""

from collections.abc import Callable, Sequence

from cidery.identity.peer_id import PeerIdError
from cidery.ipns.name import name_of_routing_key
from cidery.ipns.record import IpnsRecord, IpnsRecordError, check
from cidery.kad.records import RecordInvalid


class IpnsValidator:
    """Satisfies kad.records.Validator. ``now``: nanoseconds since 1970."""

    def __init__(self, now: Callable[[], int]) -> None:
        self._now = now

    def validate(self, key: bytes, value: bytes) -> None:
        """Raises RecordInvalid."""
        try:
            check(value, name_of_routing_key(key), self._now())
        except (PeerIdError, IpnsRecordError) as exc:
            raise RecordInvalid(str(exc)) from exc

    def select(self, key: bytes, values: Sequence[bytes]) -> int:
        """The index of the best of valid records."""
        ranks = [IpnsRecord.decode(value).rank for value in values]
        return max(range(len(ranks)), key=ranks.__getitem__)
