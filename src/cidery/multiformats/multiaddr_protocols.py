"""The protocols of multiaddrs: code, name, size of the value, and how the value is written as text.

Deviations: ``memory`` is a 64-bit number as Go and Rust write it, where the table says "V"; aliases (``ipfs``) are read
and never written.

Spec: https://github.com/multiformats/multiaddr/blob/master/protocols.csv
"""

import base64
import binascii
import ipaddress
from collections.abc import Callable
from typing import NamedTuple
from urllib.parse import quote, unquote_to_bytes

from cidery.errors import InvalidInput
from cidery.multiformats import multibase
from cidery.multiformats.cid import CID, CIDError
from cidery.multiformats.multicodec import LIBP2P_KEY
from cidery.multiformats.multihash import MultihashError, decode_multihash

IP4, TCP, UDP, IP6, IP6ZONE = 4, 6, 273, 41, 42
DNS, DNS4, DNS6, DNSADDR = 53, 54, 55, 56
P2P, P2P_CIRCUIT, UNIX, TLS, NOISE, WS, WSS, QUIC_V1, MEMORY = 421, 290, 400, 448, 454, 477, 478, 461, 777
SNI, HTTP, HTTPS, HTTP_PATH = 449, 480, 443, 481


class MultiaddrError(InvalidInput):
    """Text or bytes that are not a multiaddr."""

    def __init__(self, reason: str, given: str = "") -> None:
        super().__init__(reason, given)
        self.reason = reason
        self.given = given

    def __str__(self) -> str:
        return (
            f"{self.given[:80]!r} is not a multiaddr: {self.reason}" if self.given else f"bad multiaddr: {self.reason}"
        )


class Transcoder(NamedTuple):
    """Both directions of a value. Each raises MultiaddrError."""

    parse: Callable[[str], bytes]
    format: Callable[[bytes], str]


class AddrProtocol(NamedTuple):
    """One row of the protocol table."""

    code: int
    name: str
    size: int
    """Length of the value in bytes; -1: length-prefixed."""
    text: Transcoder | None
    """None where the protocol has no value."""
    is_path: bool = False
    """Whether the value takes the rest of the text, slashes included."""


def decimal(text: str, limit: int) -> int:
    """A plain decimal number ``0 <= n <= limit``, as it would be printed. Raises MultiaddrError."""
    if not (text.isascii() and text.isdigit()) or len(text) > 20 or (len(text) > 1 and text[0] == "0"):
        raise MultiaddrError(f"{text[:40]!r} is not a number")
    value = int(text)
    if value > limit:
        raise MultiaddrError(f"{value} is above {limit}")
    return value


def _number(size: int) -> Transcoder:
    limit = (1 << 8 * size) - 1
    return Transcoder(
        lambda text: decimal(text, limit).to_bytes(size, "big"),
        lambda value: str(int.from_bytes(value, "big")),
    )


def _parse_ip4(text: str) -> bytes:
    try:
        return ipaddress.IPv4Address(text).packed
    except ValueError as exc:
        raise MultiaddrError(f"{text[:40]!r} is not an IPv4 address") from exc


def _parse_ip6(text: str) -> bytes:
    try:
        address = ipaddress.IPv6Address(text)
    except ValueError as exc:
        raise MultiaddrError(f"{text[:60]!r} is not an IPv6 address") from exc
    if address.scope_id is not None:
        raise MultiaddrError("the zone of an IPv6 address goes before it: /ip6zone/NAME/ip6/ADDRESS")
    return address.packed


def _format_ip6(value: bytes) -> str:
    address = ipaddress.IPv6Address(value)
    # Python 3.13 prints mapped addresses dotted, older ones do not: one form for all.
    return f"::ffff:{address.ipv4_mapped}" if address.ipv4_mapped else str(address)


def _parse_name(text: str) -> bytes:
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError as exc:
        raise MultiaddrError("text that is not Unicode") from exc


def _format_name(value: bytes) -> str:
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError as exc:
        raise MultiaddrError("a name that is not UTF-8") from exc
    if "/" in text:
        raise MultiaddrError("a name with a slash in it")
    return text


def _format_unix(value: bytes) -> str:
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError as exc:
        raise MultiaddrError("a path that is not UTF-8") from exc
    if not text.startswith("/") or text.endswith("/"):
        raise MultiaddrError("a unix path that does not start with one name and end in another")
    return text[1:]


def _parse_p2p(text: str) -> bytes:
    try:
        if text.startswith(("Qm", "1")):
            value = multibase.decode_base58btc_id(text)
        else:
            cid = CID.parse(text)
            if cid.codec != LIBP2P_KEY:
                raise MultiaddrError(f"{text[:80]!r} is a CID of content, not of a peer")
            value = cid.multihash
    except (multibase.MultibaseError, CIDError) as exc:
        raise MultiaddrError(f"{text[:80]!r} is not a peer id") from exc
    _check_multihash(value)
    return value


def _check_multihash(value: bytes) -> None:
    try:
        _, end = decode_multihash(value)
    except MultihashError as exc:
        raise MultiaddrError(str(exc)) from exc
    if end != len(value):
        raise MultiaddrError("bytes after the multihash")


def _format_p2p(value: bytes) -> str:
    _check_multihash(value)
    return multibase.encode_base58btc(value)


def _parse_certhash(text: str) -> bytes:
    try:
        _, value = multibase.decode_multibase(text)
    except multibase.MultibaseError as exc:
        raise MultiaddrError(str(exc)) from exc
    _check_multihash(value)
    return value


def _format_certhash(value: bytes) -> str:
    _check_multihash(value)
    return multibase.encode_multibase("base64url", value)


def _base32(text: str, what: str) -> bytes:
    try:
        return base64.b32decode(text.upper() + "=" * (-len(text) % 8))
    except (binascii.Error, ValueError) as exc:
        raise MultiaddrError(f"{text[:40]!r} is not {what}") from exc


def _onion(size: int) -> Transcoder:
    def parse(text: str) -> bytes:
        host, colon, port = text.partition(":")
        value = _base32(host, "an onion host")
        if not colon or len(value) != size or len(host) != size * 8 // 5:
            raise MultiaddrError(f"an onion address is {size * 8 // 5} characters, a colon and a port")
        number = decimal(port, 65535)
        if number == 0:
            raise MultiaddrError("port 0 in an onion address")
        return value + number.to_bytes(2, "big")

    def format_(value: bytes) -> str:
        port = int.from_bytes(value[size:], "big")
        if port == 0:
            raise MultiaddrError("port 0 in an onion address")
        return f"{base64.b32encode(value[:size]).decode('ascii').lower()}:{port}"

    return Transcoder(parse, format_)


_GARLIC64_MIN = 386
"""Shortest I2P destination, in bytes (public keys and a null certificate less one)."""
_I2P = str.maketrans("-~", "+/")
_TO_I2P = str.maketrans("+/", "-~")


def _parse_garlic64(text: str) -> bytes:
    try:
        value = base64.b64decode(text.translate(_I2P), validate=True)
    except (binascii.Error, ValueError) as exc:
        raise MultiaddrError("not an I2P destination") from exc
    _format_garlic64(value)
    return value


def _format_garlic64(value: bytes) -> str:
    if len(value) < _GARLIC64_MIN:
        raise MultiaddrError(f"an I2P destination has at least {_GARLIC64_MIN} bytes")
    return base64.b64encode(value).decode("ascii").translate(_TO_I2P)


def _parse_garlic32(text: str) -> bytes:
    if len(text) != 52 and len(text) < 55:
        raise MultiaddrError("an I2P name has 52 characters, or 55 and more")
    value = _base32(text, "an I2P name")
    _format_garlic32(value)
    return value


def _format_garlic32(value: bytes) -> str:
    if len(value) != 32 and len(value) < 35:
        raise MultiaddrError("an I2P name has 32 bytes, or 35 and more")
    return base64.b32encode(value).decode("ascii").rstrip("=").lower()


def _parse_http_path(text: str) -> bytes:
    return unquote_to_bytes(text)


def _format_http_path(value: bytes) -> str:
    return quote(value, safe="")


_NAME = Transcoder(_parse_name, _format_name)
_PORT = _number(2)

_ROWS = [
    AddrProtocol(IP4, "ip4", 4, Transcoder(_parse_ip4, lambda value: ".".join(map(str, value)))),
    AddrProtocol(TCP, "tcp", 2, _PORT),
    AddrProtocol(UDP, "udp", 2, _PORT),
    AddrProtocol(33, "dccp", 2, _PORT),
    AddrProtocol(IP6, "ip6", 16, Transcoder(_parse_ip6, _format_ip6)),
    AddrProtocol(IP6ZONE, "ip6zone", -1, _NAME),
    AddrProtocol(43, "ipcidr", 1, _number(1)),
    AddrProtocol(DNS, "dns", -1, _NAME),
    AddrProtocol(DNS4, "dns4", -1, _NAME),
    AddrProtocol(DNS6, "dns6", -1, _NAME),
    AddrProtocol(DNSADDR, "dnsaddr", -1, _NAME),
    AddrProtocol(132, "sctp", 2, _PORT),
    AddrProtocol(301, "udt", 0, None),
    AddrProtocol(302, "utp", 0, None),
    AddrProtocol(UNIX, "unix", -1, Transcoder(lambda text: _parse_name("/" + text), _format_unix), is_path=True),
    AddrProtocol(P2P, "p2p", -1, Transcoder(_parse_p2p, _format_p2p)),
    AddrProtocol(444, "onion", 12, _onion(10)),
    AddrProtocol(445, "onion3", 37, _onion(35)),
    AddrProtocol(446, "garlic64", -1, Transcoder(_parse_garlic64, _format_garlic64)),
    AddrProtocol(447, "garlic32", -1, Transcoder(_parse_garlic32, _format_garlic32)),
    AddrProtocol(TLS, "tls", 0, None),
    AddrProtocol(SNI, "sni", -1, _NAME),
    AddrProtocol(NOISE, "noise", 0, None),
    AddrProtocol(460, "quic", 0, None),
    AddrProtocol(QUIC_V1, "quic-v1", 0, None),
    AddrProtocol(465, "webtransport", 0, None),
    AddrProtocol(466, "certhash", -1, Transcoder(_parse_certhash, _format_certhash)),
    AddrProtocol(HTTP, "http", 0, None),
    AddrProtocol(HTTP_PATH, "http-path", -1, Transcoder(_parse_http_path, _format_http_path)),
    AddrProtocol(HTTPS, "https", 0, None),
    AddrProtocol(WS, "ws", 0, None),
    AddrProtocol(WSS, "wss", 0, None),
    AddrProtocol(479, "p2p-websocket-star", 0, None),
    AddrProtocol(277, "p2p-stardust", 0, None),
    AddrProtocol(275, "p2p-webrtc-star", 0, None),
    AddrProtocol(276, "p2p-webrtc-direct", 0, None),
    AddrProtocol(280, "webrtc-direct", 0, None),
    AddrProtocol(281, "webrtc", 0, None),
    AddrProtocol(P2P_CIRCUIT, "p2p-circuit", 0, None),
    AddrProtocol(MEMORY, "memory", 8, _number(8)),
]

BY_CODE = {row.code: row for row in _ROWS}
BY_NAME = {row.name: row for row in _ROWS} | {"ipfs": next(row for row in _ROWS if row.code == P2P)}
