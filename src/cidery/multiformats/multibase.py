"""Text forms of bytes, each led by the character that names its base.

Decoders accept only what the encoder of the same base would write (canonical: no padding, no stray bits,
no other case).

Spec: https://github.com/multiformats/multibase
"""

import base64
import binascii
from collections.abc import Callable, Sequence
from functools import lru_cache

from cidery.errors import InvalidInput
from cidery.multiformats.base256emoji import BASE256_EMOJI

MAX_TEXT = 1 << 20
"""Longest text decoded in the linear bases, in characters."""
MAX_BIGNUM_TEXT = 4096
"""Longest text decoded in base36/base58, in characters: their cost is quadratic."""
MAX_ID_TEXT = 64
"""Longest text of an id that is kept decoded, in characters; the usual ones have 46 and 52."""

_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_BASE58_FLICKR = "123456789abcdefghijkmnopqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ"
_BASE36 = "0123456789abcdefghijklmnopqrstuvwxyz"
_TO_HEX32 = str.maketrans("abcdefghijklmnopqrstuvwxyz234567", "0123456789abcdefghijklmnopqrstuv")
_FROM_HEX32 = str.maketrans("0123456789abcdefghijklmnopqrstuv", "abcdefghijklmnopqrstuvwxyz234567")


class MultibaseError(InvalidInput):
    """Text that is not canonical in the base its first character names."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"bad multibase text: {self.reason}"


def _big_encode(data: bytes, alphabet: str) -> str:
    base = len(alphabet)
    zeros = len(data) - len(data.lstrip(b"\0"))
    number = int.from_bytes(data, "big")
    digits = []
    while number:
        number, digit = divmod(number, base)
        digits.append(alphabet[digit])
    return alphabet[0] * zeros + "".join(reversed(digits))


def _big_decode(text: str, alphabet: str) -> bytes:
    if len(text) > MAX_BIGNUM_TEXT:
        raise MultibaseError(f"longer than {MAX_BIGNUM_TEXT} characters")
    base, number = len(alphabet), 0
    for char in text:
        digit = alphabet.find(char)
        if digit < 0:
            raise MultibaseError(f"{char!r} is not a digit of base{base}")
        number = number * base + digit
    zeros = len(text) - len(text.lstrip(alphabet[0]))
    return bytes(zeros) + number.to_bytes((number.bit_length() + 7) // 8, "big")


_TEN = 58**10
"""As many digits at once stay small numbers."""
_PAIRS: list[str] = []
"""Two digits of base58 by their value."""


def encode_base58btc(data: bytes) -> str:
    """Encode without a prefix character, as CIDv0 and peer ids are written: 2 us for a usual multihash."""
    if not _PAIRS:
        _PAIRS.extend(high + low for high in _BASE58 for low in _BASE58)
    number, digits, pairs = int.from_bytes(data, "big"), "", _PAIRS
    while number:
        number, ten = divmod(number, _TEN)
        ten, d = divmod(ten, 3364)
        ten, c = divmod(ten, 3364)
        ten, b = divmod(ten, 3364)
        ten, a = divmod(ten, 3364)
        digits = f"{pairs[ten]}{pairs[a]}{pairs[b]}{pairs[c]}{pairs[d]}{digits}"
    return "1" * (len(data) - len(data.lstrip(b"\0"))) + digits.lstrip("1")


def decode_base58btc(text: str) -> bytes:
    """Decode text without a prefix character. Raises MultibaseError."""
    return _big_decode(text, _BASE58)


_decode_again = lru_cache(maxsize=512)(decode_base58btc)


def decode_base58btc_id(text: str) -> bytes:
    """As decode_base58btc(), for ids of peers: one request names the same id several times, each 5 us."""
    return _decode_again(text) if len(text) <= MAX_ID_TEXT else decode_base58btc(text)


_BASE32 = "abcdefghijklmnopqrstuvwxyz234567"
_GROUP = 40
"""Bytes encoded at once: the 36 of a usual CID fit."""
_TO_LETTERS = _BASE32.encode() + bytes(224)


_WIDE = 8 * _GROUP // 5
"""Characters of a group."""
_BATCH = 64
"""Groups encoded at once when there are many."""


def _spreading(lanes: int = 1) -> list[tuple[int, int, int]]:
    """(mask of upper halves, of lower halves, shift) of each step from a group in each lane to 5 bits in each byte."""
    steps = []
    bits, wide = 8 * _GROUP, 8 * _WIDE
    while bits > 5:
        bits, shift = bits // 2, 3 * bits // 10
        low = sum((1 << bits) - 1 << lane * wide for lane in range(lanes))
        steps.append((low << bits, low, shift))
        lanes, wide = 2 * lanes, wide // 2
    return steps


_STEPS = _spreading()
_steps_of_many: list[tuple[int, int, int]] = []


def _encode_base32(data: bytes) -> str:
    # Every CID is written here. base64.b32encode(), which is Python, takes 10 us; six steps on one number take 2.
    text = bytearray()
    for start in range(0, len(data), _GROUP):
        number = int.from_bytes(data[start : start + _GROUP].ljust(_GROUP, b"\0"), "big")
        for high, low, shift in _STEPS:
            number = (number & high) << shift | number & low
        text += number.to_bytes(_WIDE, "big")
    return text[: -(-8 * len(data) // 5)].translate(_TO_LETTERS).decode("ascii")


def encode_base32_many(parts: Sequence[bytes]) -> list[str]:
    """Encode parts of one size, at most 40 bytes, with the prefix character: 0.6 us each."""
    if not _steps_of_many:
        _steps_of_many.extend(_spreading(_BATCH))  # at the first use: they are 50 kB
    size = len(parts[0]) if parts else 0
    between, wanted = bytes(_WIDE - size), -(-8 * size // 5)
    lead, rest = bytes(_WIDE - _GROUP), bytes(_GROUP - size)
    found: list[str] = []
    for start in range(0, len(parts), _BATCH):
        batch = parts[start : start + _BATCH]
        number = int.from_bytes(lead + between.join(batch) + rest, "big")
        for high, low, shift in _steps_of_many:
            number = (number & high) << shift | number & low
        letters = number.to_bytes(len(batch) * _WIDE, "big").translate(_TO_LETTERS).decode("ascii")
        found += ["b" + letters[at : at + wanted] for at in range(0, len(letters), _WIDE)]
    return found


_BASE32_DIGITS = frozenset(_BASE32)
_TO_INT32 = str.maketrans(_BASE32, "0123456789abcdefghijklmnopqrstuv")


def _decode_base32(text: str) -> bytes:
    # Every CID is read here. int() takes 1 us where base64.b32decode(), which is Python, takes 20.
    if len(text) > MAX_TEXT:
        raise MultibaseError(f"longer than {MAX_TEXT} characters")
    if not _BASE32_DIGITS.issuperset(text):
        raise MultibaseError(
            "upper-case letter in base32" if text != text.lower() else "a character that is not base32"
        )
    number = int(text.translate(_TO_INT32), 32) if text else 0
    spare = len(text) * 5 % 8
    if spare >= 5 or number & ((1 << spare) - 1):
        raise MultibaseError("not canonical")
    return (number >> spare).to_bytes(len(text) * 5 // 8, "big")


def _encode_base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode("ascii").rstrip("=")


def _encode_base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii").rstrip("=")


def _exact(text: str, decode: Callable[[str], bytes], encode: Callable[[bytes], str]) -> bytes:
    if len(text) > MAX_TEXT:
        raise MultibaseError(f"longer than {MAX_TEXT} characters")
    try:
        data = decode(text)
    except (binascii.Error, ValueError) as exc:
        raise MultibaseError(str(exc)) from exc
    if encode(data) != text:
        raise MultibaseError("not canonical")
    return data


def _upper(encode: Callable[[bytes], str]) -> Callable[[bytes], str]:
    return lambda data: encode(data).upper()


def _from_upper(name: str, decode: Callable[[str], bytes]) -> Callable[[str], bytes]:
    def decode_upper(text: str) -> bytes:
        if text != text.upper():
            raise MultibaseError(f"lower-case letter in {name}")
        return decode(text.lower())

    return decode_upper


def _encode_identity(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as exc:
        raise MultibaseError("these bytes have no text form in the identity base") from exc


def _decode_base36(text: str) -> bytes:
    return _big_decode(text, _BASE36)


def _encode_base36(data: bytes) -> str:
    return _big_encode(data, _BASE36)


def _unhex(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise MultibaseError("not an even number of hexadecimal digits") from None


def _decode_base16(text: str) -> bytes:
    return _exact(text, _unhex, bytes.hex)


def _decode_base64url(text: str) -> bytes:
    return _exact(text, lambda t: base64.urlsafe_b64decode(t + "=" * (-len(t) % 4)), _encode_base64url)


def _decode_base64(text: str) -> bytes:
    return _exact(text, lambda t: base64.b64decode(t + "=" * (-len(t) % 4), validate=True), _encode_base64)


def _encode_base2(data: bytes) -> str:
    return "".join(f"{byte:08b}" for byte in data)


def _decode_base2(text: str) -> bytes:
    return _exact(text, lambda t: bytes(int(t[at : at + 8], 2) for at in range(0, len(t), 8)), _encode_base2)


def _encode_base32hex(data: bytes) -> str:
    return _encode_base32(data).translate(_TO_HEX32)


def _decode_base32hex(text: str) -> bytes:
    if set(text) - set(_BASE36[:32]):
        raise MultibaseError("a character outside base32hex")
    return _decode_base32(text.translate(_FROM_HEX32))


def _encode_emoji(data: bytes) -> str:
    return "".join(BASE256_EMOJI[byte] for byte in data)


def _decode_emoji(text: str) -> bytes:
    if len(text) > MAX_TEXT:
        raise MultibaseError(f"longer than {MAX_TEXT} characters")
    try:
        return bytes(_BYTE_OF_EMOJI[char] for char in text)
    except KeyError as exc:
        raise MultibaseError("a character outside base256emoji") from exc


_BYTE_OF_EMOJI = {char: byte for byte, char in enumerate(BASE256_EMOJI)}


def _padded(encode: Callable[[bytes], str], block: int) -> Callable[[bytes], str]:
    def encode_padded(data: bytes) -> str:
        text = encode(data)
        return text + "=" * (-len(text) % block)

    return encode_padded


def _from_padded(decode: Callable[[str], bytes], block: int) -> Callable[[str], bytes]:
    def decode_padded(text: str) -> bytes:
        bare = text.rstrip("=")
        if len(text) - len(bare) != -len(bare) % block:
            raise MultibaseError("wrong padding")
        return decode(bare)

    return decode_padded


BASES: dict[str, tuple[str, Callable[[bytes], str], Callable[[str], bytes]]] = {
    "identity": ("\0", _encode_identity, lambda text: text.encode("utf-8", "surrogatepass")),
    "base2": ("0", _encode_base2, _decode_base2),
    "base16": ("f", bytes.hex, _decode_base16),
    "base16upper": ("F", _upper(bytes.hex), _from_upper("base16upper", _decode_base16)),
    "base32": ("b", _encode_base32, _decode_base32),
    "base32upper": ("B", _upper(_encode_base32), _from_upper("base32upper", _decode_base32)),
    "base32pad": ("c", _padded(_encode_base32, 8), _from_padded(_decode_base32, 8)),
    "base32padupper": (
        "C",
        _upper(_padded(_encode_base32, 8)),
        _from_upper("base32padupper", _from_padded(_decode_base32, 8)),
    ),
    "base32hex": ("v", _encode_base32hex, _decode_base32hex),
    "base32hexupper": ("V", _upper(_encode_base32hex), _from_upper("base32hexupper", _decode_base32hex)),
    "base32hexpad": ("t", _padded(_encode_base32hex, 8), _from_padded(_decode_base32hex, 8)),
    "base32hexpadupper": (
        "T",
        _upper(_padded(_encode_base32hex, 8)),
        _from_upper("base32hexpadupper", _from_padded(_decode_base32hex, 8)),
    ),
    "base36": ("k", _encode_base36, _decode_base36),
    "base36upper": ("K", _upper(_encode_base36), _from_upper("base36upper", _decode_base36)),
    "base58btc": ("z", encode_base58btc, decode_base58btc),
    "base58flickr": (
        "Z",
        lambda data: _big_encode(data, _BASE58_FLICKR),
        lambda text: _big_decode(text, _BASE58_FLICKR),
    ),
    "base64": ("m", _encode_base64, _decode_base64),
    "base64pad": ("M", _padded(_encode_base64, 4), _from_padded(_decode_base64, 4)),
    "base64url": ("u", _encode_base64url, _decode_base64url),
    "base256emoji": (BASE256_EMOJI[0], _encode_emoji, _decode_emoji),
    "base64urlpad": ("U", _padded(_encode_base64url, 4), _from_padded(_decode_base64url, 4)),
}
"""name -> (prefix character, encode, decode)."""

_BY_PREFIX = {prefix: (name, decode) for name, (prefix, _, decode) in BASES.items()}


def encode_multibase(base: str, data: bytes) -> str:
    """Encode ``data`` with its prefix character. Raises MultibaseError for an unknown base."""
    if base not in BASES:
        raise MultibaseError(f"unknown base {base!r}; known: {', '.join(BASES)}")
    prefix, encode, _ = BASES[base]
    return prefix + encode(data)


def decode_multibase(text: str) -> tuple[str, bytes]:
    """Decode prefixed text. Returns (base name, bytes). Raises MultibaseError, nothing else (fuzzed)."""
    if not text:
        raise MultibaseError("empty")
    known = _BY_PREFIX.get(text[0])
    if known is None:
        raise MultibaseError(f"unknown base prefix {text[0]!r}")
    name, decode = known
    try:
        return name, decode(text[1:])
    except UnicodeError as exc:
        raise MultibaseError("not encodable") from exc
