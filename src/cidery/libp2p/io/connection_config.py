"""What every connection of a node shares."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from cidery.libp2p.io.joining import Joining
from cidery.libp2p.io.shares import ReceivedBytes
from cidery.libp2p.io.stream import Stream
from cidery.libp2p.io.traffic import Traffic
from cidery.libp2p.protocols.timeouts import Timeouts
from cidery.spare_buffers import SpareBuffers

Handler = Callable[[Stream], Awaitable[None]]
"""Serves one inbound stream."""

SCRATCH = 64 * 1024
"""Bytes of the memory that connections share."""


@dataclass(frozen=True, slots=True)
class ConnectionConfig:
    """What every connection of a node shares."""

    handlers: Mapping[str, Handler]
    """Protocol id -> handler of inbound streams; read at each new stream."""
    timeouts: Timeouts
    clock: Callable[[], float]
    traffic: Traffic
    greeting: str = ""
    """Protocol id of the first request of each connection; "": there is none."""
    joining: Joining = field(default_factory=Joining)
    received: ReceivedBytes = field(default_factory=ReceivedBytes)
    spare: SpareBuffers = field(default_factory=SpareBuffers)
    scratch: memoryview = field(default_factory=lambda: memoryview(bytearray(SCRATCH)))
    """For what a connection writes and reads again within one call."""
