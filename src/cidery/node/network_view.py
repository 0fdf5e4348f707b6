"""Swarm and Bitswap in the form that the core shows."""

import base64
from collections.abc import Sequence

from cidery.bitswap.service import BitswapService
from cidery.budgets import CONNECTIONS, HANDSHAKES, RECEIVED_IN_ALL
from cidery.core.network import Bandwidth, BitswapStat, BudgetUse, ConnectedPeer, PeerIdentity, PeerLedger
from cidery.identity.peer_id import PeerId
from cidery.libp2p.io.connection import Connection
from cidery.libp2p.io.swarm import Swarm
from cidery.libp2p.io.traffic import Traffic
from cidery.libp2p.protocols.bandwidth import Meter
from cidery.libp2p.protocols.identify import PROTOCOL_VERSION
from cidery.multiformats.multiaddr import Multiaddr


def own_identity(swarm: Swarm, addrs: Sequence[Multiaddr], agent: str) -> PeerIdentity:
    """This node, at the addresses that it announces."""
    return PeerIdentity(
        id=str(swarm.local_peer),
        public_key=base64.b64encode(swarm.identity.public.encode()).decode(),
        addresses=tuple(str(addr.with_peer(swarm.local_peer.multihash)) for addr in addrs),
        agent_version=agent,
        protocols=tuple(sorted(swarm.handlers)),
        protocol_version=PROTOCOL_VERSION,
    )


def known_identity(swarm: Swarm, peer: PeerId) -> PeerIdentity:
    """What a peer has told about itself."""
    known = swarm.peer_store.know(peer)
    return PeerIdentity(
        id=str(peer),
        public_key=base64.b64encode(known.public_key).decode(),
        addresses=tuple(str(addr.with_peer(peer.multihash)) for addr in known.addrs),
        agent_version=known.agent,
        protocols=tuple(sorted(known.protocols)),
        protocol_version=known.protocol_version,
    )


def connected_peer(connection: Connection) -> ConnectedPeer:
    """One upgraded connection."""
    assert connection.secured is not None  # the swarm holds upgraded ones
    return ConnectedPeer(
        peer=str(connection.peer),
        addr=str(connection.remote_addr),
        direction="outbound" if connection.outbound else "inbound",
        muxer=connection.secured.muxer or "",
        security=connection.secured.security,
        latency=connection.round_trip.smoothed,
        streams=tuple(stream.protocol for stream in connection.streams),
        limited=connection.limited,
    )


def bandwidth(traffic: Traffic, peer: str, protocol: str) -> Bandwidth:
    """The meters of a peer, of a protocol, or of everything. Raises PeerIdError."""
    found: tuple[Meter, Meter] | None = (traffic.received, traffic.sent)
    if peer:
        found = traffic.peers.get(PeerId.parse(peer))
    elif protocol:
        found = traffic.protocols.get(protocol)
    if found is None:
        return Bandwidth(0, 0, 0.0, 0.0)
    now = traffic.clock()
    came, went = found
    return Bandwidth(came.total, went.total, came.rate(now), went.rate(now))


def budgets(swarm: Swarm) -> list[BudgetUse]:
    """What peers use now."""
    limits, traffic, now = swarm.traffic.limits, swarm.traffic, swarm.traffic.clock()
    return [
        BudgetUse("connections", CONNECTIONS.unit, swarm.connection_count(), swarm.config.max_connections),
        BudgetUse("handshakes", HANDSHAKES.unit, swarm.pending_inbound, swarm.config.max_pending_inbound),
        BudgetUse("received and not read", "bytes", swarm.held_bytes, RECEIVED_IN_ALL.amount),
        BudgetUse("upload", "bytes a second", traffic.sent.rate(now), limits.up),
        BudgetUse("download", "bytes a second", traffic.received.rate(now), limits.down),
    ]


def bitswap_stat(service: BitswapService) -> BitswapStat:
    """Counters since the start."""
    return BitswapStat(
        wantlist=tuple(map(str, service.wantlist())),
        peers=tuple(sorted(service.engine.ledgers)),
        blocks_received=service.blocks_received,
        data_received=service.data_received,
        dup_blocks_received=service.duplicate_blocks,
        dup_data_received=service.duplicate_data,
        messages_received=service.messages_received,
        blocks_sent=service.blocks_sent,
        data_sent=service.data_sent,
        ledgers={
            peer: PeerLedger(one.bytes_sent, one.bytes_received, one.blocks_sent + one.blocks_received)
            for peer, one in service.engine.ledgers.items()
        },
    )
