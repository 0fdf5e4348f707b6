"""Addresses through a relay, ``<relay>/p2p/RELAY/p2p-circuit``, and what may run over a limited connection. Pure.

Spec: https://github.com/libp2p/specs/blob/master/relay/README.md
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple, TypeVar

from cidery.identity.peer_id import PeerId, PeerIdError
from cidery.libp2p.protocols import identify, ping
from cidery.multiformats.multiaddr import Multiaddr
from cidery.multiformats.multiaddr_protocols import P2P, P2P_CIRCUIT

DCUTR = "/libp2p/dcutr"
ALLOWED = frozenset({identify.PROTOCOL, identify.PUSH_PROTOCOL, ping.PROTOCOL, DCUTR})
"""Protocols that run over limited connections: those that cost a relay little."""

T = TypeVar("T")


class Circuit(NamedTuple):
    """A relayed address, taken apart."""

    relay: PeerId
    addr: Multiaddr
    """Of the relay, without /p2p; without components, where only its id is known."""


CIRCUIT = Multiaddr(((P2P_CIRCUIT, b""),))
"""To listen for what relays bring."""


def circuit_of(addr: Multiaddr) -> Circuit | None:
    """None for an address that is not relayed, or by more than one relay."""
    codes = [code for code, _ in addr.components]
    if codes.count(P2P_CIRCUIT) != 1:
        return None
    at = codes.index(P2P_CIRCUIT)
    if not at or codes[at - 1] != P2P or any(code != P2P for code in codes[at + 1 :]) or P2P in codes[: at - 1]:
        return None
    try:
        relay = PeerId.decode(addr.components[at - 1][1])
    except PeerIdError:
        return None
    return Circuit(relay, Multiaddr(addr.components[: at - 1]))


def is_relayed(addr: Multiaddr) -> bool:
    return any(code == P2P_CIRCUIT for code, _ in addr.components)


def through(relay: PeerId, addr: Multiaddr) -> Multiaddr:
    """The address of a peer behind the relay at ``addr``."""
    return Multiaddr((*addr.with_peer(relay.multihash).components, (P2P_CIRCUIT, b"")))


class Allowed(Mapping[str, T]):
    """A view of handlers: those of protocols that run over limited connections."""

    def __init__(self, handlers: Mapping[str, T]) -> None:
        self._handlers = handlers

    def __getitem__(self, protocol: str) -> T:
        if protocol not in ALLOWED:
            raise KeyError(protocol)
        return self._handlers[protocol]

    def __iter__(self) -> Iterator[str]:
        return (protocol for protocol in self._handlers if protocol in ALLOWED)

    def __len__(self) -> int:
        return sum(1 for _ in self)
