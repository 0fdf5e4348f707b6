"""In which order the addresses of one peer are dialled: head starts in seconds. Pure.

As go-libp2p ranks them: QUIC before TCP, for it needs a round trip less, IPv6 before IPv4, direct addresses before
relayed ones. The next kind begins at the end of the head start, or as soon as all before it have failed. Where the peer
is near, TCP goes first: a round trip is nothing there, and the kernel's TCP costs less than QUIC in this process.
"""

from collections.abc import Callable, Iterable, Sequence

from cidery.libp2p.protocols.addresses import Scope, host_of, scope_of
from cidery.multiformats.multiaddr import Multiaddr
from cidery.multiformats.multiaddr_protocols import DNS6, P2P_CIRCUIT

PUBLIC_STEP = 0.25
"""Seconds between two kinds on the Internet (RFC 8305, "Connection Attempt Delay")."""
NEAR_STEP = 0.03
"""Seconds between two kinds where the peer is near or in a private net."""
RELAY_STEP = 0.5
"""Seconds that direct addresses have before relayed ones."""
NEAR = 0.002
"""Seconds of round trip below which TCP goes first."""

Ranked = list[tuple[Multiaddr, float]]
"""Each address and the seconds until its turn."""


def ranked(
    addrs: Sequence[Multiaddr], *, is_quic: Callable[[Multiaddr], bool], round_trip: Callable[[Multiaddr], float | None]
) -> Ranked:
    """All of ``addrs``, in no order. ``round_trip``: seconds as remembered of the peer or its net, None if unknown."""
    near: list[Multiaddr] = []
    private: list[Multiaddr] = []
    public: list[Multiaddr] = []
    relayed: list[Multiaddr] = []
    for addr in addrs:
        if any(code == P2P_CIRCUIT for code, _ in addr.components):
            relayed.append(addr)
        elif _is_near(addr, round_trip(addr)):
            near.append(addr)
        else:
            (private if scope_of(addr.encode()) is Scope.PRIVATE else public).append(addr)
    out = [
        *_in_steps(_kinds(near, is_quic, tcp_first=True), NEAR_STEP, 0.0),
        *_in_steps(_kinds(private, is_quic, tcp_first=False), NEAR_STEP, 0.0),
        *_in_steps(_kinds(public, is_quic, tcp_first=False), PUBLIC_STEP, 0.0),
    ]
    return out + _in_steps(_kinds(relayed, is_quic, tcp_first=False), PUBLIC_STEP, RELAY_STEP if out else 0.0)


def _is_near(addr: Multiaddr, seconds: float | None) -> bool:
    """Measured, or on this machine or a net at hand, as long as nothing else is known of it."""
    if seconds is not None:
        return seconds < NEAR
    return scope_of(addr.encode()) in (Scope.LOOPBACK, Scope.PRIVATE)


def _kinds(
    addrs: Iterable[Multiaddr], is_quic: Callable[[Multiaddr], bool], *, tcp_first: bool
) -> list[list[Multiaddr]]:
    kinds: list[list[Multiaddr]] = [[], [], [], []]
    for addr in addrs:
        kinds[(0 if is_quic(addr) is not tcp_first else 2) + (0 if _is_six(addr) else 1)].append(addr)
    return kinds


def _in_steps(kinds: list[list[Multiaddr]], step: float, first: float) -> Ranked:
    there = [kind for kind in kinds if kind]
    return [(addr, first + step * at) for at, kind in enumerate(there) for addr in kind]


def _is_six(addr: Multiaddr) -> bool:
    host = host_of(addr.encode())
    return host.version == 6 if host is not None else addr.components[0][0] == DNS6
