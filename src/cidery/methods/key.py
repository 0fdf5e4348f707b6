"""node.key: keys, each of which owns a name. Exporting is for the command line only: `cidery key export`."""

from __future__ import annotations

from cidery.methods.blocking import BlockingGroup, blocking
from cidery.methods.caller import Group
from cidery.methods.results import Key as KeyResult
from cidery.methods.sources import pieces_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cidery.methods.caller import Value
    from cidery.methods.sources import Source

PROTOBUF = "libp2p-protobuf-cleartext"


class Key(Group):
    """The keys of this node. "self" is its identity."""

    async def gen(self, name: str, *, type: str = "ed25519", size: int | None = None) -> KeyResult:
        """Make a key. ``type``: "ed25519", "rsa" (``size`` in bits) or "secp256k1". Raises KeyExists, BadKeyName."""
        return _key(await self._value("key gen", name, type=type, size=size))

    async def ls(self) -> list[KeyResult]:
        """All keys, "self" first."""
        return [_key(one) for one in (await self._value("key ls"))["Keys"]]

    async def rename(self, name: str, new: str, *, force: bool = False) -> KeyResult:
        """Give a key another name. ``force``: replace another key of that name. Raises NoSuchKey, KeyExists."""
        value = await self._value("key rename", name, new, force=force)
        return KeyResult(value["Now"], value["Id"])

    async def rm(self, *names: str) -> list[KeyResult]:
        """Delete keys for good: nobody can publish under their names any more. Raises NoSuchKey."""
        return [_key(one) for one in (await self._value("key rm", *names))["Keys"]]

    async def import_(self, name: str, data: Source, *, format: str = PROTOBUF, any_type: bool = False) -> KeyResult:
        """Take over a key. ``data``: its bytes, or the path of a file.

        Args:
            format: "libp2p-protobuf-cleartext" or "pem-pkcs8-cleartext".
            any_type: also ECDSA.
        Raises: KeyExists, BadKey.
        """
        value = await self._value("key import", name, body=pieces_of(data), format=format, allow_any_key_type=any_type)
        return _key(value)

    async def sign(self, data: Source, *, key: str = "self") -> bytes:
        """The signature of a message of at most 64 MiB, by a key."""
        from cidery.multiformats.multibase import decode_multibase

        value = await self._value("key sign", body=pieces_of(data), key=key)
        return decode_multibase(value["Signature"])[1]

    async def verify(self, data: Source, signature: bytes, *, key: str = "self") -> bool:
        """Whether the signature of a message is that of a key, given by name or id."""
        from cidery.multiformats.multibase import encode_multibase

        text = encode_multibase("base64url", signature)
        value = await self._value("key verify", body=pieces_of(data), key=key, signature=text)
        return bool(value["SignatureValid"])


def _key(value: Value) -> KeyResult:
    return KeyResult(value["Name"], value["Id"])


class BlockingKey(BlockingGroup[Key]):
    """The methods of Key, blocking."""

    gen = blocking(Key.gen)
    ls = blocking(Key.ls)
    rename = blocking(Key.rename)
    rm = blocking(Key.rm)
    import_ = blocking(Key.import_)
    sign = blocking(Key.sign)
    verify = blocking(Key.verify)
