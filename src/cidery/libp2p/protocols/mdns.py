"""Discovery on a local network: what the TXT record of a node says. Pure; the queries are zeroconf's.

A node answers for ``_p2p._udp.local`` with one record named by a random string, so that its peer id is not in a name;
its TXT strings are ``dnsaddr=`` and an address that ends in the peer id.

Spec: https://github.com/libp2p/specs/blob/master/discovery/mdns.md
"""

from collections.abc import Callable, Sequence

from cidery.identity.peer_id import PeerId, PeerIdError
from cidery.multiformats.multiaddr import Multiaddr, MultiaddrError

SERVICE = "_p2p._udp.local."
MAX_ADDRS = 16
"""Addresses of one node that are announced or read: its record has to fit into a datagram."""
MAX_STRING = 255
"""Bytes of one TXT string (RFC 1035)."""
MAX_TXT = 8 * 1024
"""Bytes of a TXT record that are looked at."""
NAME_LENGTH = 40
"""Characters of a node's name ("MUST be at least 32 characters")."""
_KEY = b"dnsaddr="
_LETTERS = "abcdefghijklmnopqrstuvwxyz012345"


def service_of(fingerprint: str = "") -> str:
    """The service's name; a private network has its own, so that the others do not see each other."""
    return f"_p2p-{fingerprint}._udp.local." if fingerprint else SERVICE


def random_name(entropy: Callable[[int], bytes]) -> str:
    """A node's name, new at each start."""
    return "".join(_LETTERS[byte % 32] for byte in entropy(NAME_LENGTH))


def encode_txt(addrs: Sequence[Multiaddr]) -> bytes:
    """The data of a TXT record: the first MAX_ADDRS addresses that fit, each with its /p2p."""
    out = b""
    for addr in addrs[:MAX_ADDRS]:
        text = _KEY + str(addr).encode()
        if len(text) <= MAX_STRING:
            out += bytes([len(text)]) + text
    return out


def decode_txt(data: bytes) -> dict[PeerId, list[Multiaddr]]:
    """Addresses (without /p2p) by peer; what does not parse is passed over. Never raises (fuzzed)."""
    found: dict[PeerId, list[Multiaddr]] = {}
    at = count = 0
    data = data[:MAX_TXT]
    while at < len(data) and count < MAX_ADDRS:
        end = at + 1 + data[at]
        text, at = data[at + 1 : end], end
        if not text.lower().startswith(_KEY):
            continue
        count += 1
        try:
            addr = Multiaddr.parse(text[len(_KEY) :].decode())
            peer_bytes = addr.peer_id_bytes
            if peer_bytes is None or addr.host() is None:
                continue
            found.setdefault(PeerId.decode(peer_bytes), []).append(addr.without_peer())
        except (UnicodeDecodeError, MultiaddrError, PeerIdError):
            continue
    return found
