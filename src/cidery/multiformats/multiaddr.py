"""Composable network addresses: ``/ip4/127.0.0.1/tcp/4001/p2p/QmPeer``.

Binary form: per component ``<code varint><value>``, the value led by its length where its size varies.

Spec: https://github.com/multiformats/multiaddr
"""

from typing import Literal, NamedTuple, Self
from urllib.parse import quote

from cidery.multiformats.multiaddr_protocols import (
    BY_CODE,
    BY_NAME,
    DNS,
    DNS4,
    DNS6,
    HTTP,
    HTTP_PATH,
    HTTPS,
    IP4,
    IP6,
    IP6ZONE,
    P2P,
    QUIC_V1,
    SNI,
    TCP,
    TLS,
    UDP,
    UNIX,
    WS,
    WSS,
    MultiaddrError,
)
from cidery.multiformats.varint import Buffer, VarintError, decode_uvarint, encode_uvarint

__all__ = ["Component", "HttpEndpoint", "MAX_MULTIADDR", "Multiaddr", "MultiaddrError", "WsEndpoint"]

MAX_MULTIADDR = 4096
"""Longest address accepted, in bytes or characters: several times the longest real one (I2P, certificate hashes)."""

Component = tuple[int, bytes]
"""Protocol code and value, without length prefix; b"" for a protocol without value."""


class WsEndpoint(NamedTuple):
    """Where a WebSocket listens."""

    host: str
    port: int
    secure: bool
    """Whether under TLS."""
    name: str
    """What the certificate is for; "": the host, which is an IP address."""
    path: str
    """Of the HTTP request, quoted, with its slash in front."""


class HttpEndpoint(NamedTuple):
    """Where HTTP is spoken."""

    host: str
    port: int
    secure: bool
    """Whether under TLS."""
    name: str
    """What the certificate is for; "": the host."""


class SocketEndpoint(NamedTuple):
    """A socket, whatever is spoken on it."""

    kind: Literal["TCP", "UDP"]
    host: str
    port: int


class Multiaddr:
    """An immutable, hashable address; at least one component. Made by parse() and decode(), which validate."""

    __slots__ = ("components",)

    def __init__(self, components: tuple[Component, ...]) -> None:
        self.components = components

    def __eq__(self, other: object) -> bool:
        return self.components == other.components if isinstance(other, Multiaddr) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.components)

    def __repr__(self) -> str:
        return f"Multiaddr({str(self)!r})"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse the text form. Reads any base of a peer id; a trailing slash is ignored. Raises MultiaddrError only."""
        if not text.startswith("/"):
            raise MultiaddrError("it must begin with a slash, as /ip4/127.0.0.1/tcp/4001 does", text)
        if len(text) > MAX_MULTIADDR:
            raise MultiaddrError(f"longer than {MAX_MULTIADDR} characters", text)
        parts = text.rstrip("/").split("/")[1:]
        if not parts:
            raise MultiaddrError("it has no components", text)
        try:
            return cls(tuple(_parse_components(parts)))
        except MultiaddrError as exc:
            raise MultiaddrError(exc.reason, text) from exc

    @classmethod
    def decode(cls, buf: Buffer) -> Self:
        """Decode the binary form that fills ``buf``, untrusted. Raises MultiaddrError only (fuzzed)."""
        if not 0 < len(buf) <= MAX_MULTIADDR:
            raise MultiaddrError(f"{len(buf)} bytes, 1 to {MAX_MULTIADDR} are allowed")
        components: list[Component] = []
        at = 0
        while at < len(buf):
            component, at = _decode_component(buf, at)
            components.append(component)
        return cls(tuple(components))

    @classmethod
    def tcp(cls, host: str, port: int) -> Self:
        """The address of an IPv4 or IPv6 socket (``fe80::1%eth0`` becomes /ip6zone). Raises MultiaddrError."""
        return cls.parse(f"/ip4/0.0.0.0/tcp/{port}").at_host(host)

    @classmethod
    def quic(cls, host: str, port: int) -> Self:
        """As tcp(), of QUIC version 1 over UDP."""
        return cls.parse(f"/ip4/0.0.0.0/udp/{port}/quic-v1").at_host(host)

    def encode(self) -> bytes:
        """The binary form."""
        out = bytearray()
        for code, value in self.components:
            out += encode_uvarint(code)
            if BY_CODE[code].size < 0:
                out += encode_uvarint(len(value))
            out += value
        return bytes(out)

    def __str__(self) -> str:
        out: list[str] = []
        for code, value in self.components:
            protocol = BY_CODE[code]
            out.append(protocol.name)
            if protocol.text is not None:
                out.append(protocol.text.format(value))
        return "/" + "/".join(out)

    @property
    def peer_id_bytes(self) -> bytes | None:
        """Multihash of the last /p2p component: the peer this address leads to. None without one."""
        return next((value for code, value in reversed(self.components) if code == P2P), None)

    def with_peer(self, peer_id: bytes) -> "Multiaddr":
        """This address ending in /p2p of the given multihash; a different one at the end is replaced."""
        return Multiaddr((*self.without_peer().components, (P2P, peer_id)) if self.components else ((P2P, peer_id),))

    def without_peer(self) -> "Multiaddr":
        """This address without a /p2p component at its end. May be empty, for "/p2p/ID" alone."""
        if self.components and self.components[-1][0] == P2P:
            return Multiaddr(self.components[:-1])
        return self

    def tcp_endpoint(self) -> tuple[str, int] | None:
        """(host, port) of a plain TCP address: ip4, ip6 (with zone) or dns, dns4, dns6, then tcp, then at most /p2p.

        None for everything else; WebSocket or relayed addresses are not plain TCP.
        """
        return self._endpoint(TCP)

    def quic_endpoint(self) -> tuple[str, int] | None:
        """(host, port) of a plain QUIC address, as tcp_endpoint(): udp and quic-v1 after the host, then at most /p2p.

        None for everything else; WebTransport or relayed addresses are not plain QUIC.
        """
        return self._endpoint(UDP, QUIC_V1)

    def ws_endpoint(self) -> WsEndpoint | None:
        """What a WebSocket address leads to; at most /p2p may follow. None for everything else, such as relayed ones.

        After the host and tcp: ``ws``; ``tls/ws`` or ``wss``; ``tls/sni/NAME/ws``; each with ``http-path`` or without.
        """
        length = self._host_length
        rest = self.without_peer().components[length:]
        host = self.host()
        if host is None or not rest or rest[0][0] != TCP:
            return None
        port, form = int.from_bytes(rest[0][1], "big"), list(rest[1:])
        path = form.pop()[1].lstrip(b"/") if form and form[-1][0] == HTTP_PATH else b""
        name = form.pop(1)[1].decode("utf-8") if len(form) == 3 and form[1][0] == SNI else ""
        codes = [code for code, _ in form]
        secure = codes in ([TLS, WS], [WSS])
        if not secure and codes != [WS] or (name and codes != [TLS, WS]):
            return None
        named = self.components[length - 1][0] in _NAMES
        return WsEndpoint(host, port, secure, name or (host if named else ""), "/" + quote(path, safe="/?&="))

    def http_endpoint(self) -> HttpEndpoint | None:
        """What an address of an HTTP server leads to; at most /p2p may follow. None for everything else.

        After the host and tcp: nothing or ``http``; ``tls``, ``tls/http`` or ``https``; ``tls/sni/NAME/http``.
        """
        length = self._host_length
        rest = self.without_peer().components[length:]
        host = self.host()
        if host is None or not rest or rest[0][0] != TCP:
            return None
        form = list(rest[1:])
        name = form.pop(1)[1].decode("utf-8") if len(form) == 3 and form[1][0] == SNI else ""
        codes = [code for code, _ in form]
        secure = codes in ([TLS], [TLS, HTTP], [HTTPS])
        if not secure and codes not in ([], [HTTP]) or (name and codes != [TLS, HTTP]):
            return None
        return HttpEndpoint(host, int.from_bytes(rest[0][1], "big"), secure, name)

    def with_port(self, port: int) -> "Multiaddr":
        """The same with another TCP port."""
        value = port.to_bytes(2, "big")
        return Multiaddr(tuple((code, value if code == TCP else old) for code, old in self.components))

    def socket_endpoint(self) -> SocketEndpoint | None:
        """The socket under an address that a node here can listen on: plain TCP, WebSocket or plain QUIC. Or None."""
        if (quic := self.quic_endpoint()) is not None:
            return SocketEndpoint("UDP", *quic)
        stream = self.tcp_endpoint() or self.ws_endpoint()
        return SocketEndpoint("TCP", stream[0], stream[1]) if stream is not None else None

    def with_name(self) -> "Multiaddr":
        """This address with the name in front of it as /sni where TLS needs it, so that the host can be replaced."""
        length = self._host_length
        found = self.ws_endpoint()
        if found is None or not found.secure or self.components[length - 1][0] not in _NAMES:
            return self
        codes = [code for code, _ in self.components]
        if SNI in codes:
            return self
        at = codes.index(WSS) if WSS in codes else codes.index(TLS)
        secure = ((TLS, b""), (SNI, found.name.encode()), *(((WS, b""),) if WSS in codes else ()))
        return Multiaddr((*self.components[:at], *secure, *self.components[at + 1 :]))

    def host(self) -> str | None:
        """The IP address (``fe80::1%eth0`` with a zone) or name that this address begins with. None without one.

        That of a relayed address is the relay's.
        """
        length = self._host_length
        if not length:
            return None
        zone = "%" + self.components[0][1].decode("utf-8") if length == 2 else ""
        code, value = self.components[length - 1]
        text = BY_CODE[code].text
        assert text is not None  # all of _HOSTS have values
        return text.format(value) + zone

    def at_host(self, host: str) -> Self:
        """The same with another IP address (``fe80::1%eth0`` becomes /ip6zone) in front. Raises MultiaddrError."""
        address, _, zone = host.partition("%")
        zoned = f"/ip6zone/{zone}" if zone else ""
        front = self.parse(f"{zoned}/{'ip6' if ':' in address else 'ip4'}/{address}")
        return type(self)((*front.components, *self.components[self._host_length :]))

    @property
    def _host_length(self) -> int:
        """How many components make the host in front."""
        codes = [code for code, _ in self.components[:2]]
        if codes == [IP6ZONE, IP6]:
            return 2
        return 1 if codes and codes[0] in _HOSTS else 0

    def _endpoint(self, port: int, *form: int) -> tuple[str, int] | None:
        length = self._host_length
        rest = self.without_peer().components[length:]
        host = self.host()
        if host is None or tuple(code for code, _ in rest) != (port, *form):
            return None
        return host, int.from_bytes(rest[0][1], "big")

    def unix_path(self) -> str | None:
        """The path of ``/unix/run/sock`` on this machine, absolute; None for every other address."""
        if len(self.components) != 1 or self.components[0][0] != UNIX:
            return None
        return "/" + self.components[0][1].decode("utf-8").lstrip("/")


_NAMES = frozenset({DNS, DNS4, DNS6})
_HOSTS = frozenset({IP4, IP6}) | _NAMES


def _parse_components(parts: list[str]) -> list[Component]:
    out: list[Component] = []
    at = 0
    while at < len(parts):
        name = parts[at]
        protocol = BY_NAME.get(name)
        if protocol is None:
            raise MultiaddrError(f"unknown protocol {name[:40]!r}")
        at += 1
        if protocol.text is None:
            out.append((protocol.code, b""))
            continue
        # /unix//run/sock is the path /run/sock, as others write it
        if at >= len(parts) or (not parts[at] and not (protocol.is_path and at + 1 < len(parts))):
            raise MultiaddrError(f"/{name} needs a value")
        text = parts[at]
        at += 1
        if protocol.is_path:
            text = "/".join([text, *parts[at:]])
            at = len(parts)
        out.append((protocol.code, protocol.text.parse(text)))
    return out


def _decode_component(buf: Buffer, at: int) -> tuple[Component, int]:
    try:
        code, at = decode_uvarint(buf, at)
        protocol = BY_CODE.get(code)
        if protocol is None:
            raise MultiaddrError(f"unknown protocol code {code}")
        size = protocol.size
        if size < 0:
            size, at = decode_uvarint(buf, at)
    except VarintError as exc:
        raise MultiaddrError(exc.reason) from exc
    if at + size > len(buf):
        raise MultiaddrError(f"truncated value of /{protocol.name}")
    value = bytes(buf[at : at + size])
    if protocol.text is not None:
        if not value:
            raise MultiaddrError(f"/{protocol.name} needs a value")
        protocol.text.format(value)  # raises where the bytes have no text form
        if protocol.is_path and at + size != len(buf):
            raise MultiaddrError(f"bytes after the path of /{protocol.name}, which takes all the rest")
    return (code, value), at + size
