"""The keys of a node: its own, called "self", and the named ones of its keystore."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from cidery.errors import InvalidInput, NotFound
from cidery.identity.keys import MAX_RSA_BITS, MIN_RSA_BITS, BadKey, KeyType, PrivateKey, PublicKey
from cidery.identity.peer_id import PeerId, PeerIdError
from cidery.ipns.name import format_name, parse_name
from cidery.repo.keystore import SELF, KeyDamaged, KeyExists, KeyMissing, Keystore, file_name

FORMATS = ("libp2p-protobuf-cleartext", "pem-pkcs8-cleartext")
"""Formats for exporting and importing keys, all unencrypted."""
KINDS = ("ed25519", "rsa", "secp256k1")
"""Key types that can be generated."""
SIGNED_PREFIX = b"libp2p-key signed message:"
"""Prefixed to the data that ``key sign`` signs, so that it can never be a name or peer record."""


class BadKeyOption(InvalidInput):
    """An unknown type, size or format."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return self.reason


class NoSuchKey(NotFound):
    """Neither the name nor the id of a key."""

    def __init__(self, given: str) -> None:
        super().__init__(given)
        self.given = given

    def __str__(self) -> str:
        return f"there is no key {self.given[:60]!r}; list them with: cidery key ls"


class NamedKey(NamedTuple):
    """A key's name and the IPNS name that it owns."""

    name: str
    id: PeerId


def new_key(kind: str, size: int | None, entropy: Callable[[int], bytes]) -> PrivateKey:
    """A new key. ``size``: bits, for RSA only. Blocks; RSA takes up to seconds. Raises BadKeyOption."""
    if kind not in KINDS:
        raise BadKeyOption(f"there is no key type {kind[:20]!r}; choose from {', '.join(KINDS)}")
    if kind == "rsa":
        bits = MIN_RSA_BITS if size is None or size < 0 else size
        if not MIN_RSA_BITS <= bits <= MAX_RSA_BITS:
            raise BadKeyOption(f"an RSA key has {MIN_RSA_BITS} to {MAX_RSA_BITS} bits, not {bits}")
        return PrivateKey.generate_rsa(bits)
    if size is not None and size >= 0:
        raise BadKeyOption(f"only RSA keys have a size, {kind} has none")
    return PrivateKey.generate_ed25519(entropy) if kind == "ed25519" else PrivateKey.generate_secp256k1()


class KeyRing:
    """All keys of a node. Methods block for a few file operations; run them in a thread where this matters."""

    def __init__(self, own: PrivateKey, store: Keystore, entropy: Callable[[int], bytes]) -> None:
        self.own = own
        self.store = store
        self._entropy = entropy

    def every(self) -> list[NamedKey]:
        """Our own first, then by name. Damaged files are skipped. Raises OSError."""
        found = [NamedKey(SELF, self.own.peer_id)]
        for name in self.store.names():
            try:
                found.append(NamedKey(name, self.store.get(name).peer_id))
            except (KeyDamaged, KeyMissing):
                continue
        return found

    def get(self, text: str) -> PrivateKey:
        """A key by its name, or by the IPNS name or peer id that it owns. Raises NoSuchKey, KeyDamaged, OSError."""
        if text == SELF:
            return self.own
        try:
            return self.store.get(text)
        except (KeyMissing, InvalidInput):
            pass
        try:
            found = self.of(parse_name(text))
        except PeerIdError:
            found = None
        if found is None:
            raise NoSuchKey(text)
        return found

    def of(self, name: PeerId) -> PrivateKey | None:
        """The key that owns an IPNS name. Raises OSError."""
        if name == self.own.peer_id:
            return self.own
        named = next((key for key in self.every() if key.id == name), None)
        return None if named is None else self.store.get(named.name)

    def generate(self, name: str, kind: str, size: int | None = None) -> NamedKey:
        """Generate a key under a new name. Raises KeyExists, BadKeyName, BadKeyOption, KeystoreUnavailable.

        ``size``: of an RSA key. That of other kinds is fixed, whatever is asked for: Kubo's clients send one for every
        kind.
        """
        self._check_free(name)
        return self._put(name, new_key(kind, size if kind == "rsa" else None, self._entropy))

    def take(self, name: str, data: bytes, form: str, *, any_kind: bool = False) -> NamedKey:
        """Import a key. Raises BadKey, BadKeyOption, KeyExists, BadKeyName, KeystoreUnavailable."""
        if form not in FORMATS:
            raise BadKeyOption(f"there is no key format {form[:40]!r}; choose from {', '.join(FORMATS)}")
        self._check_free(name)
        key = PrivateKey.decode(data) if form == FORMATS[0] else PrivateKey.from_pem(data)
        if key.kind is KeyType.ECDSA and not any_kind:
            raise BadKey("ECDSA keys are imported with --allow-any-key-type only: few readers of names know them")
        return self._put(name, key)

    def give(self, text: str, form: str) -> bytes:
        """Export a key, unencrypted. Raises NoSuchKey, KeyDamaged, BadKeyOption, OSError."""
        if form not in FORMATS:
            raise BadKeyOption(f"there is no key format {form[:40]!r}; choose from {', '.join(FORMATS)}")
        key = self.get(text)
        return key.encode() if form == FORMATS[0] else key.to_pem()

    def rename(self, old: str, new: str, *, force: bool = False) -> tuple[NamedKey, bool]:
        """Returns (the renamed key, whether another was replaced). Raises as Keystore.rename()."""
        key = self.store.get(old)
        return NamedKey(new, key.peer_id), self.store.rename(old, new, force=force)

    def remove(self, names: Sequence[str]) -> list[NamedKey]:
        """Delete keys permanently, all or none. Raises KeyMissing, KeyDamaged, BadKeyName, KeystoreUnavailable."""
        keys = [NamedKey(name, self.store.get(name).peer_id) for name in dict.fromkeys(names)]
        for key in keys:
            self.store.remove(key.name)
        return keys

    def sign(self, text: str, data: bytes) -> tuple[NamedKey, bytes]:
        """A signature over SIGNED_PREFIX and ``data``. Raises as get()."""
        key = self.get(text)
        return NamedKey(text, key.peer_id), key.sign(SIGNED_PREFIX + data)

    def verify(self, text: str, data: bytes, signature: bytes) -> tuple[NamedKey, bool]:
        """Whether the key made the signature; it may be a foreign key that is embedded in its id. Raises NoSuchKey."""
        try:
            public = self.get(text).public
        except NoSuchKey:
            public = _inlined(text)
        return NamedKey(text, public.peer_id), public.verify(SIGNED_PREFIX + data, signature)

    def _check_free(self, name: str) -> None:
        file_name(name)
        if name in self.store.names():
            raise KeyExists(name)

    def _put(self, name: str, key: PrivateKey) -> NamedKey:
        self.store.put(name, key)
        return NamedKey(name, key.peer_id)


def _inlined(text: str) -> PublicKey:
    try:
        encoded = parse_name(text).inlined_public_key()
        if encoded is not None:
            return PublicKey.decode(encoded)
    except (PeerIdError, BadKey) as exc:
        raise NoSuchKey(text) from exc
    raise NoSuchKey(text)


def id_text(key: NamedKey, base: str) -> str:
    """The IPNS name as text; ``base`` "" is base36. Raises InvalidInput for an unknown base."""
    return format_name(key.id, base or "base36")
