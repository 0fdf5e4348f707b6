"""Private networks: below everything else, both directions of a connection are XORed with a key that members share.

::

    24 random bytes (nonce of what I send), then my bytes XOR XSalsa20(key, nonce)     the same from the other side

Whoever lacks the key sees noise, and what they send is noise to us: their handshake fails.

Spec: https://github.com/libp2p/specs/blob/master/pnet/Private-Networks-PSK-V1.md
"""

import base64
import binascii
import hashlib
import struct

from cidery.errors import InvalidInput

NONCE_SIZE = 24
KEY_SIZE = 32
MAX_KEY_FILE = 4096
"""Longest key file read, in bytes."""
_HEADER = b"/key/swarm/psk/1.0.0/"
_WORDS = struct.Struct("<4I")
_SIGMA = struct.unpack("<4I", b"expand 32-byte k")
_MASK = 0xFFFFFFFF


class BadSwarmKey(InvalidInput):
    """A key file that makes no sense."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"swarm.key: {self.reason}; it has three lines: /key/swarm/psk/1.0.0/, /base16/, 64 hex digits"


def parse_swarm_key(data: bytes) -> bytes:
    """The 32 bytes in a key file. Raises BadSwarmKey only (fuzzed)."""
    if len(data) > MAX_KEY_FILE:
        raise BadSwarmKey(f"longer than {MAX_KEY_FILE} bytes")
    header, _, rest = data.partition(b"\n")
    encoding, _, body = rest.partition(b"\n")
    if header.rstrip() != _HEADER:
        raise BadSwarmKey("it does not begin with /key/swarm/psk/1.0.0/")
    try:
        match encoding.rstrip():
            case b"/base16/":
                key = binascii.unhexlify(body.strip())
            case b"/base64/":
                key = base64.b64decode(body.strip(), validate=True)
            case b"/bin/":
                key = body[:KEY_SIZE]
            case _:
                raise BadSwarmKey("its encoding is none of /base16/, /base64/, /bin/")
    except (binascii.Error, ValueError) as exc:
        raise BadSwarmKey("the key is not in the encoding that it states") from exc
    if len(key) != KEY_SIZE:
        raise BadSwarmKey(f"the key has {len(key)} bytes, not {KEY_SIZE}")
    return key


def format_swarm_key(key: bytes) -> bytes:
    """A key file, as other implementations write it."""
    return _HEADER + b"\n/base16/\n" + key.hex().encode() + b"\n"


def fingerprint(key: bytes) -> str:
    """What may be shown of a key, and tells two networks apart: 32 hex digits, as go-libp2p makes them."""
    from Crypto.Cipher import Salsa20

    stream = Salsa20.new(key, b"finprint").encrypt(bytes(64))
    return hashlib.shake_128(stream).hexdigest(16)


class XSalsa20:
    """A keystream that continues from call to call."""

    def __init__(self, key: bytes, nonce: bytes) -> None:
        """``nonce``: 24 bytes."""
        from Crypto.Cipher import Salsa20

        self._stream = Salsa20.new(hsalsa20(key, nonce[:16]), nonce[16:])

    def apply(self, data: bytes | bytearray | memoryview) -> bytes:
        """The bytes XORed with the stream. Frees nothing, copies once; about 1 ms per MiB."""
        return self._stream.encrypt(data)

    def apply_in_place(self, data: memoryview) -> None:
        self._stream.encrypt(data, output=data)


def hsalsa20(key: bytes, nonce: bytes) -> bytes:
    """The key for a nonce's stream: twenty rounds of Salsa20 over the key and 16 bytes, without the final addition.

    Spec: https://cr.yp.to/snuffle/xsalsa-20110204.pdf
    """
    one, two = struct.unpack("<4I", key[:16]), struct.unpack("<4I", key[16:])
    x = [_SIGMA[0], *one, _SIGMA[1], *struct.unpack("<4I", nonce), _SIGMA[2], *two, _SIGMA[3]]
    for _ in range(10):
        for a, b, c, d in ((0, 4, 8, 12), (5, 9, 13, 1), (10, 14, 2, 6), (15, 3, 7, 11)):
            _quarter(x, a, b, c, d)
        for a, b, c, d in ((0, 1, 2, 3), (5, 6, 7, 4), (10, 11, 8, 9), (15, 12, 13, 14)):
            _quarter(x, a, b, c, d)
    return _WORDS.pack(x[0], x[5], x[10], x[15]) + _WORDS.pack(*x[6:10])


def _quarter(x: list[int], a: int, b: int, c: int, d: int) -> None:
    x[b] ^= _rotated(x[a] + x[d], 7)
    x[c] ^= _rotated(x[b] + x[a], 9)
    x[d] ^= _rotated(x[c] + x[b], 13)
    x[a] ^= _rotated(x[d] + x[c], 18)


def _rotated(value: int, by: int) -> int:
    value &= _MASK
    return (value << by | value >> (32 - by)) & _MASK
