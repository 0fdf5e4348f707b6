"""From a raw byte stream to a secured, multiplexed connection: negotiate security, run it, agree on the muxer.

Security is never optional: plaintext is not among the protocols.

Spec: https://github.com/libp2p/specs/blob/master/connections/README.md#upgrading-connections
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from cidery.identity.keys import PrivateKey
from cidery.identity.peer_id import PeerId
from cidery.libp2p.protocols import multistream, noise, paths, yamux
from cidery.libp2p.protocols.channel import Secured, SecurityError
from cidery.libp2p.protocols.steps import Read, Send, Steps

if TYPE_CHECKING:
    from cidery.libp2p.protocols.tls import TlsIdentity

TLS = "/tls/1.0.0"
"""The protocol of tls.py, which is imported when a peer first speaks it: that takes as long as half of a start."""
MUXERS = (yamux.PROTOCOL,)


@dataclass(frozen=True, slots=True)
class UpgradeConfig:
    """What this node offers, and who it is."""

    identity: PrivateKey
    certificate: Callable[[], TlsIdentity]
    """Makes it the first time."""
    entropy: Callable[[int], bytes]
    security: tuple[str, ...] = (noise.PROTOCOL, TLS)
    """In order of preference."""
    static: noise.StaticKey = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "static", noise.StaticKey(self.identity, MUXERS, self.entropy))

    def prepare(self) -> None:
        """Do now what the next handshake would take time for."""
        self.static.prepare(self.entropy)


def upgrade_outbound(config: UpgradeConfig, expected: PeerId | None, *, at_once: bool = False) -> Steps[Secured]:
    """The dialling side. Raises MultistreamError, SecurityError, WrongPeer.

    ``at_once``: if Noise is preferred, its first message goes out with the proposal, which spares a round trip. A peer
    that does not speak it (ProtocolNotSupported) can then be dialled only anew, without.
    """
    if at_once and config.security[0] == noise.PROTOCOL:
        opening, answer = multistream.optimistic_opening(noise.PROTOCOL), multistream.confirm(noise.PROTOCOL)
        secured = yield from noise.initiate(config.static, config.entropy, expected, opening, answer)
    elif (yield from multistream.propose(config.security)) == noise.PROTOCOL:
        secured = yield from noise.initiate(config.static, config.entropy, expected)
    else:
        from cidery.libp2p.protocols import tls

        secured = yield from tls.initiate(config.certificate(), expected)
    if secured.muxer is None:
        secured = yield from _through(secured, multistream.propose(MUXERS))
    return _checked(secured)


def upgrade_inbound(config: UpgradeConfig) -> Steps[Secured]:
    """The listening side. Raises MultistreamError, SecurityError."""
    security = yield from multistream.respond(config.security)
    return (yield from _respond_by(security, config))


def upgrade_or_join(config: UpgradeConfig) -> Steps[Secured | paths.Proposed]:
    """As upgrade_inbound(), where what comes may also be a path of a connection that there is."""
    chosen = yield from multistream.respond((*config.security, paths.PROTOCOL))
    if chosen == paths.PROTOCOL:
        return paths.Proposed()
    return (yield from _respond_by(chosen, config))


def _respond_by(security: str, config: UpgradeConfig) -> Steps[Secured]:
    if security == noise.PROTOCOL:
        secured = yield from noise.respond(config.static, config.entropy)
    else:
        from cidery.libp2p.protocols import tls

        secured = yield from tls.respond(config.certificate())
    if secured.muxer is None:
        secured = yield from _through(secured, multistream.respond(MUXERS))
    return _checked(secured)


def _checked(secured: Secured) -> Secured:
    if secured.muxer not in MUXERS:
        raise SecurityError("muxer", f"{secured.muxer!r} was agreed on but is not spoken here")
    return secured


def _through(secured: Secured, inner: Steps[str]) -> Steps[Secured]:
    """Run a negotiation inside the secure channel; plaintext beyond it becomes ``early``."""
    plain = bytearray()
    resume: bytes | None = None
    while True:
        try:
            step = next(inner) if resume is None else inner.send(resume)
        except StopIteration as stop:
            return replace(secured, muxer=stop.value, early=bytes(plain))
        if isinstance(step, Send):
            out = memoryview(bytearray(secured.channel.sealed_size))
            yield Send(bytes(out[: secured.channel.seal_into(memoryview(step.data), out)]))
            resume = b""
            continue
        assert isinstance(step, Read)  # steps yield nothing else
        while len(plain) < step.size:
            sealed = yield from secured.channel.sealed_message()
            secured.channel.receive(memoryview(sealed), plain.extend)
        resume = bytes(plain[: step.size])
        del plain[: step.size]
