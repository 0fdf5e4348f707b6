"""The certificate of a node: what is asked for, and whether what came is it.

Spec: https://www.rfc-editor.org/rfc/rfc8555#section-7.4.2, https://www.rfc-editor.org/rfc/rfc2986
"""

from __future__ import annotations

import warnings
from itertools import pairwise
from typing import NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from cidery.autotls.jws import MAX_PEM, BadPem, key_from_pem, key_to_pem

MAX_CHAIN = 10
"""Certificates in a chain; public authorities have two or three."""
BEFORE = 3600.0
"""Seconds that our clock may be late against the authority's."""
_UNREADABLE = (ValueError, TypeError, UnsupportedAlgorithm, x509.InvalidVersion, x509.DuplicateExtension)
"""What the library raises for certificates that are none, or that it does not know."""
_BEGIN, _END = b"-----BEGIN CERTIFICATE-----", b"-----END CERTIFICATE-----"


class Certified(NamedTuple):
    """A certificate with its key."""

    pem: bytes
    """The key, then the chain, the node's own certificate first: as OpenSSL reads it."""
    name: str
    begins: float
    ends: float
    """Seconds since 1970."""

    def valid(self, at: float) -> bool:
        return self.begins - BEFORE <= at < self.ends


def request_for(name: str, key: ec.EllipticCurvePrivateKey) -> bytes:
    """A PKCS #10 request in DER. The name is in subjectAltName alone: a common name has 64 characters at most."""
    names = x509.SubjectAlternativeName([x509.DNSName(name)])
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).add_extension(names, critical=False)
    return builder.sign(key, hashes.SHA256(), ecdsa_deterministic=True).public_bytes(Encoding.DER)


def certified(chain: bytes, key: ec.EllipticCurvePrivateKey, name: str) -> Certified:
    """What an authority gave for a key and a name. Raises BadPem only (fuzzed)."""
    certificates = _chain(chain)
    own = certificates[0]
    try:
        for one, above in pairwise(certificates):
            # "Each following certificate SHOULD directly certify the one preceding it"; browsers rely on it
            one.verify_directly_issued_by(above)
    except (InvalidSignature, *_UNREADABLE) as exc:
        raise BadPem("the chain is in no order: a certificate does not certify the one before it") from exc
    try:
        public = own.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        names = own.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        given = names.get_values_for_type(x509.DNSName)
        begins, ends = own.not_valid_before_utc.timestamp(), own.not_valid_after_utc.timestamp()
    except x509.ExtensionNotFound as exc:
        raise BadPem("the certificate names no host") from exc
    except (*_UNREADABLE, x509.UnsupportedGeneralNameType) as exc:
        raise BadPem("the certificate cannot be read") from exc
    if public != key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo):
        raise BadPem("the certificate is for another key")
    if given != [name]:
        raise BadPem(f"the certificate is for {', '.join(given)[:120] or 'no name'}, not for {name}")
    if ends <= begins:
        raise BadPem("the certificate ends before it begins")
    # what was checked, and nothing that came between or behind it
    pem = key_to_pem(key) + b"".join(one.public_bytes(Encoding.PEM) for one in certificates)
    return Certified(pem, name, begins, ends)


def kept(pem: bytes, name: str) -> Certified:
    """A key and its chain, as certified() put them together. Raises BadPem only (fuzzed)."""
    return certified(pem, key_from_pem(pem), name)


def _chain(pem: bytes) -> list[x509.Certificate]:
    if len(pem) > MAX_PEM:
        raise BadPem(f"longer than {MAX_PEM} bytes")
    found: list[x509.Certificate] = []
    rest = pem
    while (at := rest.find(_BEGIN)) >= 0:
        end = rest.find(_END, at)
        if end < 0:
            raise BadPem("the chain is cut off")
        if len(found) == MAX_CHAIN:
            raise BadPem(f"more than {MAX_CHAIN} certificates")
        end += len(_END)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")  # what the library will not read for long is not relied on
                found.append(x509.load_pem_x509_certificate(rest[at:end]))
        except (*_UNREADABLE, Warning) as exc:
            raise BadPem("a certificate of the chain does not parse") from exc
        rest = rest[end:]
    if not found:
        raise BadPem("it holds no certificate")
    return found
