"""TLS to a daemon: whom it trusts, a blocking socket that two threads may use, and what a refusal means.

A certificate that does not fit is always refused; there is no switch for that. Imported only for such daemons.

Spec: https://www.rfc-editor.org/rfc/rfc8446, https://www.rfc-editor.org/rfc/rfc9110#section-4.3.4
"""

from __future__ import annotations

import asyncio
import os
import ssl
import threading
from functools import lru_cache

from cidery.client.answer import NoSecureConnection
from cidery.errors import InvalidInput, words_of
from cidery.http.pem import first_certificate
from cidery.plain_files import read_plain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    from cidery.client.address import Endpoint
    from cidery.multiformats.varint import Buffer

    class Connection(Protocol):
        """A connected socket; one thread may send while another receives."""

        def recv(self, size: int, /) -> bytes: ...

        def sendall(self, data: Buffer, /) -> None: ...

        def settimeout(self, seconds: float | None, /) -> None: ...

        def shutdown(self, how: int, /) -> None: ...

        def close(self) -> None: ...


PIECE = 256 * 1024
"""Bytes encrypted, or received, at a time: what is kept of them in between."""
KNOWN_CONTEXTS = 8
"""Contexts kept: reading what the system trusts takes longer than a call."""
MAX_CERTIFICATE = 64 * 1024
"""Most bytes read of a file that holds one."""
_HANDSHAKE_READ = 64 * 1024
_UNKNOWN_ISSUER = frozenset((2, 18, 19, 20, 21))
"""Codes of OpenSSL: no issuer that is trusted, or signed by itself."""
_OTHER_NAME = frozenset((62, 64))
_NOT_YET_VALID, _EXPIRED = 9, 10
_NO_TLS = frozenset(("WRONG_VERSION_NUMBER", "PACKET_LENGTH_TOO_LONG", "RECORD_LAYER_FAILURE", "UNKNOWN_PROTOCOL"))
"""What OpenSSL says of bytes that are no TLS."""


class BadAuthorities(InvalidInput):
    """The file of those who may sign holds none."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.path} is no file of certificates in PEM: {self.reason}; see --api-ca and $CIDERY_API_CA"


def context_for(endpoint: Endpoint) -> ssl.SSLContext:
    """What to trust for a daemon: blocks for reading it, the first time. Raises BadAuthorities."""
    path = endpoint.pinned or endpoint.authorities
    try:
        found = os.stat(path) if path else None
    except OSError as exc:
        raise BadAuthorities(path, words_of(exc)) from exc
    seen = (found.st_ino, found.st_mtime_ns, found.st_size) if found is not None else ()
    return _context(path, seen, bool(endpoint.pinned))


@lru_cache(KNOWN_CONTEXTS)
def _context(path: str, seen: tuple[int, ...], pinned: bool) -> ssl.SSLContext:
    """``seen``: tells one version of the file from another. ``pinned``: it is the daemon's own certificate."""
    try:
        context = ssl.create_default_context(cadata=_own(path)) if pinned else _trusting(path)
    except ssl.SSLError as exc:
        raise BadAuthorities(path, (exc.reason or str(exc)).replace("_", " ").lower()) from exc
    except OSError as exc:
        raise BadAuthorities(path, words_of(exc)) from exc
    # "A reference identity of type CN-ID MUST NOT be used by clients": RFC 9110, 4.3.4
    context.hostname_checks_common_name = False
    if pinned:
        # nobody else has its key, so its names do not matter, nor who signed it, nor the forms of authorities
        context.check_hostname = False
        context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
        context.verify_flags &= ~ssl.VerifyFlags.VERIFY_X509_STRICT
    context.set_alpn_protocols(["http/1.1"])
    return context


def _trusting(path: str) -> ssl.SSLContext:
    """Raises OSError."""
    return ssl.create_default_context(cafile=path or None)


def _own(path: str) -> str:
    """The certificate itself, without those above it: who is signed by them, too, is not the daemon. Raises OSError."""
    return first_certificate(read_plain(path, MAX_CERTIFICATE).decode("ascii", "replace"))


def refused(endpoint: Endpoint, error: OSError) -> NoSecureConnection:
    """What a failed handshake means, and what to do."""
    name = endpoint.server or endpoint.host
    if not isinstance(error, ssl.SSLError) or isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return NoSecureConnection(endpoint.name, "the connection ended in the handshake; does it speak TLS there?")
    if isinstance(error, ssl.SSLCertVerificationError):
        return NoSecureConnection(endpoint.name, _fault(error, name))
    reason = error.reason or str(error)
    if reason in _NO_TLS:
        plain = endpoint._replace(secure=False)
        return NoSecureConnection(endpoint.name, f"it does not speak TLS there; without TLS it is {plain.url}")
    return NoSecureConnection(endpoint.name, reason.replace("_", " ").lower())


def _fault(error: ssl.SSLCertVerificationError, name: str) -> str:
    code = error.verify_code
    if code in _OTHER_NAME:
        return (
            f"its certificate is not for {name}: no subjectAltName says so; call it by a name in the certificate, or "
            f"get one for {name}"
        )
    if code == _EXPIRED:
        return "its certificate has expired; renew the files of API.TLS there (or is the clock here wrong?)"
    if code == _NOT_YET_VALID:
        return "its certificate is not valid yet; is the clock right, here and there?"
    said = (error.verify_message or str(error)).lower()
    if code in _UNKNOWN_ISSUER:
        return (
            f"nobody who is trusted here has signed its certificate ({said}); if it is yours, give the certificate "
            f"of its signer, or the certificate itself if it is signed by itself: --api-ca FILE, or $CIDERY_API_CA"
        )
    return f"its certificate is refused: {said}"


async def open_secure(endpoint: Endpoint, limit: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection; ``limit``: of its reader. Raises OSError, NoSecureConnection, BadAuthorities."""
    context = await asyncio.to_thread(context_for, endpoint)
    try:
        return await asyncio.open_connection(
            endpoint.host,
            endpoint.port,
            limit=limit,
            ssl=context,
            server_hostname=endpoint.server or endpoint.host.partition("%")[0],
        )
    except (ssl.SSLError, ConnectionResetError, ConnectionAbortedError) as exc:
        raise refused(endpoint, exc) from exc


def secured(connection: Connection, endpoint: Endpoint) -> SecureSocket:
    """A connected socket after its handshake. Raises OSError, NoSecureConnection, BadAuthorities."""
    made = SecureSocket(connection, context_for(endpoint), endpoint.server or endpoint.host.partition("%")[0])
    try:
        made.shake_hands()
    except TimeoutError:
        raise
    except (ssl.SSLError, ConnectionError) as exc:
        raise refused(endpoint, exc) from exc
    return made


class SecureSocket:
    """As a blocking socket. One thread may send while another receives, which ssl.SSLSocket does not allow."""

    def __init__(self, connection: Connection, context: ssl.SSLContext, name: str) -> None:
        self._connection = connection
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._session = context.wrap_bio(self._incoming, self._outgoing, server_hostname=name)
        self._state = threading.Lock()
        """Held while the session is used, never while something is waited for."""
        self._sending = threading.Lock()
        """Held from encrypting to sending: records go in their order."""

    def shake_hands(self) -> None:
        """Raises OSError, of which ssl.SSLError is one."""
        while True:
            try:
                self._session.do_handshake()
            except ssl.SSLWantReadError:
                self._connection.sendall(self._outgoing.read())
                self._arrived(self._connection.recv(_HANDSHAKE_READ))
            except ssl.SSLError:
                if said := self._outgoing.read():
                    self._connection.sendall(said)  # the alert: the other end hears why
                raise
            else:
                break
        self._connection.sendall(self._outgoing.read())

    def _arrived(self, data: bytes) -> None:
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()

    def recv(self, size: int) -> bytes:
        """Up to ``size`` bytes; b"" at the end. Raises OSError."""
        while True:
            with self._state:
                data = self._read(size)
            if data is not None:
                return data
            self._answer()
            arrived = self._connection.recv(PIECE)
            with self._state:
                self._arrived(arrived)

    def _read(self, size: int) -> bytes | None:
        """What has arrived; b"" at the end, None for nothing."""
        pieces: list[bytes] = []
        left = size
        while left > 0:
            try:
                piece = self._session.read(left)
            except ssl.SSLWantReadError:
                break
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                return b"".join(pieces)
            except ssl.SSLError as exc:
                raise ConnectionAbortedError(exc.errno, exc.reason or str(exc)) from exc
            if not piece:
                return b"".join(pieces)
            pieces.append(piece)
            left -= len(piece)
        return b"".join(pieces) if pieces else None

    def _answer(self) -> None:
        """Send what reading gave rise to, such as new keys; a thread that is sending takes it along."""
        if self._outgoing.pending and self._sending.acquire(blocking=False):
            try:
                with self._state:
                    said = self._outgoing.read()
                self._connection.sendall(said)
            finally:
                self._sending.release()

    def sendall(self, data: Buffer) -> None:
        """Raises OSError."""
        view = memoryview(data)
        with self._sending:
            for at in range(0, len(view), PIECE):
                with self._state:
                    self._session.write(view[at : at + PIECE])
                    said = self._outgoing.read()
                self._connection.sendall(said)

    def settimeout(self, seconds: float | None) -> None:
        self._connection.settimeout(seconds)

    def shutdown(self, how: int) -> None:
        self._connection.shutdown(how)

    def close(self) -> None:
        self._connection.close()
