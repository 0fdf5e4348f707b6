"""What a DHT server keeps for others, as it needs it; and provider records in memory.

Times are seconds of the wall clock: on disk records outlive the process.

Spec: https://specs.ipfs.tech/routing/kad-dht/#provider-records
"""

from collections import OrderedDict
from typing import Protocol

from cidery.identity.peer_id import PeerId

VALIDITY = 48 * 3600
"""Seconds a provider record counts. #provide-validity: "DHT Servers MUST implement a Provide Validity of 48h"."""
MAX_PER_KEY = 256
"""Providers of one key; a further one is refused until one expires."""
MAX_ANSWERED = 64
"""Providers handed out for one key, those that announced last first."""


class ProviderStore(Protocol):
    """What a server of the DHT keeps."""

    def add(self, key: bytes, peer: PeerId, now: float) -> bool:
        """Note that ``peer`` provides ``key``; False if a limit forbids it."""
        ...

    def get(self, key: bytes, now: float) -> list[PeerId]:
        """Providers of ``key``, newest first, at most MAX_ANSWERED."""
        ...


class MemoryProviders:
    """Without a disk: for nodes without a repository, and simulations."""

    def __init__(self, max_keys: int = 100_000) -> None:
        self._max_keys = max_keys
        self._keys: OrderedDict[bytes, dict[PeerId, float]] = OrderedDict()

    def add(self, key: bytes, peer: PeerId, now: float) -> bool:
        known = self._keys.setdefault(key, {})
        if peer not in known and len(known) >= MAX_PER_KEY:
            return False
        known.pop(peer, None)
        known[peer] = now + VALIDITY
        if len(self._keys) > self._max_keys:
            self._keys.popitem(last=False)
        return True

    def get(self, key: bytes, now: float) -> list[PeerId]:
        known = self._keys.get(key, {})
        # #provide-validity: "and discard the record after expiration"
        return [peer for peer, expires in reversed(known.items()) if expires > now][:MAX_ANSWERED]


class ValueStore(Protocol):
    """Times are seconds of the wall clock."""

    def get(self, key: bytes, now: float) -> tuple[bytes, float] | None:
        """(value, received at), None if there is none or it is too old."""
        ...

    def put(self, key: bytes, value: bytes, now: float) -> None:
        """Replace what is there."""
        ...
