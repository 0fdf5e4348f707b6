"""Two ends of a QUIC connection in memory, in a time that the test moves: for tests of the core and of the muxer."""

from __future__ import annotations

import datetime
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache

from cidery.identity.keys import PrivateKey
from cidery.libp2p.protocols.qh3_core import Qh3Core, Qh3Identity, opening
from cidery.libp2p.protocols.quic_core import LARGE_DATAGRAM, CoreEvent, Endpoint
from cidery.libp2p.protocols.tls import TlsIdentity

CLIENT: Endpoint = ("127.0.0.1", 1)
SERVER: Endpoint = ("127.0.0.1", 2)
NOW = datetime.datetime(2026, 6, 1, tzinfo=datetime.UTC)


@cache
def key(number: int) -> PrivateKey:
    return PrivateKey.generate_ed25519(os.urandom)


@cache
def identity(number: int) -> Qh3Identity:
    return Qh3Identity(TlsIdentity(key(number), (), NOW))


def datagrams_of(core: Qh3Core, now: float) -> list[bytes]:
    out = []
    while (made := core.next_datagram(now)) is not None:
        out.append(made[0])
    return out


def events_of(core: Qh3Core) -> list[CoreEvent]:
    out = []
    while (event := core.next_event()) is not None:
        out.append(event)
    return out


@dataclass
class Pair:
    """``change`` may alter or drop (None) what the client (True) or the server sends."""

    dialling: Qh3Identity = field(default_factory=lambda: identity(1))
    accepting: Qh3Identity = field(default_factory=lambda: identity(2))
    change: Callable[[bytes, bool], bytes | None] = lambda data, _: data
    reset_token: Callable[[bytes], bytes] | None = None

    def __post_init__(self) -> None:
        self.now = 0.0
        self.client = Qh3Core.dialling(self.dialling, SERVER, LARGE_DATAGRAM, self.now)
        self.server: Qh3Core | None = None
        self.flights: list[tuple[bool, list[int]]] = []
        """Who sent datagrams of which sizes, in turns."""

    def turn(self) -> bool:
        """What the client sends reaches the server, and what that answers the client; False: nothing was sent."""
        any_sent = False
        for by_client in (True, False):
            sender = self.client if by_client else self.server
            sent = [] if sender is None else datagrams_of(sender, self.now)
            if not sent:
                continue
            any_sent = True
            self.flights.append((by_client, list(map(len, sent))))
            arriving = [data for one in sent if (data := self.change(one, by_client)) is not None]
            if by_client:
                if self.server is None and arriving and (asked := opening(arriving[0])) is not None:
                    self.server = Qh3Core.accepting(
                        self.accepting, LARGE_DATAGRAM, asked.destination_id, reset_token=self.reset_token
                    )
                if self.server is not None:
                    self.server.receive(arriving, CLIENT, self.now)
                    if self.server.without_hello:
                        self.server = None  # as the transport does
            else:
                self.client.receive(arriving, SERVER, self.now)
        return any_sent

    def run(self, turns: int = 20, pace: float = 0.005) -> None:
        """Turns, with ``pace`` seconds between them; timers are obeyed."""
        for _ in range(turns):
            self.turn()
            self.now += pace
            for core in (self.client, self.server):
                if core is not None and (timer := core.timer()) is not None and timer <= self.now:
                    core.handle_timer(self.now)
