"""Identify: what a peer says of itself. Messages of at most 8 KiB, several of which are merged.

Spec: https://github.com/libp2p/specs/blob/master/identify/README.md. Several messages and their bounds are go-libp2p's.
"""

from dataclasses import dataclass, replace

from cidery.errors import RemoteProtocolError
from cidery.multiformats.protobuf import BYTES, ProtobufError, bytes_field, expect, read_fields
from cidery.multiformats.varint import Buffer

PROTOCOL = "/ipfs/id/1.0.0"
PUSH_PROTOCOL = "/ipfs/id/push/1.0.0"
PROTOCOL_VERSION = "ipfs/0.1.0"
MAX_MESSAGE = 8 * 1024
"""Longest single message, in bytes (go-libp2p's signedIDSize)."""
MAX_MESSAGES = 10
"""Most messages merged into one answer (go-libp2p's maxMessages)."""
MAX_ADDRS = 128
MAX_PROTOCOLS = 512
MAX_TEXT = 256
"""Longest protocol id or version kept, in bytes."""


class IdentifyError(RemoteProtocolError):
    """An identify message does not parse or exceeds its bounds."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"identify: {self.reason}"


@dataclass(frozen=True, slots=True)
class Identify:
    """``message Identify``. Empty fields were absent."""

    public_key: bytes = b""
    listen_addrs: tuple[bytes, ...] = ()
    """Binary multiaddrs, not yet parsed."""
    protocols: tuple[str, ...] = ()
    observed_addr: bytes = b""
    """Where the sender sees us."""
    protocol_version: str = ""
    agent_version: str = ""
    signed_peer_record: bytes = b""

    def encode(self) -> bytes:
        """One message; above MAX_MESSAGE use messages()."""
        out = [bytes_field(1, self.public_key)] if self.public_key else []
        out += [bytes_field(2, addr) for addr in self.listen_addrs]
        out += [bytes_field(3, name.encode()) for name in self.protocols]
        if self.observed_addr:
            out.append(bytes_field(4, self.observed_addr))
        if self.protocol_version:
            out.append(bytes_field(5, self.protocol_version.encode()))
        if self.agent_version:
            out.append(bytes_field(6, self.agent_version.encode()))
        if self.signed_peer_record:
            out.append(bytes_field(8, self.signed_peer_record))
        return b"".join(out)

    def messages(self) -> list[bytes]:
        """Encoded, split so that each fits MAX_MESSAGE: the signed record goes in a message of its own."""
        whole = self.encode()
        if len(whole) <= MAX_MESSAGE:
            return [whole]
        return [
            replace(self, signed_peer_record=b"").encode(),
            Identify(signed_peer_record=self.signed_peer_record).encode(),
        ]

    @classmethod
    def decode(cls, buf: Buffer) -> "Identify":
        """Decode one message. Raises IdentifyError only (fuzzed). Texts that are too long are left out."""
        single: dict[int, bytes] = {}
        addrs: list[bytes] = []
        protocols: list[str] = []
        try:
            for number, wire, _, view in read_fields(buf):
                if number in (1, 4, 5, 6, 8):
                    expect(wire, BYTES, str(number))
                    single[number] = bytes(view)
                elif number == 2:
                    expect(wire, BYTES, "listenAddrs")
                    addrs.append(bytes(view))
                elif number == 3:
                    expect(wire, BYTES, "protocols")
                    if len(view) <= MAX_TEXT:
                        protocols.append(str(view, "utf-8"))
            if len(addrs) > MAX_ADDRS or len(protocols) > MAX_PROTOCOLS:
                raise IdentifyError("too many addresses or protocols")
            return cls(
                public_key=single.get(1, b""),
                listen_addrs=tuple(addrs),
                protocols=tuple(protocols),
                observed_addr=single.get(4, b""),
                protocol_version=single.get(5, b"")[:MAX_TEXT].decode("utf-8", "replace"),
                agent_version=single.get(6, b"")[:MAX_TEXT].decode("utf-8", "replace"),
                signed_peer_record=single.get(8, b""),
            )
        except (ProtobufError, UnicodeDecodeError) as exc:
            raise IdentifyError(str(exc)) from exc

    def merged(self, later: "Identify") -> "Identify":
        """This message with a later one on top, as several messages of one answer, or a partial push, are read."""
        return Identify(
            public_key=later.public_key or self.public_key,
            listen_addrs=(*self.listen_addrs, *later.listen_addrs)[:MAX_ADDRS],
            protocols=(*self.protocols, *later.protocols)[:MAX_PROTOCOLS],
            observed_addr=later.observed_addr or self.observed_addr,
            protocol_version=later.protocol_version or self.protocol_version,
            agent_version=later.agent_version or self.agent_version,
            signed_peer_record=later.signed_peer_record or self.signed_peer_record,
        )

    def updated(self, push: "Identify") -> "Identify":
        """This answer after a push: what the push carries replaces what was known."""
        # identify/push: "missing fields should be ignored, as peers may choose to send partial updates"
        return Identify(
            public_key=push.public_key or self.public_key,
            listen_addrs=push.listen_addrs or self.listen_addrs,
            protocols=push.protocols or self.protocols,
            observed_addr=push.observed_addr or self.observed_addr,
            protocol_version=push.protocol_version or self.protocol_version,
            agent_version=push.agent_version or self.agent_version,
            signed_peer_record=push.signed_peer_record or self.signed_peer_record,
        )
