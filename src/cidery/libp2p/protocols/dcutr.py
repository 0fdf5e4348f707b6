"""Direct connection upgrade through relay: the message, the order of its exchange, and whom to punch. Pure.

Spec: https://github.com/libp2p/specs/blob/master/relay/DCUtR.md
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import Self

from cidery.errors import RemoteProtocolError
from cidery.libp2p.protocols.addresses import Scope, believed_from, host_of, relayed, scope_of
from cidery.multiformats.multiaddr import Multiaddr, MultiaddrError
from cidery.multiformats.protobuf import BYTES, VARINT, ProtobufError, bytes_field, expect, read_fields, varint_field
from cidery.multiformats.varint import Buffer

MAX_MESSAGE = 4096
"""Bytes, as go-libp2p has it."""
MAX_ADDRS = 16
"""Addresses read from one message, and sent in one."""
MAX_PUNCHED = 8
"""Addresses of a peer that are dialled in one attempt: a peer decides which, so few."""
ATTEMPTS = 3


class DcutrError(RemoteProtocolError):
    """A message that does not parse, or comes out of turn."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"hole punching: {self.reason}"


class PunchType(IntEnum):
    CONNECT = 100
    SYNC = 300


@dataclass(frozen=True, slots=True)
class HolePunch:
    """Either side's addresses, or the sign to begin."""

    type: PunchType
    addrs: tuple[bytes, ...] = ()
    """Binary, not yet parsed."""

    def encode(self) -> bytes:
        return varint_field(1, self.type) + b"".join(bytes_field(2, addr) for addr in self.addrs)

    @classmethod
    def decode(cls, buf: Buffer) -> Self:
        """Raises DcutrError only (fuzzed)."""
        kind, addrs = 0, list[bytes]()
        if len(buf) > MAX_MESSAGE:
            raise DcutrError(f"longer than {MAX_MESSAGE} bytes")
        try:
            for number, wire, value, view in read_fields(buf):
                if number == 1:
                    expect(wire, VARINT, "type")
                    kind = value
                elif number == 2:
                    expect(wire, BYTES, "ObsAddrs")
                    if len(addrs) < MAX_ADDRS:
                        addrs.append(bytes(view))
        except ProtobufError as exc:
            raise DcutrError(exc.reason) from exc
        if kind not in (PunchType.CONNECT, PunchType.SYNC):
            raise DcutrError(f"type {kind}")
        return cls(PunchType(kind), tuple(addrs))

    @classmethod
    def expected(cls, buf: Buffer | None, kind: PunchType) -> Self:
        """One that has to be of a kind. Raises DcutrError."""
        message = cls.decode(buf or b"")
        if message.type is not kind:
            raise DcutrError(f"{message.type.name} where {kind.name} was expected")
        return message


def punched(addrs: Iterable[bytes], relay: bytes, takes: Callable[[Multiaddr], bool]) -> list[Multiaddr]:
    """Which of a peer's addresses are dialled: IP addresses of a scope that its relay may name, few of them.

    So nobody has us knock at hosts of our own network from outside, at names, or at more than MAX_PUNCHED ports.
    """
    believed = believed_from(relay) - {Scope.OTHER}
    out: dict[Multiaddr, None] = {}
    for raw in addrs:
        if relayed(raw) or host_of(raw) is None or scope_of(raw) not in believed:
            continue
        try:
            addr = Multiaddr.decode(raw).without_peer()
        except MultiaddrError:
            continue
        if takes(addr):
            out[addr] = None
    return list(out)[:MAX_PUNCHED]
