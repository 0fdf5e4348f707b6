"""A connection over QUIC: datagrams of a shared socket in and out, timers, and the check of the peer's identity."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cidery import budgets
from cidery.errors import CideryError
from cidery.identity.peer_id import PeerId
from cidery.libp2p.io.connection import Connection, ConnectionFailed
from cidery.libp2p.io.connection_config import ConnectionConfig
from cidery.libp2p.io.udp_socket import DatagramSocket
from cidery.libp2p.protocols.channel import WrongPeer
from cidery.libp2p.protocols.quic_core import IDLE_TIMEOUT, Completed, Endpoint, IdIssued, IdRetired, QuicCore
from cidery.libp2p.protocols.quic_muxer import QuicError, QuicMuxer
from cidery.multiformats.multiaddr import Multiaddr

BATCH = 64
"""Datagrams handed to the socket at a time: what the kernel segments in one call."""
FLUSH_SLICE = 512 * 1024
"""Bytes made in one turn of the loop; the rest waits for the next turn."""
MAX_HANDSHAKE_BYTES = budgets.HANDSHAKE_BYTES.amount
MAX_REASON = 200
"""Characters of the reason that a peer is told."""
ALPN = "libp2p"


@dataclass(frozen=True, slots=True)
class QuicSecured:
    """Satisfies channel.Authenticated. Kubo names neither security nor muxer of a QUIC connection."""

    peer: PeerId
    public_key: bytes
    security: str = ""
    muxer: str | None = None


class QuicConnection(Connection):
    """Its transport feeds it. ``upgraded`` resolves once the certificate is checked, before any stream is taken."""

    _mux: QuicMuxer | None

    def __init__(
        self,
        config: ConnectionConfig,
        core: QuicCore,
        sock: DatagramSocket,
        remote_addr: Multiaddr,
        *,
        ids: dict[bytes, QuicConnection],
        targets: dict[Endpoint, QuicConnection],
        expected: PeerId | None,
        handshake_wait: float,
        wall_clock: Callable[[], datetime.datetime],
    ) -> None:
        """``expected`` None: whoever it is, came from outside.

        ``ids``, ``targets``: all connections of the transport by theirs, and by where their peers are.
        """
        super().__init__(config, outbound=expected is not None)
        self.remote_addr = remote_addr
        self._core = core
        self._socket = sock
        self._expected = expected
        self._ids = ids
        self._targets = targets
        self._own_ids: set[bytes] = set()
        self._handshake_until = config.clock() + handshake_wait
        """Until something has come; then as long as silence may last."""
        self._handshake_bytes = 0
        self._wall_clock = wall_clock
        self._target: Endpoint | None = None
        self._flushing = self._resumes = False
        self._armed_at: float | None = None
        self.answer_to(core.connection_id)
        self.made.set_result(None)

    def answer_to(self, connection_id: bytes) -> None:
        """Take datagrams that are addressed so."""
        self._own_ids.add(connection_id)
        self._ids[connection_id] = self

    def receive(self, datagrams: Sequence[bytes], source: Endpoint) -> None:
        """Datagrams for it, of one source. Call flush() once no more are at hand."""
        if not self.closed.done():
            self._core.receive(datagrams, source, self.config.clock())
            self.came(sum(map(len, datagrams)), len(datagrams))

    def came(self, size: int, datagrams: int = 1) -> None:
        """Bytes that the core was given."""
        if self._mux is not None:
            self._mux.came(size, datagrams, self.config.clock())
        else:
            self._handshake_until = self.opened_at + IDLE_TIMEOUT
            self._handshake_bytes += size
            if self._handshake_bytes > MAX_HANDSHAKE_BYTES:
                self.fail(QuicError(f"more than {MAX_HANDSHAKE_BYTES} bytes before authentication"))
        if self.closed.done():
            return  # nobody would be told again that it has ended
        self.config.received.came(self, size)
        if self._share.received(size) and self._mux is not None:
            self._mux.limit(reading_waits=True)

    def flush(self) -> None:
        """React to what was received, or begin a dial."""
        self._flush()

    # --- Connection

    def local_host(self) -> str | None:
        host = self._socket.endpoint[0]
        return None if host in ("0.0.0.0", "::") else host

    def held(self) -> int:
        return super().held() + (0 if self._mux is None else self._mux.parked)

    def _read_on(self) -> None:
        if self._mux is not None and not self.closed.done():
            self._mux.limit(reading_waits=False)
            self._flush()

    def _flush(self) -> None:
        """Take what the core tells, give it what streams have to send, and hand its datagrams to the socket."""
        if self._flushing or self.closed.done():
            return
        self._flushing = True
        left = FLUSH_SLICE
        try:
            while self._take_events():
                if self._mux is not None:
                    self._mux.fill()
                    self._dispatch()
                batch = self._next_batch()
                if not batch:
                    break
                left -= sum(map(len, batch))
                if left <= 0:
                    self._loop.call_soon(self._flush)
                    break
        finally:
            self._flushing = False
        if not self.closed.done() and (reason := self._core.ended) is not None:
            self.fail(ConnectionFailed(reason or "closed by the peer"))
        self._arm()  # what was sent wants an answer, and what is paced its time

    def _next_batch(self) -> list[bytes]:
        """Some datagrams, sent; none: there are none, or their time has not come."""
        batch: list[bytes] = []
        size, now = 0, self.config.clock()
        if self._socket.blocked:
            if not self._resumes:
                self._resumes = True
                self._socket.call_when_writable(self._resume)
            return batch
        room = self._share.room(urgent=self._mux is None or self._mux.urgent)
        while size < room and len(batch) < BATCH and (made := self._core.next_datagram(now)) is not None:
            datagram, target = made
            if target != self._target:
                self._send(batch)
                batch = []
                self._moved(target)
            batch.append(datagram)
            size += len(datagram)
        self._send(batch)
        return batch

    def _send(self, batch: list[bytes]) -> None:
        if batch and self._target is not None:
            self._share.sent(sum(map(len, batch)))
            self._socket.send(batch, self._target)

    def _moved(self, target: Endpoint) -> None:
        """The core has validated another path to the peer: it has moved."""
        if self._target is not None:
            self.remote_addr = Multiaddr.quic(*target)
            self._forget_target()
        self._target = target
        self._targets[target] = self

    def _forget_target(self) -> None:
        if self._target is not None and self._targets.get(self._target) is self:
            del self._targets[self._target]

    def _resume(self) -> None:
        self._resumes = False
        self._flush()

    def _take_events(self) -> bool:
        """Everything that the core has to tell; False: the connection ended by it."""
        now = self.config.clock()
        try:
            while (event := self._core.next_event()) is not None:
                match event:
                    case Completed():
                        self._start(event, now)
                    case IdIssued(connection_id):
                        self.answer_to(connection_id)
                    case IdRetired(connection_id):
                        self._own_ids.discard(connection_id)
                        self._ids.pop(connection_id, None)
                    case _:
                        if self._mux is None:
                            raise QuicError("a stream before the handshake is done")
                        self._mux.receive(event, now)
        except CideryError as exc:
            self._dispatch()
            self.fail(exc)
            return False
        self._dispatch()
        return True

    def _start(self, completed: Completed, now: float) -> None:
        """Raises QuicError, TlsError, WrongPeer."""
        from cidery.libp2p.protocols import tls  # by now the library has it too; a start need not pay for it

        if completed.alpn != ALPN:
            raise QuicError(f"the peer speaks {completed.alpn!r}")
        key = tls.verify_shown(completed.certificates, self._wall_clock())
        if self._expected is not None and key.peer_id != self._expected:
            raise WrongPeer("quic", self._expected, key.peer_id)
        self.secured = QuicSecured(key.peer_id, key.encode())
        self._share.peer = key.peer_id
        self.round_trip.smoothed = now - self.opened_at
        self._mux = QuicMuxer(
            self._core,
            initiator=self.outbound,
            now=now,
            round_trip=self.round_trip,
            timeouts=self.config.timeouts,
            spare=self.config.spare,
        )
        if self._share.reading_waits:
            self._mux.limit(reading_waits=True)
        self.upgraded.set_result(None)

    def _next_deadline(self) -> float:
        if self._mux is not None:
            return self._mux.next_deadline()
        timer = self._core.timer()
        return self._handshake_until if timer is None else min(timer, self._handshake_until)

    def _on_deadline(self) -> None:
        self._armed_at = None
        now = self.config.clock()
        if self._mux is None and not self.closed.done() and now < self._handshake_until:
            if (timer := self._core.timer()) is not None and timer <= now:
                self._core.handle_timer(now)
            self._flush()
            return
        super()._on_deadline()

    def _arm(self) -> None:
        if self.closed.done():
            return
        deadline = self._next_deadline()
        # most datagrams only move the deadline on: the timer that is set fires early and looks again
        if self._armed_at is None or deadline < self._armed_at:
            self._armed_at = deadline
            super()._arm()

    def _tell(self, exc: CideryError) -> None:
        self._core.close(str(exc)[:MAX_REASON])
        now = self.config.clock()
        while (made := self._core.next_datagram(now)) is not None:
            self._socket.send([made[0]], made[1])

    def _shut(self) -> None:
        for connection_id in self._own_ids:
            self._ids.pop(connection_id, None)
        self._forget_target()
