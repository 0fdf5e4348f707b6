"""Hash digests that name their function: ``<code varint><length varint><digest>``.

Hashing large buffers releases the GIL (hashlib, blake3), so callers may run it in threads.

Spec: https://github.com/multiformats/multihash
"""

import hashlib
from collections.abc import Callable
from typing import NamedTuple

from cidery.errors import InvalidInput
from cidery.multiformats.varint import Buffer, VarintError, decode_uvarint, encode_uvarint

IDENTITY = 0x00
SHA1 = 0x11
SHA2_256 = 0x12
SHA2_512 = 0x13
SHA3_512 = 0x14
SHA3_384 = 0x15
SHA3_256 = 0x16
SHA3_224 = 0x17
SHAKE_128 = 0x18
SHAKE_256 = 0x19
KECCAK_224 = 0x1A
KECCAK_256 = 0x1B
KECCAK_384 = 0x1C
KECCAK_512 = 0x1D
BLAKE3 = 0x1E
MURMUR3_X64_64 = 0x22
DBL_SHA2_256 = 0x56
BLAKE2B_MIN = 0xB201
BLAKE2B_256 = 0xB220
BLAKE2B_MAX = 0xB240
BLAKE2S_MIN = 0xB241
BLAKE2S_MAX = 0xB260

MAX_DIGEST = 128
"""Longest digest accepted, in bytes. Identity CIDs above it MUST be rejected (UnixFS spec, IPIP-512)."""
MIN_SECURE_DIGEST = 20
"""Shortest digest, in bytes, that content may be addressed by (identity excepted)."""

SHA2_256_PREFIX = b"\x12\x20"


class MultihashError(InvalidInput):
    """Bytes that are not a multihash, or an unknown hash function."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"bad multihash: {self.reason}"


class Multihash(NamedTuple):
    """A decoded multihash."""

    code: int
    """Multicodec of the hash function."""
    digest: bytes
    """0..128 bytes."""

    def encode(self) -> bytes:
        return encode_uvarint(self.code) + encode_uvarint(len(self.digest)) + self.digest


def decode_multihash(buf: Buffer, start: int = 0) -> tuple[Multihash, int]:
    """Decode one multihash at ``buf[start:]``; returns it and the offset after it. Raises only MultihashError."""
    try:
        code, at = decode_uvarint(buf, start)
        size, at = decode_uvarint(buf, at)
    except VarintError as exc:
        raise MultihashError(exc.reason) from exc
    if size > MAX_DIGEST:
        raise MultihashError(f"digest of {size} bytes, at most {MAX_DIGEST} are allowed")
    if at + size > len(buf):
        raise MultihashError("truncated digest")
    return Multihash(code, bytes(buf[at : at + size])), at + size


def _blake3(data: Buffer) -> bytes:
    from blake3 import blake3

    return bytes(blake3(data).digest())


def _murmur3_x64_64(data: Buffer) -> bytes:
    import mmh3

    # UnixFS HAMT: the first 64 bits of MurmurHash3 x64 128, big-endian.
    return mmh3.hash64(bytes(data), signed=False)[0].to_bytes(8, "big")


def _keccak(bits: int) -> Callable[[Buffer], bytes]:
    """Keccak as in Ethereum: SHA-3 with the padding from before the standard."""

    def digest(data: Buffer) -> bytes:
        from Crypto.Hash import keccak

        return keccak.new(data=bytes(data), digest_bits=bits).digest()

    return digest


def _hashlib(name: str) -> Callable[[Buffer], bytes]:
    return lambda data: hashlib.new(name, data, usedforsecurity=False).digest()


_FUNCTIONS: dict[int, tuple[str, int, Callable[[Buffer], bytes]]] = {
    IDENTITY: ("identity", -1, bytes),
    SHA1: ("sha1", 20, _hashlib("sha1")),
    SHA2_256: ("sha2-256", 32, lambda data: hashlib.sha256(data).digest()),
    SHA2_512: ("sha2-512", 64, lambda data: hashlib.sha512(data).digest()),
    SHA3_512: ("sha3-512", 64, _hashlib("sha3_512")),
    SHA3_384: ("sha3-384", 48, _hashlib("sha3_384")),
    SHA3_256: ("sha3-256", 32, _hashlib("sha3_256")),
    SHA3_224: ("sha3-224", 28, _hashlib("sha3_224")),
    SHAKE_128: ("shake-128", 32, lambda data: hashlib.shake_128(data).digest(32)),
    SHAKE_256: ("shake-256", 64, lambda data: hashlib.shake_256(data).digest(64)),
    KECCAK_224: ("keccak-224", 28, _keccak(224)),
    KECCAK_256: ("keccak-256", 32, _keccak(256)),
    KECCAK_384: ("keccak-384", 48, _keccak(384)),
    KECCAK_512: ("keccak-512", 64, _keccak(512)),
    BLAKE3: ("blake3", 32, _blake3),
    MURMUR3_X64_64: ("murmur3-x64-64", 8, _murmur3_x64_64),
    DBL_SHA2_256: ("dbl-sha2-256", 32, lambda data: hashlib.sha256(hashlib.sha256(data).digest()).digest()),
}


def _blake2(code: int) -> tuple[str, int, Callable[[Buffer], bytes]] | None:
    if BLAKE2B_MIN <= code <= BLAKE2B_MAX:
        size = code - BLAKE2B_MIN + 1
        return f"blake2b-{size * 8}", size, lambda data: hashlib.blake2b(data, digest_size=size).digest()
    if BLAKE2S_MIN <= code <= BLAKE2S_MAX:
        size = code - BLAKE2S_MIN + 1
        return f"blake2s-{size * 8}", size, lambda data: hashlib.blake2s(data, digest_size=size).digest()
    return None


def hash_function(code: int) -> tuple[str, int, Callable[[Buffer], bytes]]:
    """(name, digest length in bytes or -1, function) of a hash code. Raises MultihashError for an unknown one."""
    found = _FUNCTIONS.get(code) or _blake2(code)
    if found is None:
        raise MultihashError(f"hash function 0x{code:x} is not known")
    return found


def hash_names() -> dict[str, int]:
    """Every known function, name -> code."""
    names = {name: code for code, (name, _, _) in _FUNCTIONS.items()}
    for code in (*range(BLAKE2B_MIN, BLAKE2B_MAX + 1), *range(BLAKE2S_MIN, BLAKE2S_MAX + 1)):
        names[hash_function(code)[0]] = code
    return names


def multihash(code: int, data: Buffer, length: int = -1) -> bytes:
    """Hash ``data`` and return the encoded multihash, truncated to ``length`` bytes if that is not -1."""
    if code == SHA2_256 and length == -1:
        return SHA2_256_PREFIX + hashlib.sha256(data).digest()
    name, size, function = hash_function(code)
    digest = function(data)
    if length != -1:
        if not 0 < length <= len(digest):
            raise MultihashError(f"{name} has no digest of {length} bytes, it has {size}")
        digest = digest[:length]
    if len(digest) > MAX_DIGEST:
        raise MultihashError(f"identity digest of {len(digest)} bytes, at most {MAX_DIGEST} are allowed")
    return encode_uvarint(code) + encode_uvarint(len(digest)) + digest


HASHES_OF_NOTHING = frozenset(multihash(code, b"") for code in (SHA2_256, SHA2_512, SHA3_256, SHA3_512, BLAKE2B_256))
"""Multihashes of no bytes, by the functions of the standard library that content is addressed by."""


def matches(encoded: bytes, data: Buffer) -> bool:
    """Whether ``data`` hashes to the encoded multihash. Raises MultihashError for unknown functions."""
    if encoded[:2] == SHA2_256_PREFIX:
        return hashlib.sha256(data).digest() == encoded[2:]
    wanted, _ = decode_multihash(encoded)
    digest = hash_function(wanted.code)[2](data)
    if wanted.code == IDENTITY:
        return digest == wanted.digest
    return len(wanted.digest) >= MIN_SECURE_DIGEST and digest[: len(wanted.digest)] == wanted.digest
