"""The certificate of the RPC's addresses under TLS: which one, and who learns of it.

``api-cert`` in the repository is that certificate: local clients trust it and no other, whatever its names are and
whoever has signed it. The guard of the server learns its names.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from ipaddress import ip_address
from pathlib import Path

from cidery.errors import InvalidInput
from cidery.http.tls import Certificate, dns_names
from cidery.multiformats.multiaddr import Multiaddr
from cidery.rpc.server import RpcHandler

ALPN = ("http/1.1",)
"""Spoken under TLS: what Kubo's clients and ours speak, and a third of what HTTP/2 costs for a small call."""


class NoCertificate(InvalidInput):
    """An address of the RPC speaks TLS, and nothing says with which certificate."""

    def __init__(self, addr: Multiaddr) -> None:
        super().__init__(addr)
        self.addr = addr

    def __str__(self) -> str:
        return (
            f"Addresses.API is {self.addr}, which needs a certificate: "
            """cidery config --json API.TLS '{"CertFile": "/etc/ssl/cert.pem", "KeyFile": "/etc/ssl/key.pem"}'"""
        )


class UnusedCertificate(InvalidInput):
    """A certificate of the RPC is set, and no address would use it."""

    def __str__(self) -> str:
        return (
            "API.TLS is set, but no address of Addresses.API speaks TLS: let one end in /tls/http, as "
            "/ip4/127.0.0.1/tcp/5001/tls/http, or remove API.TLS"
        )


def certificate_for(files: tuple[str, str] | None, addrs: Iterable[Multiaddr]) -> Certificate | None:
    """``files``: of API.TLS. None: no address speaks TLS. Raises NoCertificate, UnusedCertificate, BadCertificate."""
    secure = next((addr for addr in addrs if speaks_tls(addr)), None)
    if secure is None:
        if files is not None:
            raise UnusedCertificate
        return None
    if files is None:
        raise NoCertificate(secure)
    return Certificate(*files, ALPN)


def speaks_tls(addr: Multiaddr) -> bool:
    """Whether an address of the RPC says so."""
    endpoint = addr.http_endpoint()
    return endpoint is not None and endpoint.secure


def sends_secrets_readable(addr: Multiaddr) -> bool:
    """Whether who listens on the way reads what is sent to an address of the RPC, secrets included."""
    endpoint = addr.http_endpoint()
    if endpoint is None or endpoint.secure:
        return False
    return not ip_address(endpoint.host.partition("%")[0]).is_loopback


@asynccontextmanager
async def followed(
    certificate: Certificate | None,
    handlers: Sequence[RpcHandler],
    file: Path,
    write: Callable[[Path, str, int], None],
) -> AsyncIterator[None]:
    """Read a certificate again when it changes; its handlers know its names, and ``file`` holds it, until the end."""
    if certificate is None:
        file.unlink(missing_ok=True)  # of a daemon that was killed
        yield
        return

    def spread() -> None:
        names = dns_names(certificate.pem)
        for handler in handlers:
            handler.names = names
        write(file, certificate.pem, 0o644)

    spread()
    certificate.on_renewed.append(spread)
    following = asyncio.create_task(certificate.follow())
    try:
        yield
    finally:
        following.cancel()
        certificate.on_renewed.remove(spread)
        file.unlink(missing_ok=True)
