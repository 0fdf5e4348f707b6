"""The QUIC library qh3 as a QuicCore: the one module that knows it. Pure, but for the library's own randomness.

qh3's server does not ask for a client certificate, which libp2p needs: Context below adds that. It leans on how qh3 2.1
is made inside, so the dependency names that release, and tests/unit/test_libp2p_qh3_core.py holds what is leaned on.

Spec: https://github.com/libp2p/specs/blob/master/tls/tls.md, https://www.rfc-editor.org/rfc/rfc8446.html#section-4.3.2
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from qh3 import tls
from qh3._hazmat import Buffer as WireBuffer
from qh3._hazmat import SignatureError, UdpSocketState, pull_quic_header, verify_with_public_key
from qh3.quic import events
from qh3.quic.configuration import QuicConfiguration
from qh3.quic.connection import QuicConnection, QuicConnectionError
from qh3.quic.packet import (
    QuicPacketType,
    QuicProtocolVersion,
    encode_quic_retry,
    encode_quic_version_negotiation,
)
from qh3.quic.tls_bridge import QuicTlsBridge

from cidery.libp2p.protocols.quic_core import (
    CONNECTION_ID_SIZE,
    CONNECTION_WINDOW,
    IDLE_TIMEOUT,
    NO_ERROR,
    STREAM_WINDOW,
    Completed,
    CoreEvent,
    Endpoint,
    IdIssued,
    IdRetired,
    PingAnswered,
    SendingStopped,
    StreamAborted,
    StreamData,
)
from cidery.libp2p.protocols.tls import MAX_CERTIFICATE, TlsIdentity
from cidery.multiformats.varint import Buffer

logging.getLogger("quic").setLevel(logging.ERROR)  # the owner of a connection reports how it ends

ALPN = "libp2p"
VERSION = int(QuicProtocolVersion.VERSION_1)
CERT_NONE = 0
"""ssl.CERT_NONE: no authorities; tls.verify_shown() judges certificates."""
SIGNATURES = (
    tls.SignatureAlgorithm.ECDSA_SECP256R1_SHA256,
    tls.SignatureAlgorithm.ED25519,
    tls.SignatureAlgorithm.ECDSA_SECP384R1_SHA384,
    tls.SignatureAlgorithm.RSA_PSS_RSAE_SHA256,
    tls.SignatureAlgorithm.RSA_PSS_RSAE_SHA384,
    tls.SignatureAlgorithm.RSA_PSS_RSAE_SHA512,
)
"""By which peers may prove that they have their certificate's key, the usual one first."""
CIPHERS = (
    tls.CipherSuite.AES_128_GCM_SHA256,
    tls.CipherSuite.AES_256_GCM_SHA384,
    tls.CipherSuite.CHACHA20_POLY1305_SHA256,
)
MAX_FLIGHT = MAX_CERTIFICATE + 4096
"""Bytes of a client's answer at most: a certificate, a signature, and Finished."""
REFUSED = (ValueError, QuicConnectionError)
"""What verbs raise on a stream or connection that has ended meanwhile."""
HEADER = 4
"""Bytes before each handshake message: its type and its length."""


class Context(tls.Context):
    """TLS 1.3 whose server asks for the client's certificate, without post-quantum groups and decoys.

    qh3 leaves out of a server's transcript what it does not ask for. With ``_alps_negotiated`` it waits for further
    messages of the client's before it computes what Finished must hold: that is how these get in.
    """

    def __init__(self, **options: Any) -> None:
        self._request_into: WireBuffer | None = None
        self._certificate: Any = None
        super().__init__(**options)
        # a hello of one datagram: X25519MLKEM768 takes two, and more time than the rest of the handshake
        self._supported_groups = [tls.Group.X25519, tls.Group.SECP256R1]
        self._supported_versions = [tls.TLS_VERSION_1_3]
        self._compress_certificate_algorithms = None
        self._answer = b""
        self._proven = False

    @property
    def certificate(self) -> Any:
        """Read by qh3 once a server has begun its Certificate message: what is asked of the client goes before it."""
        if (buffer := self._request_into) is not None:
            self._request_into = None
            _push_certificate_request(buffer)
        return self._certificate

    @certificate.setter
    def certificate(self, value: Any) -> None:
        self._certificate = value

    def _server_handle_hello(
        self, input_buf: WireBuffer, initial_buf: WireBuffer, handshake_buf: WireBuffer, onertt_buf: WireBuffer
    ) -> None:
        self._alps_negotiated = True
        self._request_into = handshake_buf
        super()._server_handle_hello(input_buf, initial_buf, handshake_buf, onertt_buf)
        assert self._request_into is None  # else no certificate was asked for

    def handle_message(self, input_data: bytes, output_buf: dict[tls.Epoch, WireBuffer], epoch: int = -1) -> None:
        if self.state != tls.State.SERVER_EXPECT_FINISHED:
            super().handle_message(input_data, output_buf, epoch)
            return
        if epoch != tls.Epoch.HANDSHAKE:
            raise tls.AlertUnexpectedMessage
        self._answer += input_data
        if len(self._answer) > MAX_FLIGHT:
            raise tls.AlertBadCertificate("the client's answer is too long")
        while len(self._answer) >= HEADER:
            size = HEADER + int.from_bytes(self._answer[1:HEADER], "big")
            if len(self._answer) < size:
                return
            message, self._answer = self._answer[:size], self._answer[size:]
            self._take_answer(message, output_buf, epoch)

    def _take_answer(self, message: bytes, output_buf: dict[tls.Epoch, WireBuffer], epoch: int) -> None:
        if self._proven:
            super().handle_message(message, output_buf, epoch)
            return
        data = WireBuffer(data=message)
        if self._peer_certificate is None:
            shown = tls.pull_certificate(data)
            if not shown.certificates:
                raise tls.AlertBadCertificate("the client shows no certificate")
            self._process_certificate(shown)
        else:
            self._check_proof(tls.pull_certificate_verify(data))
            self._proven = True
        if not data.eof():
            raise tls.AlertDecodeError("bytes after a handshake message")
        assert self.key_schedule is not None  # a hello was answered
        self.key_schedule.update_hash(message)

    def _check_proof(self, proof: Any) -> None:
        if proof.algorithm not in SIGNATURES:
            raise tls.AlertDecryptError("a signature that was not asked for")
        assert self.key_schedule is not None and self._peer_certificate is not None  # in this order
        signed = self.key_schedule.certificate_verify_data(b"TLS 1.3, client CertificateVerify")
        try:
            verify_with_public_key(self._peer_certificate.public_key(), proof.algorithm, signed, proof.signature)
        except SignatureError as exc:
            raise tls.AlertDecryptError("the client has not the key of its certificate") from exc


def _push_certificate_request(buffer: WireBuffer) -> None:
    buffer.push_uint8(tls.HandshakeType.CERTIFICATE_REQUEST)
    with tls.push_block(buffer, 3):
        tls.push_opaque(buffer, 1, b"")
        with tls.push_block(buffer, 2), tls.push_extension(buffer, tls.ExtensionType.SIGNATURE_ALGORITHMS):
            tls.push_list(buffer, 2, buffer.push_uint16, list(SIGNATURES))


class HoldingConnection(QuicConnection):
    """qh3's connection with our Context, that leaves what came in its core while it holds.

    The core extends the peer's credit as its events are taken, not as packets come.
    """

    holding = False
    reset_token: bytes | None = None
    """By which the peer believes that a server has forgotten the connection; None: a random one."""

    def _create_tls(self, remote_source_cid: bytes | None) -> QuicTlsBridge:
        bridge = super()._create_tls(remote_source_cid)
        made, given = bridge.tls, self._configuration
        if self.reset_token is not None:
            bridge.stateless_reset_token = self.reset_token
            parameters = bridge.serialize_transport_parameters()
            made.handshake_extensions = [(tls.ExtensionType.QUIC_TRANSPORT_PARAMETERS, parameters)]
        context = Context(
            is_client=given.is_client,
            alpn_protocols=given.alpn_protocols,
            cipher_suites=given.cipher_suites,
            verify_mode=given.verify_mode,
            signature_algorithms=given.signature_algorithms,
        )
        for name in (
            "certificate",
            "certificate_chain",
            "certificate_private_key",
            "handshake_extensions",
            "alpn_cb",
            "update_traffic_key_cb",
        ):
            setattr(context, name, getattr(made, name))
        bridge.tls = context
        return bridge

    def _drain_core(self) -> None:
        if not self.holding:
            super()._drain_core()


@dataclass(frozen=True, slots=True)
class Opening:
    """The header of a datagram that belongs to no connection."""

    version: int
    is_initial: bool
    destination_id: bytes
    source_id: bytes
    token: bytes


def opening(datagram: bytes) -> Opening | None:
    """The long header that a datagram begins with; None: it has none. Never raises (fuzzed)."""
    try:
        version, kind, _, destination, source, token, *_ = pull_quic_header(datagram, 0, CONNECTION_ID_SIZE)
    except ValueError:
        return None
    if version is None:
        return None
    return Opening(version, kind == QuicPacketType.INITIAL, destination, source, token)


def retry(asked: Opening, retry_id: bytes, token: bytes) -> bytes:
    """The datagram that tells a client to come again with ``token``, addressing ``retry_id``."""
    made: bytes = encode_quic_retry(VERSION, retry_id, asked.source_id, asked.destination_id, token)
    return made


def versions(asked: Opening) -> bytes:
    """The datagram that tells a client which versions are spoken here."""
    made: bytes = encode_quic_version_negotiation(asked.destination_id, asked.source_id, [VERSION])
    return made


class Qh3Identity:
    """A node's certificate as qh3 takes it."""

    def __init__(self, identity: TlsIdentity) -> None:
        self._certificate, self._key = identity.pem()
        self.configuration = lru_cache(maxsize=8)(self._make)

    def _make(self, is_client: bool, datagram: int) -> QuicConfiguration:
        configuration = QuicConfiguration(
            is_client=is_client,
            alpn_protocols=[ALPN],
            connection_id_length=CONNECTION_ID_SIZE,
            idle_timeout=IDLE_TIMEOUT,
            max_data=CONNECTION_WINDOW,
            max_stream_data=STREAM_WINDOW,
            max_datagram_size=datagram,
            cipher_suites=list(CIPHERS),
            signature_algorithms=list(SIGNATURES),
            supported_versions=[VERSION],
            verify_mode=CERT_NONE,
        )
        configuration.load_cert_chain(self._certificate, self._key)
        return configuration


class Qh3Core:
    """Satisfies QuicCore. Made by dialling() and accepting()."""

    def __init__(self, connection: HoldingConnection) -> None:
        self._connection = connection
        self._failed: str | None = None
        self.connection_id: bytes = connection.host_cid

    @classmethod
    def dialling(cls, identity: Qh3Identity, target: Endpoint, datagram: int, now: float) -> Qh3Core:
        """A client's; ``datagram``: bytes of its datagrams, until it has found that larger ones arrive."""
        connection = HoldingConnection(configuration=identity.configuration(True, datagram))
        connection.connect(target, now)
        return cls(connection)

    @classmethod
    def accepting(
        cls,
        identity: Qh3Identity,
        datagram: int,
        original_id: bytes,
        retry_id: bytes | None = None,
        reset_token: Callable[[bytes], bytes] | None = None,
    ) -> Qh3Core:
        """A server's, before it takes the first datagram.

        Args:
            original_id: to which the client addressed its first datagram.
            retry_id: what a Retry told the client to use instead, which proved its address.
            reset_token: that of a connection id; None: nobody can be told later.
        """
        connection = HoldingConnection(
            configuration=identity.configuration(False, datagram),
            original_destination_connection_id=original_id,
            retry_source_connection_id=retry_id,
        )
        if reset_token is not None:
            connection.reset_token = reset_token(connection.host_cid)
        return cls(connection)

    @property
    def holding(self) -> bool:
        return self._connection.holding

    @holding.setter
    def holding(self, value: bool) -> None:
        self._connection.holding = value

    @property
    def ended(self) -> str | None:
        if self._failed is not None:
            return self._failed
        close = self._connection._close_event  # noqa: SLF001 - told as an event only after the draining period
        return None if close is None else close.reason_phrase or f"closed with error {close.error_code}"

    @property
    def without_hello(self) -> bool:
        """Whether a server's first datagram began no handshake: qh3's client pings first when its hello was lost."""
        return (self.ended or "").endswith("contains no CRYPTO frame")

    @property
    def round_trip(self) -> float | None:
        core = self._connection._core  # noqa: SLF001
        seconds: float | None = None if core is None else core.smoothed_rtt
        return seconds

    @property
    def stuck(self) -> bool:
        core = self._connection._core  # noqa: SLF001
        return core is None or not core.bytes_in_flight

    @property
    def may_open(self) -> bool:
        allowed: int = self._connection.max_concurrent_bidi_streams
        return int(self._connection.get_next_available_stream_id()) // 4 < allowed

    def receive(self, datagrams: Sequence[bytes], source: Endpoint, now: float) -> None:
        try:
            self._connection.receive_many_datagrams(list(datagrams), source, now)
        except Exception as exc:  # noqa: BLE001 - qh3 raises many kinds for hostile handshakes
            self._fail(exc)

    def next_datagram(self, now: float) -> tuple[bytes, Endpoint] | None:
        core = self._connection._core  # noqa: SLF001
        try:
            made = None if core is None else core.poll_transmit(now)
        except RuntimeError:
            return None  # "packet builder capacity exhausted": a server's handshake lost again and again; timers go on
        return None if made is None else (made[0], made[1])

    def next_event(self) -> CoreEvent | None:
        while (event := self._connection.next_event()) is not None:
            match event:
                case events.StreamDataReceived(data=data, end_stream=end, stream_id=stream_id):
                    return StreamData(stream_id, data, end)
                case events.StreamReset(stream_id=stream_id):
                    return StreamAborted(stream_id)
                case events.StopSendingReceived(stream_id=stream_id):
                    return SendingStopped(stream_id)
                case events.PingAcknowledged(uid=number):
                    return PingAnswered(number)
                case events.ConnectionIdIssued(connection_id=connection_id):
                    return IdIssued(connection_id)
                case events.ConnectionIdRetired(connection_id=connection_id):
                    return IdRetired(connection_id)
                case events.HandshakeCompleted(alpn_protocol=alpn):
                    return Completed(alpn, self._shown())
        return None

    def _shown(self) -> tuple[bytes, ...]:
        first = self._connection.get_peercert()
        if first is None:
            return ()
        return tuple(one.public_bytes() for one in (first, *self._connection.get_issuercerts()))

    def release(self) -> None:
        self.holding = False
        try:
            self._connection._drain_core()  # noqa: SLF001
        except Exception as exc:  # noqa: BLE001 - as in receive()
            self._fail(exc)

    def timer(self) -> float | None:
        seconds: float | None = self._connection.get_timer()
        return seconds

    def handle_timer(self, now: float) -> None:
        try:
            self._connection.handle_timer(now)
        except QuicConnectionError as exc:
            self._fail(exc)

    def open_stream(self) -> int:
        return int(self._connection._open_stream())  # noqa: SLF001 - the public way opens with the first bytes only

    def send(self, stream_id: int, data: Buffer, end: bool = False) -> bool:
        try:
            self._connection.send_stream_data(stream_id, data, end)
        except REFUSED:
            return False  # it was reset by the peer's wish
        return True

    def queued(self, stream_id: int) -> int:
        return int(self._connection.get_send_buffer_size(stream_id))

    def abort(self, stream_id: int) -> None:
        for end in (self._connection.reset_stream, self._connection.stop_stream):
            try:
                end(stream_id, NO_ERROR)
            except REFUSED:
                continue  # that direction has ended

    def ping(self, number: int) -> None:
        with suppress(*REFUSED):
            self._connection.send_ping(number)

    def close(self, reason: str) -> None:
        with suppress(*REFUSED):
            self._connection.close(NO_ERROR, None, reason)

    def _fail(self, exc: Exception) -> None:
        self._failed = f"{type(exc).__name__}: {exc}"
        self.close("")


def batching(descriptor: int) -> Any:
    """Batches of datagrams over a socket, segmented by the kernel where it can."""
    return UdpSocketState(descriptor)
