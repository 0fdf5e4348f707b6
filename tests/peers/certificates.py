"""Certificates for tests: signed by themselves, or by an authority of the tests."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
DAY = timedelta(days=1)


def write_certificate(folder: Path, name: str = "localhost", *, of_rsa: bool = False) -> tuple[Path, Path]:
    """cert.pem and key.pem in ``folder``, for ``name`` and 127.0.0.1; those that are there are replaced."""
    key = rsa.generate_private_key(65537, 2048) if of_rsa else _ec_key()
    names = x509.SubjectAlternativeName([x509.DNSName(name), x509.IPAddress(ip_address("127.0.0.1"))])
    builder = _builder(_named(name), _named(name), key, -DAY, 30 * DAY).add_extension(names, critical=False)
    return _write(folder, [builder.sign(key, hashes.SHA256())], key)


class Authority:
    """One of the tests, with its certificate in ``file``."""

    def __init__(self, folder: Path) -> None:
        self._key = _ec_key()
        self._name = _named("an authority of the tests")
        self._number = x509.SubjectKeyIdentifier.from_public_key(self._key.public_key())
        builder = _builder(self._name, self._name, self._key, -DAY, 30 * DAY)
        signs = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
        for extension in (x509.BasicConstraints(ca=True, path_length=0), signs):
            builder = builder.add_extension(extension, critical=True)
        self._certificate = builder.add_extension(self._number, critical=False).sign(self._key, hashes.SHA256())
        self.file = folder / "authority.pem"
        self.file.write_bytes(self._certificate.public_bytes(serialization.Encoding.PEM))

    def sign(
        self,
        folder: Path,
        names: Sequence[str] = ("localhost", "127.0.0.1"),
        *,
        ends: timedelta = 30 * DAY,
        stated: bool = True,
    ) -> tuple[Path, Path]:
        """cert.pem, with the authority's behind it, and key.pem in ``folder``. ``ends``: from now, perhaps negative.

        ``stated``: else the only name is that of the subject, as in old certificates.
        """
        key = _ec_key()
        builder = _builder(_named(names[0]), self._name, key, -2 * DAY, ends)
        served = x509.SubjectAlternativeName(
            [
                x509.IPAddress(ip_address(name)) if name.replace(".", "").isdigit() else x509.DNSName(name)
                for name in names
            ]
        )
        if stated:
            builder = builder.add_extension(served, critical=False)
        for extension in (
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(self._number),
            x509.SubjectKeyIdentifier.from_public_key(key.public_key()),
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]),
        ):
            builder = builder.add_extension(extension, critical=False)
        return _write(folder, [builder.sign(self._key, hashes.SHA256()), self._certificate], key)


def _ec_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _builder(
    subject: x509.Name, issuer: x509.Name, key: Key, begins: timedelta, ends: timedelta
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + begins)
        .not_valid_after(now + ends)
    )


def _write(folder: Path, certificates: Sequence[x509.Certificate], key: Key) -> tuple[Path, Path]:
    cert_file, key_file = folder / "cert.pem", folder / "key.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    chain = b"".join(one.public_bytes(serialization.Encoding.PEM) for one in certificates)
    for path, data in ((cert_file, chain), (key_file, private)):
        part = path.with_suffix(".part")
        part.write_bytes(data)
        part.replace(path)
    return cert_file, key_file
