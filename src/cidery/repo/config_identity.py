"""The identity in a config: the private key, and what of it can be told without computing."""

from __future__ import annotations

import base64
import binascii
from copy import deepcopy

from cidery.errors import CideryError
from cidery.repo.config_file import ConfigError, lookup

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cidery.identity.keys import PrivateKey
    from cidery.repo.config_file import Raw

PRIVATE_KEY = "Identity.PrivKey"
_ED25519_HEAD = b"\x08\x01\x12\x40"
"""Of a private key: its type and length; 32 bytes of seed and 32 of public key follow."""


def identity_in(raw: Raw) -> str:
    """The private key, in base64. Raises ConfigError if there is none."""
    identity = lookup(raw, PRIVATE_KEY)
    if not isinstance(identity, str) or not identity:
        raise ConfigError(PRIVATE_KEY, "is missing; restore the config from a copy")
    return identity


def peer_id_in(raw: Raw) -> str:
    """The peer id that the config states, or else the one that follows from the key. Raises ConfigError."""
    stated = lookup(raw, "Identity.PeerID")
    return stated if isinstance(stated, str) and stated else str(decoded_identity(identity_in(raw)).peer_id)


def public_key_of(identity: str) -> bytes:
    """The protobuf that peers are shown. An Ed25519 key holds it, so nothing is computed. Raises ConfigError."""
    key = _bytes(identity)
    if len(key) == len(_ED25519_HEAD) + 64 and key.startswith(_ED25519_HEAD):
        return b"\x08\x01\x12\x20" + key[-32:]
    return decoded_identity(identity).public.encode()


def decoded_identity(identity: str) -> PrivateKey:
    """The key of its base64 form. Raises ConfigError."""
    from cidery.identity.keys import PrivateKey

    try:
        return PrivateKey.decode(_bytes(identity))
    except CideryError as exc:
        raise _no_key() from exc


def _bytes(identity: str) -> bytes:
    try:
        return base64.b64decode(identity, validate=True)
    except binascii.Error as exc:
        raise _no_key() from exc


def _no_key() -> ConfigError:
    return ConfigError(PRIVATE_KEY, "is not a private key in base64; restore the config from a copy")


def with_identity(raw: Raw, key: PrivateKey) -> Raw:
    """A copy with another identity, the first one kept nowhere."""
    changed = deepcopy(raw)
    changed["Identity"] = {
        "PeerID": str(key.peer_id),
        "PrivKey": base64.b64encode(key.encode()).decode(),
    }
    return changed
