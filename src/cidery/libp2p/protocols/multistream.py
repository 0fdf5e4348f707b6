"""multistream-select 1.0: agree on the protocol of a connection or stream.

Messages are ``<uvarint length><text>\\n``. Both sides send the header; the initiator proposes, the responder echoes
what it accepts or answers ``na``.

Spec: https://github.com/multiformats/multistream-select
"""

from collections.abc import Collection, Sequence

from cidery.errors import RemoteProtocolError
from cidery.libp2p.protocols.steps import Read, Send, Steps
from cidery.multiformats.varint import encode_uvarint

HEADER = "/multistream/1.0.0"
NOT_AVAILABLE = "na"
MAX_LINE = 1024
"""Longest message accepted, in bytes (go-multistream refuses above 64 KiB; protocol ids have below 200)."""
MAX_PROPOSALS = 64
"""Most proposals a responder listens to before it gives up on the peer."""


class MultistreamError(RemoteProtocolError):
    """The peer does not speak multistream-select, or never agrees."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"protocol negotiation failed: {self.reason}"


class ProtocolNotSupported(MultistreamError):
    """The peer speaks none of the proposed protocols."""

    def __init__(self, proposed: Sequence[str]) -> None:
        super().__init__(f"the peer supports none of {', '.join(proposed)}")
        self.proposed = tuple(proposed)


def encode_line(text: str) -> bytes:
    """One message."""
    data = text.encode("utf-8") + b"\n"
    return encode_uvarint(len(data)) + data


_HEADER_LINE = encode_line(HEADER)


def read_line() -> Steps[str]:
    """Read one message. Raises MultistreamError."""
    size = shift = 0
    while True:
        byte = (yield Read(1))[0]
        size |= (byte & 0x7F) << shift
        if byte < 0x80:
            break
        shift += 7
        if shift > 14:
            raise MultistreamError("message length of more than 3 bytes")
    if not 0 < size <= MAX_LINE:
        raise MultistreamError(f"message of {size} bytes, 1 to {MAX_LINE} are allowed")
    line = yield Read(size)
    if line[-1:] != b"\n":
        raise MultistreamError("a message does not end with a newline")
    try:
        return line[:-1].decode("utf-8")
    except UnicodeDecodeError as exc:
        raise MultistreamError("a message is not UTF-8") from exc


def _read_header() -> Steps[None]:
    # "If the first message is not the multistream header, the connection MUST be aborted": connections spec. One wrong
    # byte is enough: what a stranger to a private network sends is noise, and may announce a line that never comes.
    line = yield Read(1)
    if line == _HEADER_LINE[:1]:
        line += yield Read(len(_HEADER_LINE) - 1)
    if line != _HEADER_LINE:
        is_text = 0x20 <= line[0] < 0x7F
        hint = "" if is_text else "; it may belong to a private network, and this node not (swarm.key)"
        raise MultistreamError(f"the peer begins with {line!r}, not with {HEADER}{hint}")


def propose(protocols: Sequence[str]) -> Steps[str]:
    """Initiator: propose in order of preference; returns the one agreed on. Raises MultistreamError.

    The header and the first proposal go out together, so agreement on the first costs one round trip.
    """
    assert protocols  # callers name at least one
    yield Send(encode_line(HEADER) + encode_line(protocols[0]))
    yield from _read_header()
    for at, protocol in enumerate(protocols):
        if at:
            yield Send(encode_line(protocol))
        answer = yield from read_line()
        if answer == protocol:
            return protocol
        if answer != NOT_AVAILABLE:
            raise MultistreamError(f"{answer[:40]!r} is no answer to {protocol}")
    raise ProtocolNotSupported(protocols)


def confirm(protocol: str) -> Steps[str]:
    """Initiator, after the header and one proposal were sent optimistically with the first data: read the answers."""
    yield from _read_header()
    answer = yield from read_line()
    if answer != protocol:
        raise ProtocolNotSupported([protocol])
    return protocol


def optimistic_opening(protocol: str) -> bytes:
    """Header and proposal, to be sent in front of the first data; confirm() reads the answer later."""
    return encode_line(HEADER) + encode_line(protocol)


def respond(supported: Collection[str]) -> Steps[str]:
    """Responder: answer proposals until one is supported; returns it. Raises MultistreamError."""
    yield Send(encode_line(HEADER))
    yield from _read_header()
    for _ in range(MAX_PROPOSALS):
        proposal = yield from read_line()
        if proposal in supported:
            yield Send(encode_line(proposal))
            return proposal
        yield Send(encode_line(NOT_AVAILABLE))
    raise MultistreamError(f"no agreement after {MAX_PROPOSALS} proposals")
