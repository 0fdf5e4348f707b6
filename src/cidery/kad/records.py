"""Values in the DHT: who may put what under which key, and which of two values is the better one.

Only two namespaces exist: ``/pk/`` (public keys, checked here) and ``/ipns/`` (whose check is plugged in by
node/). Anything else is refused, or the DHT would be free storage.

Spec: https://specs.ipfs.tech/routing/kad-dht/#value-storage-and-retrieval
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

from cidery.errors import RemoteProtocolError
from cidery.identity.keys import BadKey, PublicKey
from cidery.identity.peer_id import PeerId, PeerIdError

MAX_VALUE = 10 * 1024
"""Longest value, in bytes: the limit of IPNS records, the longest kind there is."""


class RecordInvalid(RemoteProtocolError):
    """A value that may not stand under its key."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"record refused: {self.reason}"


class Validator(Protocol):
    """The rules of one namespace. Pure; a check that needs the time has it in its closure."""

    def validate(self, key: bytes, value: bytes) -> None:
        """Raises RecordInvalid if ``value`` may not stand under ``key`` (now)."""
        ...

    def select(self, key: bytes, values: Sequence[bytes]) -> int:
        """The index of the best of several valid values, at least one."""
        ...


class PublicKeyValidator:
    """``/pk/<peer id>``: the encoded public key of that peer. Any two valid values are equal."""

    def validate(self, key: bytes, value: bytes) -> None:
        try:
            peer = PeerId.decode(key.removeprefix(b"/pk/"))
            PublicKey.decode(value)
        except (PeerIdError, BadKey) as exc:
            raise RecordInvalid(str(exc)) from exc
        # #public-keys: "If the derived Peer ID does not match, the record MUST be rejected."
        if PeerId.of_public_key(value) != peer:
            raise RecordInvalid("the key does not hash to the peer id it stands under")

    def select(self, key: bytes, values: Sequence[bytes]) -> int:
        return 0


class Validators:
    """Validators by namespace. Satisfies Validator for every key."""

    def __init__(self, by_namespace: Mapping[str, Validator] | None = None) -> None:
        """``by_namespace``: "ipns" -> its validator; "pk" is always there."""
        self._by_namespace: dict[str, Validator] = {"pk": PublicKeyValidator(), **(by_namespace or {})}

    def validate(self, key: bytes, value: bytes) -> None:
        """Raises RecordInvalid."""
        if len(value) > MAX_VALUE:
            raise RecordInvalid(f"{len(value)} bytes, at most {MAX_VALUE} are allowed")
        self._of(key).validate(key, value)

    def select(self, key: bytes, values: Sequence[bytes]) -> int:
        """Raises RecordInvalid if the namespace is unknown."""
        return self._of(key).select(key, values)

    def best(self, key: bytes, values: Sequence[bytes]) -> bytes | None:
        """The best of the valid ones among ``values``, None if none is valid."""
        valid: list[bytes] = []
        for value in values:
            try:
                self.validate(key, value)
            except RecordInvalid:
                continue
            valid.append(value)
        return valid[self.select(key, valid)] if valid else None

    def _of(self, key: bytes) -> Validator:
        _, namespace, *rest = (*key.split(b"/", 2), b"", b"")
        validator = self._by_namespace.get(namespace.decode("ascii", "replace")) if key.startswith(b"/") else None
        # "Records with other prefixes are not supported by the IPFS Kademlia DHT and MUST be rejected."
        if validator is None or not rest[0]:
            raise RecordInvalid("its key is neither /pk/ID nor /ipns/ID")
        return validator
