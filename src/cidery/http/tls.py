"""TLS for servers: a certificate from files, read again when they change.

Spec: https://www.rfc-editor.org/rfc/rfc8446, https://www.rfc-editor.org/rfc/rfc7301 (ALPN)
"""

from __future__ import annotations

import asyncio
import logging
import os
import ssl
from collections.abc import Callable, Sequence

from cidery.errors import InvalidInput
from cidery.http.pem import first_certificate

LOOK_EVERY = 5.0
"""Seconds between two looks at the files."""
ALPN = ["h2", "http/1.1"]
"""Protocols offered, preferred first."""
HANDSHAKE_SECONDS = 15.0
"""Longest handshake: one that says nothing must not hold a connection for long."""
MAX_FILE = 1 << 20
"""Most characters read of a file with certificates."""
log = logging.getLogger("cidery.http")
_Seen = tuple[tuple[int, int, int], ...]


class BadCertificate(InvalidInput):
    """Files that hold no certificate with its key."""

    def __init__(self, cert: str, key: str, reason: str) -> None:
        super().__init__(cert, key, reason)
        self.cert = cert
        self.key = key
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.cert} and {self.key} are no certificate with its key in PEM: {self.reason}"


class Certificate:
    """A certificate and its key. ``context`` is for servers, and stays the same when the files are read again."""

    def __init__(self, cert: str, key: str, alpn: Sequence[str] = ALPN) -> None:
        """Raises BadCertificate."""
        self.on_renewed: list[Callable[[], None]] = []
        """Called when another pair is in use."""
        self.pem = ""
        """The certificate in use, without those above it."""
        self._alpn = list(alpn)
        self._cert = cert
        self._key = key
        self._seen = self._look()
        self.current = self._load()
        """The context of the pair that was read last."""
        self.context = self._load()
        # a context of its own for each pair: a key of another kind would stay beside the old one
        self.context.sni_callback = self._choose

    def _choose(self, connection: ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> None:
        """For each handshake, with or without a server name."""
        connection.context = self.current

    def _load(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.options |= ssl.OP_NO_RENEGOTIATION  # "TLS renegotiation MUST be disabled": RFC 9113, 9.2.1
        context.set_alpn_protocols(self._alpn)
        try:
            context.load_cert_chain(self._cert, self._key, password=_no_password)
        except ssl.SSLError as exc:
            reason = (exc.reason or "one of them has no PEM block").replace("_", " ").lower()
            raise BadCertificate(self._cert, self._key, reason) from exc
        except OSError as exc:
            raise BadCertificate(self._cert, self._key, (exc.strerror or str(exc)).lower()) from exc
        except ValueError as exc:
            raise BadCertificate(self._cert, self._key, str(exc)) from exc
        with open(self._cert, encoding="ascii", errors="replace") as file:
            self.pem = first_certificate(file.read(MAX_FILE))
        return context

    def _look(self) -> _Seen:
        """What tells one version of the files from another; of a missing file nothing."""
        seen = []
        for path in (self._cert, self._key):
            try:
                found = os.stat(path)
            except OSError:
                seen.append((0, 0, 0))
            else:
                seen.append((found.st_ino, found.st_mtime_ns, found.st_size))
        return tuple(seen)

    def renew(self) -> bool:
        """Read the files; whether they are a certificate. If not, the old one stays, and a line is logged."""
        self._seen = self._look()
        try:
            self.current = self._load()
        except BadCertificate as exc:
            log.error("the certificate in use stays: %s", exc)
            return False
        log.info("the certificate of %s is in use", self._cert)
        for hear in self.on_renewed:
            hear()
        return True

    def renew_if_changed(self) -> bool:
        """renew(), if the files are not those that were read last. One that is half written is read again later."""
        return self._look() != self._seen and self.renew()

    async def follow(self) -> None:
        """renew_if_changed() every LOOK_EVERY seconds, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_EVERY)
            self.renew_if_changed()


def dns_names(pem: str) -> frozenset[str]:
    """The host names that a certificate is for, in lower case, as ``*.example.org``; none if it cannot be read."""
    from cryptography import x509  # for the few servers whose names matter

    try:
        names = x509.load_pem_x509_certificate(pem.encode()).extensions.get_extension_for_class(
            x509.SubjectAlternativeName
        )
    except (ValueError, x509.ExtensionNotFound, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        return frozenset()
    return frozenset(name.lower() for name in names.value.get_values_for_type(x509.DNSName))


def _no_password() -> str:
    raise ValueError("the key is encrypted; servers need one without a passphrase")
