"""Peer ids: the multihash of a node's public key.

Keys whose encoding takes at most 42 bytes (Ed25519, secp256k1) are inlined by the identity hash, others are hashed
with sha2-256. Text is base58btc (``12D3Koo...``, ``Qm...``) or a CIDv1 with the libp2p-key codec.

Spec: https://github.com/libp2p/specs/blob/master/peer-ids/peer-ids.md
"""

from functools import lru_cache
from typing import Self

from cidery.errors import InvalidInput
from cidery.multiformats import multibase
from cidery.multiformats.cid import CID, CIDError
from cidery.multiformats.multicodec import LIBP2P_KEY
from cidery.multiformats.multihash import IDENTITY, SHA2_256, MultihashError, decode_multihash, multihash
from cidery.multiformats.varint import Buffer

MAX_INLINE_KEY = 42
"""Longest encoded public key, in bytes, that the id carries itself (peer-ids spec)."""


class PeerIdError(InvalidInput):
    """Text or bytes that are not a peer id."""

    def __init__(self, reason: str, given: str = "") -> None:
        super().__init__(reason, given)
        self.reason = reason
        self.given = given

    def __str__(self) -> str:
        return f"{self.given[:80]!r} is not a peer id: {self.reason}" if self.given else f"bad peer id: {self.reason}"


_text_of = lru_cache(maxsize=512)(multibase.encode_base58btc)
"""Several objects stand for the same peer while it is dialled."""


class PeerId:
    """An immutable, hashable, ordered peer id."""

    __slots__ = ("_text", "multihash")

    def __init__(self, multihash: bytes) -> None:
        """Trusts its argument; untrusted input goes through decode() or parse()."""
        self.multihash = multihash
        self._text = ""

    @classmethod
    def of_public_key(cls, encoded: bytes) -> Self:
        """The id of a protobuf-encoded public key."""
        return cls(multihash(IDENTITY if len(encoded) <= MAX_INLINE_KEY else SHA2_256, encoded))

    @classmethod
    def decode(cls, buf: Buffer) -> Self:
        """Check the binary form. Raises PeerIdError only (fuzzed)."""
        try:
            decoded, end = decode_multihash(buf)
        except MultihashError as exc:
            raise PeerIdError(exc.reason) from exc
        if end != len(buf):
            raise PeerIdError(f"{len(buf) - end} bytes after the multihash")
        if decoded.code == SHA2_256:
            if len(decoded.digest) != 32:
                raise PeerIdError("a sha2-256 digest has 32 bytes")
        elif decoded.code != IDENTITY or len(decoded.digest) > MAX_INLINE_KEY:
            raise PeerIdError("neither a sha2-256 nor a short identity multihash")
        return cls(bytes(buf))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse base58btc or CIDv1 libp2p-key text. Raises PeerIdError only (fuzzed)."""
        try:
            if text.startswith(("1", "Qm")):
                return cls.decode(multibase.decode_base58btc_id(text))
            cid = CID.parse(text)
            if cid.codec != LIBP2P_KEY:
                raise PeerIdError("the CID's codec is not libp2p-key", text)
            return cls.decode(cid.multihash)
        except (multibase.MultibaseError, CIDError) as exc:
            raise PeerIdError(exc.reason, text) from exc
        except PeerIdError as exc:
            raise PeerIdError(exc.reason, text) from exc

    def inlined_public_key(self) -> bytes | None:
        """The encoded public key if the id carries it."""
        decoded, _ = decode_multihash(self.multihash)
        return decoded.digest if decoded.code == IDENTITY else None

    def to_cid(self) -> CID:
        return CID(1, LIBP2P_KEY, self.multihash)

    def __str__(self) -> str:
        if not self._text:
            self._text = _text_of(self.multihash)
        return self._text

    def __repr__(self) -> str:
        return f"PeerId({self})"

    def __hash__(self) -> int:
        return hash(self.multihash)

    def __eq__(self, other: object) -> bool:
        return self.multihash == other.multihash if isinstance(other, PeerId) else NotImplemented

    def __lt__(self, other: "PeerId") -> bool:
        return self.multihash < other.multihash
