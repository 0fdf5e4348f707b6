"""Content identifiers: version, codec of the content, and multihash of its bytes.

CIDv0 is a bare sha2-256 multihash written in base58btc (``Qm...``), always dag-pb.
CIDv1 is ``<0x01><codec varint><multihash>`` in any multibase (base32 by default, ``b...``).

Spec: https://github.com/multiformats/cid
"""

from collections.abc import Sequence
from typing import Self

from cidery.errors import InvalidInput
from cidery.multiformats import multibase
from cidery.multiformats.multicodec import CODEC_NAMES, DAG_CBOR, DAG_PB, RAW
from cidery.multiformats.multihash import (
    HASHES_OF_NOTHING,
    IDENTITY,
    SHA2_256,
    Multihash,
    MultihashError,
    decode_multihash,
    multihash,
)
from cidery.multiformats.varint import Buffer, VarintError, decode_uvarint, encode_uvarint

MAX_CID_TEXT = 1024
"""Longest CID text accepted, in characters."""


class CIDError(InvalidInput):
    """Text or bytes that are not a CID."""

    def __init__(self, reason: str, given: str = "") -> None:
        super().__init__(reason, given)
        self.reason = reason
        self.given = given

    def __str__(self) -> str:
        return f"{self.given[:80]!r} is not a CID: {self.reason}" if self.given else f"bad CID: {self.reason}"


USUAL = {b"\x01\x55\x12\x20": RAW, b"\x01\x70\x12\x20": DAG_PB, b"\x01\x71\x12\x20": DAG_CBOR}
"""First bytes of nearly all CIDv1 in the wild (sha2-256), and their codec."""

USUAL_SIZE = 36
"""Bytes of these."""


class CID:
    """An immutable, hashable content identifier. Compared and ordered by its bytes."""

    __slots__ = ("_bytes", "codec", "multihash", "version")

    version: int
    """0 or 1."""
    codec: int
    """Multicodec of the content; 0x70 (dag-pb) for version 0."""
    multihash: bytes
    """The encoded multihash, the key of stored bytes."""
    _bytes: bytes

    def __init__(self, version: int, codec: int, multihash: bytes) -> None:
        """Trusts its arguments; untrusted input goes through decode() or parse()."""
        _set_version(self, version)
        _set_codec(self, codec)
        _set_multihash(self, multihash)
        _set_bytes(self, multihash if version == 0 else b"\x01" + encode_uvarint(codec) + multihash)

    @classmethod
    def usual(cls, codec: int, raw: bytes) -> Self:
        """A sha2-256 CIDv1 from its own bytes, which begin as USUAL says: as __init__, in half the time."""
        made = cls.__new__(cls)
        _set_version(made, 1)
        _set_codec(made, codec)
        _set_multihash(made, raw[2:])
        _set_bytes(made, raw)
        return made

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a CID is immutable, {name} cannot be set")

    @classmethod
    def of(cls, data: Buffer, codec: int = RAW, *, version: int = 1, hash_code: int = SHA2_256) -> Self:
        """The CID of ``data``. One pass over the bytes; releases the GIL for large ones."""
        return cls(version, codec, multihash(hash_code, data))

    @classmethod
    def decode_prefix(cls, buf: Buffer, start: int = 0) -> tuple[Self, int]:
        """Decode one binary CID at ``buf[start:]``; returns it and the offset after it.

        Raises:
            CIDError: truncated, unknown version, bad multihash, not minimal. Nothing else (fuzzed).
        """
        head = bytes(buf[start : start + 4])
        usual = USUAL.get(head)
        if usual is not None and len(buf) - start >= 36:
            return cls(1, usual, bytes(buf[start + 2 : start + 36])), start + 36
        if head[:2] == b"\x12\x20":
            if len(buf) - start < 34:
                raise CIDError("truncated CIDv0")
            return cls(0, DAG_PB, bytes(buf[start : start + 34])), start + 34
        try:
            version, at = decode_uvarint(buf, start)
            if version != 1:
                raise CIDError(f"version {version} is not known")
            codec, at = decode_uvarint(buf, at)
            _, end = decode_multihash(buf, at)
        except VarintError as exc:
            raise CIDError(exc.reason) from exc
        except MultihashError as exc:
            raise CIDError(exc.reason) from exc
        return cls(1, codec, bytes(buf[at:end])), end

    @classmethod
    def decode(cls, buf: Buffer) -> Self:
        """Decode a binary CID that fills ``buf``. Raises CIDError only."""
        if len(buf) == USUAL_SIZE and (codec := USUAL.get(bytes(buf[:4]))) is not None:
            return cls.usual(codec, bytes(buf))
        cid, end = cls.decode_prefix(buf)
        if end != len(buf):
            raise CIDError(f"{len(buf) - end} bytes after the CID")
        return cid

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse a CID in any supported multibase, or a bare ``Qm...`` CIDv0. Raises CIDError only (fuzzed)."""
        if not text:
            raise CIDError("empty text")
        if len(text) > MAX_CID_TEXT:
            raise CIDError(f"longer than {MAX_CID_TEXT} characters", text)
        try:
            if len(text) == 46 and text.startswith("Qm"):
                cid = cls.decode(multibase.decode_base58btc(text))
                if cid.version != 0:
                    raise CIDError("a CIDv0 is a sha2-256 multihash", text)
                return cid
            _, data = multibase.decode_multibase(text)
            cid = cls.decode(data)
        except multibase.MultibaseError as exc:
            raise CIDError(exc.reason, text) from exc
        except CIDError as exc:
            raise CIDError(exc.reason, text) from exc
        if cid.version == 0:
            # "CIDv0 ... MUST NOT be multibase-prefixed": https://github.com/multiformats/cid#decoding-algorithm
            raise CIDError("a CIDv0 has no multibase prefix", text)
        return cid

    def encode(self) -> bytes:
        """The binary form; for version 0 the bare multihash."""
        return self._bytes

    __bytes__ = encode

    def format(self, base: str = "base32") -> str:
        """Text in the given multibase; a CIDv0 is always base58btc without prefix."""
        if self.version == 0:
            return multibase.encode_base58btc(self.multihash)
        return multibase.encode_multibase(base, self._bytes)

    @staticmethod
    def texts(cids: "Sequence[CID]") -> list[str]:
        """``str()`` of each, at a third of its cost where there are many."""
        if all(len(cid._bytes) == USUAL_SIZE and cid.version for cid in cids):
            return multibase.encode_base32_many([cid._bytes for cid in cids])
        return [cid.format() for cid in cids]

    def to_v1(self) -> "CID":
        """The same content as CIDv1."""
        return self if self.version == 1 else CID(1, self.codec, self.multihash)

    def decoded_multihash(self) -> Multihash:
        return decode_multihash(self.multihash)[0]

    @property
    def is_identity(self) -> bool:
        """Whether the "hash" is the content itself."""
        return self.multihash[0] == IDENTITY

    @property
    def identity_data(self) -> bytes:
        """The content of an identity CID."""
        assert self.is_identity  # checked by the callers
        return self.decoded_multihash().digest

    @property
    def names_nothing(self) -> bool:
        """Whether the content is known to be no bytes at all: its hash is theirs, by one of the usual functions."""
        return self.multihash in HASHES_OF_NOTHING

    def __str__(self) -> str:
        return self.format()

    def __repr__(self) -> str:
        return f"CID({self.format()}, {CODEC_NAMES.get(self.codec, hex(self.codec))})"

    def __hash__(self) -> int:
        return hash(self._bytes)

    def __eq__(self, other: object) -> bool:
        return self._bytes == other._bytes if isinstance(other, CID) else NotImplemented

    def __lt__(self, other: "CID") -> bool:
        return self._bytes < other._bytes

    def __reduce__(self) -> tuple[object, ...]:
        return CID, (self.version, self.codec, self.multihash)


_set_version, _set_codec, _set_multihash, _set_bytes = (
    CID.__dict__[name].__set__ for name in ("version", "codec", "multihash", "_bytes")
)
"""What sets them although nothing may be set: half the cost of object.__setattr__()."""
