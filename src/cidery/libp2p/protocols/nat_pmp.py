"""NAT-PMP: asks the gateway of a network to pass a port of TCP or UDP on to this machine, and keeps that so.

::

    ADDRESS ──► MAPPING ──► MAPPED ──► ADDRESS ──► MAPPED     every CHECK_EVERY seconds
                                          └──────► MAPPING    the gateway has started anew, or half the lifetime is over

Nine requests without an answer, or a refusal, end it: ``failure`` says why. What the gateway gives is its word only.
The gateway's announcements by multicast are not listened to: the check finds the same out.

Spec: https://www.rfc-editor.org/rfc/rfc6886
"""

import struct
from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv4Address

from cidery.errors import RemoteProtocolError
from cidery.multiformats.varint import Buffer

PORT = 5351
"""UDP port of the gateway."""
MAX_DATAGRAM = 1100
"""Longest datagram read, in bytes: that of the protocol's successor; ours have 16."""
LIFETIME = 7200
"""Seconds asked for (section 3.3): the mapping ends by itself when the node is killed."""
LEAST_RENEWAL = 60.0
"""Seconds between two renewals at least, whatever lifetime the gateway gives."""
CHECK_EVERY = 300.0
"""Seconds between two questions whether the gateway still knows: one that started anew has forgotten."""
FIRST_WAIT = 0.25
"""Seconds until a request is repeated; doubled each time (section 3.1)."""
MAX_TRIES = 9
"""Requests without an answer until the gateway is taken for one that does not speak this: two minutes (section 3.1)."""
EPOCH_SLACK = 2
"""Seconds that the gateway's clock may lag behind seven eighths of ours before it has started anew (section 3.6)."""

ADDRESS_OPCODE, UDP_OPCODE, TCP_OPCODE = 0, 1, 2
_ANSWER = 128
"""Added to the opcode in an answer."""
_HEAD = struct.Struct("!BBHI")
_REQUEST = struct.Struct("!BBHHHI")
_MAPPING = struct.Struct("!HHI")
_RESULTS = {
    1: "it speaks another version",
    2: "it is not allowed",
    3: "it has no address itself",
    4: "it has no ports left",
    5: "it does not know the request",
}


class NatPmpError(RemoteProtocolError):
    """A datagram that is no answer."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"nat-pmp: {self.reason}"


@dataclass(frozen=True, slots=True)
class AddressAnswer:
    epoch: int
    """Seconds since the gateway's table of mappings was empty."""
    address: IPv4Address

    def encode(self) -> bytes:
        return _HEAD.pack(0, _ANSWER + ADDRESS_OPCODE, 0, self.epoch) + self.address.packed


@dataclass(frozen=True, slots=True)
class MappingAnswer:
    epoch: int
    opcode: int
    """Of the request: TCP_OPCODE or UDP_OPCODE."""
    internal: int
    external: int
    lifetime: int

    def encode(self) -> bytes:
        head = _HEAD.pack(0, _ANSWER + self.opcode, 0, self.epoch)
        return head + _MAPPING.pack(self.internal, self.external, self.lifetime)


@dataclass(frozen=True, slots=True)
class Refusal:
    epoch: int
    opcode: int
    """Of the request."""
    result: int

    def encode(self) -> bytes:
        return _HEAD.pack(0, _ANSWER + self.opcode, self.result, self.epoch)


Answer = AddressAnswer | MappingAnswer | Refusal


def encode_address_request() -> bytes:
    return bytes((0, ADDRESS_OPCODE))


def encode_mapping_request(opcode: int, internal: int, external: int, lifetime: int) -> bytes:
    """``opcode``: TCP_OPCODE or UDP_OPCODE; ``lifetime`` 0 takes the mapping back; ``external`` is a wish."""
    return _REQUEST.pack(0, opcode, 0, internal, external, lifetime)


def decode(buf: Buffer) -> Answer:
    """One answer of a gateway. Raises NatPmpError only (fuzzed)."""
    if len(buf) < _HEAD.size:
        raise NatPmpError("shorter than 8 bytes")
    version, opcode, result, epoch = _HEAD.unpack_from(buf)
    if version != 0 or opcode < _ANSWER:
        raise NatPmpError("another version, or no answer")
    opcode -= _ANSWER
    if result:
        return Refusal(epoch, opcode, result)
    body = bytes(buf[_HEAD.size :])
    if opcode == ADDRESS_OPCODE and len(body) >= 4:
        return AddressAnswer(epoch, IPv4Address(body[:4]))
    if opcode in (UDP_OPCODE, TCP_OPCODE) and len(body) >= _MAPPING.size:
        return MappingAnswer(epoch, opcode, *_MAPPING.unpack_from(body))
    raise NatPmpError("an answer to no question of ours, or too short")


class Epoch:
    """The gateway's clock, which shows whether it has forgotten what it was told."""

    def __init__(self) -> None:
        self._last: tuple[int, float] | None = None

    def started_anew(self, epoch: int, now: float) -> bool:
        """Note an answer's epoch; whether it is less than what it has to be by now."""
        last, self._last = self._last, (epoch, now)
        return last is not None and epoch < last[0] + (now - last[1]) * 7 / 8 - EPOCH_SLACK


class State(Enum):
    ADDRESS = "address"
    MAPPING = "mapping"
    MAPPED = "mapped"


class NatPmp:
    """One port at one gateway. The caller sends data_to_send() after each call and keeps the deadline."""

    def __init__(self, opcode: int, port: int, now: float) -> None:
        """``opcode``: TCP_OPCODE or UDP_OPCODE."""
        self.outside: tuple[IPv4Address, int] | None = None
        """The gateway's address and port that lead here, None while there is none."""
        self.failure = ""
        """Why it has ended; empty while it lasts."""
        self._asked = opcode, port
        self._external = port
        self._address = IPv4Address(0)
        self._renew_at = now
        self._epoch = Epoch()
        self._out: bytes | None = None
        self._ask(State.ADDRESS, now)

    def data_to_send(self) -> bytes | None:
        """One datagram, None if there is nothing to send."""
        out, self._out = self._out, None
        return out

    def next_deadline(self) -> float:
        """When handle_deadline() is to be called."""
        return self._deadline

    def handle_deadline(self, now: float) -> None:
        if self._state is State.MAPPED:
            self._ask(State.ADDRESS, now)
        elif self._tries >= MAX_TRIES:
            self._fail("no answer")
        else:
            self._send(now)

    def receive_data(self, data: Buffer, now: float) -> None:
        """One datagram of the gateway; those that answer nothing asked are left out."""
        try:
            answer = decode(data)
        except NatPmpError:
            return
        match self._state, answer:
            case (State.ADDRESS, Refusal(_, code, result)) if code == ADDRESS_OPCODE:
                self._fail(_RESULTS.get(result, f"result {result}"))
            case (State.MAPPING, Refusal(_, code, result)) if code == self._asked[0]:
                self._fail(_RESULTS.get(result, f"result {result}"))
            case (State.ADDRESS, AddressAnswer(epoch, address)):
                self._on_address(epoch, address, now)
            case (State.MAPPING, MappingAnswer() as given) if (given.opcode, given.internal) == self._asked:
                self._on_mapping(given, now)

    def release(self) -> bytes:
        """The datagram that takes the mapping back (section 3.4)."""
        return encode_mapping_request(*self._asked, 0, 0)

    def _on_address(self, epoch: int, address: IPv4Address, now: float) -> None:
        anew = self._epoch.started_anew(epoch, now)
        self._address = address
        if address.is_unspecified:
            self._fail("it has no address itself")
        elif self.outside is None or anew or now >= self._renew_at:
            self._ask(State.MAPPING, now)
        else:
            self._settle(now)

    def _on_mapping(self, given: MappingAnswer, now: float) -> None:
        self._epoch.started_anew(given.epoch, now)
        if not given.external or not given.lifetime:
            self._fail("it gives no port")
            return
        self._external = given.external
        self._renew_at = now + max(min(given.lifetime, LIFETIME) / 2, LEAST_RENEWAL)
        self._settle(now)

    def _settle(self, now: float) -> None:
        self.outside = (self._address, self._external)
        self._state = State.MAPPED
        self._deadline = min(self._renew_at, now + CHECK_EVERY)

    def _ask(self, state: State, now: float) -> None:
        self._state = state
        self._tries = 0
        self._send(now)

    def _send(self, now: float) -> None:
        if self._state is State.ADDRESS:
            self._out = encode_address_request()
        else:
            self._out = encode_mapping_request(*self._asked, self._external, LIFETIME)
        self._deadline = now + FIRST_WAIT * 2**self._tries
        self._tries += 1

    def _fail(self, reason: str) -> None:
        self.failure = reason
        self.outside = None
