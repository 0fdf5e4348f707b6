"""The interfaces of DNS look-ups: results and errors."""

from typing import NamedTuple, Protocol

from cidery.errors import NotFound, Unavailable


class TxtAnswer(NamedTuple):
    """TXT records of a name."""

    texts: tuple[str, ...]
    ttl: float
    """Seconds for which the answer may be cached."""


class NoSuchDomain(NotFound):
    """The name, or a record of this type under it, does not exist."""

    def __init__(self, name: str, kind: str) -> None:
        super().__init__(name, kind)
        self.name = name
        self.kind = kind

    def __str__(self) -> str:
        return f"{self.name[:120]} has no {self.kind} record in the DNS"


class DnsUnavailable(Unavailable):
    """No answer, or a malformed one."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(name, reason)
        self.name = name
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.name[:120]} cannot be looked up in the DNS: {self.reason}"


class NoResolver(DnsUnavailable):
    """None is configured for the domain."""

    def __init__(self, name: str) -> None:
        super().__init__(name, "no resolver is configured for it (DNS.Resolvers)")


class TxtResolver(Protocol):
    """Looks up TXT records."""

    async def txt(self, name: str) -> TxtAnswer:
        """Raises NoSuchDomain, DnsUnavailable. Cancel-safe."""
        ...

    def is_known(self, name: str) -> bool:
        """Whether txt() asks nobody now."""
        ...


class AddressResolver(Protocol):
    """Looks up addresses of hosts."""

    async def addresses(self, name: str, version: int) -> tuple[str, ...]:
        """IPv4 (``version`` 4) or IPv6 (6) addresses as text. Raises NoSuchDomain, DnsUnavailable. Cancel-safe."""
        ...
