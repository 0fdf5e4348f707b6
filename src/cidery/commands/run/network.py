"""id, ping, swarm, bitswap and shutdown."""

import asyncio
from collections.abc import AsyncIterator, Sequence

from cidery.commands.bind import BadCall
from cidery.commands.cid_text import cid_text
from cidery.commands.context import Context, TimedOut
from cidery.commands.definition import Call
from cidery.commands.definitions.network import (
    AutonatReport,
    BitswapStat,
    PeerInfo,
    PeeringPeer,
    PeeringPeers,
    PeeringStatus,
    PeerLedger,
    PingLine,
    SessionReport,
    SourceCount,
    StreamInfo,
    Strings,
    SwarmAddrs,
    SwarmPeers,
    WantList,
)
from cidery.commands.run.identity import shown_identity
from cidery.core.api import NoNetwork
from cidery.core.network import Network
from cidery.core.reached import certificate_words, how_reached
from cidery.errors import CideryError, InvalidInput, NotFound, Unavailable
from cidery.identity.peer_id import PeerId
from cidery.multiformats.cid import CID
from cidery.multiformats.multiaddr import Multiaddr
from cidery.multiformats.multiaddr_protocols import TCP, UDP
from cidery.version import __version__

AGENT = f"cidery/{__version__}"


REPORTING = 0.05
"""Share of --timeout that is left to say what became of each address."""


class ConnectFailed(Unavailable):
    """Peers could not be reached, or left."""

    def __init__(self, failures: Sequence[tuple[str, str]], done: Sequence[str] = ()) -> None:
        """``failures``: peer and reason of each."""
        super().__init__(failures, done)
        self.failures = failures
        self.done = done
        """What was done for other peers."""

    def __str__(self) -> str:
        failed = "; ".join(f"connect {peer} failure: {reason}" for peer, reason in self.failures)
        return failed + (f"; beside it: {', '.join(self.done)}" if self.done else "")


class NotPeered(NotFound):
    """Nothing to remove."""

    def __init__(self, peer: str) -> None:
        super().__init__(peer)
        self.peer = peer

    def __str__(self) -> str:
        return f"{self.peer} is not among the peers that are kept connected; see: cidery swarm peering ls"


class OtherWants(InvalidInput):
    """The wants of other nodes are not recorded."""

    def __str__(self) -> str:
        return "only the wants of this node are listed, and --peer takes its id alone"


async def ping(context: Context, call: Call) -> AsyncIterator[PingLine]:
    count = call.number("count")
    if count < 1:
        raise BadCall("option 'count' takes a number from 1 up")
    network = context.node.online
    text = call.one("peer")
    if text.startswith("/"):
        address = Multiaddr.parse(text)
        if address.peer_id_bytes is None:
            raise BadCall(f"{text[:80]!r} does not end in /p2p/PEER")
        with context.node.doing(f"dialling {address}"):
            await network.connect(address)
        peer = PeerId.decode(address.peer_id_bytes)
    else:
        peer = PeerId.parse(text)
    yield PingLine(Success=True, Time=0, Text=f"PING {peer}.")
    total, done = 0.0, 0
    async for seconds in network.ping(str(peer), count):
        total, done = total + seconds, done + 1
        yield PingLine(Success=True, Time=int(seconds * 1e9), Text="")
    if done:
        yield PingLine(Success=True, Time=0, Text=f"Average latency: {total / done * 1e3:.2f}ms")


async def swarm_peers(context: Context, call: Call) -> SwarmPeers:
    verbose = call.flag("verbose")
    shown: list[PeerInfo] = []
    for peer in context.node.online.peers():
        info = PeerInfo(Addr=peer.addr, Peer=peer.peer)
        if (verbose or call.flag("latency")) and peer.latency is not None:
            info["Latency"] = f"{peer.latency * 1e3:.3f}ms"
        if verbose or call.flag("direction"):
            info["Direction"] = peer.direction
        if peer.limited:
            info["Limited"] = True
        if verbose:
            info["Muxer"] = peer.muxer
        if verbose or call.flag("streams"):
            info["Streams"] = [StreamInfo(Protocol=protocol) for protocol in peer.streams]
        if call.flag("identify"):
            info["Identify"] = shown_identity(await context.node.online.identify(peer.peer))
        if call.flag("traffic"):
            passed = context.node.online.bandwidth(peer.peer, "")
            info["TotalIn"], info["TotalOut"] = passed.total_in, passed.total_out
        shown.append(info)
    return SwarmPeers(Peers=sorted(shown, key=lambda info: (info["Peer"], info["Addr"])) or None)


async def swarm_addrs(context: Context, call: Call) -> SwarmAddrs:
    return SwarmAddrs(Addrs=dict(sorted(context.node.online.known_addrs().items())))


async def swarm_addrs_listen(context: Context, call: Call) -> Strings:
    return Strings(Strings=context.node.online.listen_addrs())


async def swarm_addrs_local(context: Context, call: Call) -> Strings:
    own = context.node.online.identity()
    shown = call.flag("id")
    return Strings(Strings=[addr if shown else addr.removesuffix(f"/p2p/{own.id}") for addr in own.addresses])


def _peer_addresses(call: Call) -> list[tuple[str, Multiaddr, PeerId]]:
    """All are checked before the first is used."""
    checked: list[tuple[str, Multiaddr, PeerId]] = []
    for text in call.many("address"):
        address = Multiaddr.parse(text)
        if address.peer_id_bytes is None:
            raise BadCall(f"{text[:80]!r} does not end in /p2p/PEER; add the peer's id")
        if any(code in (TCP, UDP) and not any(value) for code, value in address.components):
            raise BadCall(f"{text[:80]!r} has the port 0, where nobody can be; see on the peer: cidery id")
        checked.append((text, address, PeerId.decode(address.peer_id_bytes)))
    return checked


def _connected_at(network: Network, peer: PeerId) -> list[Multiaddr]:
    return [Multiaddr.parse(one.addr).without_peer() for one in network.peers(str(peer))]


async def swarm_connect(context: Context, call: Call) -> Strings:
    network = context.node.online

    seconds = call.seconds("timeout") or None
    each = None if seconds is None else seconds * (1 - REPORTING)

    async def connect(address: Multiaddr, peer: PeerId) -> str:
        before = _connected_at(network, peer)
        with context.node.doing(f"dialling {address}"):
            try:
                async with asyncio.timeout(each) as limit:
                    await network.connect(address)
            except TimeoutError as exc:
                if not limit.expired():
                    raise
                raise TimedOut(seconds or 0.0) from exc
        kept = [one for one in _connected_at(network, peer) if one in before] if before else []
        if kept and address.without_peer().components and address.without_peer() not in before:
            return f"connect {peer} success: already connected at {kept[0]}, {address} was not tried"
        return f"connect {peer} success"

    asked = [(address, peer) for _, address, peer in _peer_addresses(call)]
    results = await asyncio.gather(*(connect(*one) for one in asked), return_exceptions=True)
    done = [result for result in results if isinstance(result, str)]
    failed: list[tuple[str, str]] = []
    for (_, peer), result in zip(asked, results, strict=True):
        if isinstance(result, CideryError):
            failed.append((str(peer), str(result)))
        elif isinstance(result, BaseException):
            raise result
    if failed:
        raise ConnectFailed(failed, done)
    context.node.pin_queue.retry_all()  # the peer may have what others lacked
    return Strings(Strings=done)


async def swarm_disconnect(context: Context, call: Call) -> Strings:
    network, done = context.node.online, list[str]()
    for _, address, peer in _peer_addresses(call):
        closed = await network.disconnect(address)
        done.append(f"disconnect {peer} success" if closed else f"disconnect {peer} failure: not connected")
    return Strings(Strings=done)


async def swarm_addrs_autonat(context: Context, call: Call) -> AutonatReport:
    online = context.node.online
    states = online.reachability()
    by_state = {state: [addr for addr, one in states.items() if one == state] for state in set(states.values())}
    reachable, unreachable = by_state.get("reachable", []), by_state.get("unreachable", [])
    return AutonatReport(
        reachability="Public" if reachable else "Private" if unreachable else "Unknown",
        reachable=reachable,
        unreachable=unreachable,
        unknown=by_state.get("unknown", []),
        words=how_reached(states, online.relaying()) + certificate_words(online.certificate()),
    )


async def peering_add(context: Context, call: Call) -> AsyncIterator[PeeringStatus]:
    addresses = [address for _, address, _ in _peer_addresses(call)]
    for peer in context.node.online.peering_add(addresses):
        yield PeeringStatus(ID=peer, Status="success")


async def peering_ls(context: Context, call: Call) -> PeeringPeers:
    kept = context.node.online.peering()
    return PeeringPeers(Peers=[PeeringPeer(ID=peer, Addrs=addrs) for peer, addrs in sorted(kept.items())])


async def peering_rm(context: Context, call: Call) -> AsyncIterator[PeeringStatus]:
    peers = [PeerId.parse(text) for text in call.many("peer")]
    for peer in peers:
        if not context.node.online.peering_remove(str(peer)):
            raise NotPeered(str(peer))
        yield PeeringStatus(ID=str(peer), Status="success")


async def bitswap_stat(context: Context, call: Call) -> BitswapStat:
    stat = context.node.online.bitswap_stat()
    return BitswapStat(
        Wantlist=[{"/": cid_text(CID.parse(cid), call)} for cid in stat.wantlist],
        Peers=list(stat.peers),
        BlocksReceived=stat.blocks_received,
        DataReceived=stat.data_received,
        DupBlksReceived=stat.dup_blocks_received,
        DupDataReceived=stat.dup_data_received,
        MessagesReceived=stat.messages_received,
        BlocksSent=stat.blocks_sent,
        DataSent=stat.data_sent,
    )


async def bitswap_wantlist(context: Context, call: Call) -> WantList:
    if (peer := call.text("peer")) and str(PeerId.parse(peer)) != context.node.online.identity().id:
        raise OtherWants
    return WantList(Keys=[{"/": cid} for cid in context.node.online.bitswap_stat().wantlist])


async def bitswap_ledger(context: Context, call: Call) -> PeerLedger:
    """Zeros for a peer that is not connected, as in Kubo."""
    peer = str(PeerId.parse(call.one("peer")))
    found = context.node.online.bitswap_stat().ledgers.get(peer)
    sent, received, blocks = (0, 0, 0) if found is None else found
    return PeerLedger(Peer=peer, Value=sent / (received + 1), Sent=sent, Recv=received, Exchanged=blocks)


async def bitswap_session(context: Context, call: Call) -> SessionReport:
    stats = context.node.watched.stats(call.one("name"))
    return SessionReport(
        Stage=stats.stage,
        LocalBlocks=stats.local[0],
        LocalBytes=stats.local[1],
        Sources=[SourceCount(Peer=peer, Blocks=n, Bytes=size) for peer, (n, size) in sorted(stats.by_source.items())],
        DuplicateBlocks=stats.duplicate_blocks,
        Owing=list(stats.owing),
    )


async def shutdown(context: Context, call: Call) -> None:
    if context.stop is None:
        raise NoNetwork
    context.stop()
