"""node.swarm and node.routing: connections to peers; who has what, and where peers are."""

from __future__ import annotations

from contextlib import aclosing

from cidery.methods.blocking import BlockingGroup, blocking, iterating
from cidery.methods.caller import Group, path_text
from cidery.methods.results import Peer, PeerAddresses, Reachability
from cidery.methods.sources import pieces_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from cidery.methods.caller import Value
    from cidery.methods.sources import Source
    from cidery.multiformats.cid import CID

_CLOSED = " success"


class Swarm(Group):
    """Connections. All raise NoNetwork on an offline node."""

    async def connect(self, *addresses: str) -> None:
        """Connect to peers, all at once. Addresses end in /p2p/PEER; "/p2p/PEER" alone looks for them.

        Raises: ConnectFailed (the first; others may be connected), BadMultiaddr.
        Cancellation: safe. An address where nothing answers is given up after some two minutes.
        """
        await self._done("swarm connect", *addresses)

    async def disconnect(self, *addresses: str) -> list[str]:
        """Close the connections to peers ("/p2p/PEER", or an address); returns the ids of those that had one."""
        value = await self._value("swarm disconnect", *addresses)
        return [line.split()[1] for line in value["Strings"] if line.endswith(_CLOSED)]

    async def peers(self) -> list[Peer]:
        """The connections."""
        value = await self._value("swarm peers", verbose=True)
        return [_peer(one) for one in value["Peers"] or ()]

    async def addrs(self) -> dict[str, list[str]]:
        """The known addresses of peers, by id."""
        return dict((await self._value("swarm addrs"))["Addrs"])

    async def listen_addrs(self) -> list[str]:
        """The addresses this node listens on."""
        return list((await self._value("swarm addrs listen"))["Strings"])

    async def reachability(self) -> Reachability:
        """Whether others can dial this node's public addresses."""
        value = await self._value("swarm addrs autonat")
        reachable, unreachable, unknown, words = (
            tuple(value[name]) for name in ("reachable", "unreachable", "unknown", "words")
        )
        return Reachability(value["reachability"], reachable, unreachable, unknown, words)

    async def ping(self, peer: str, count: int = 10) -> AsyncGenerator[float, None]:
        """Seconds of ``count`` round trips to a peer (its id, or an address)."""
        async with aclosing(self._caller.values("ping", peer, count=count)) as values:
            async for value in values:
                if not value["Text"]:
                    yield value["Time"] / 1e9

    async def filters(self) -> list[str]:
        """The networks that are neither dialled nor accepted."""
        return list((await self._value("swarm filters"))["Strings"])

    async def filters_add(self, *nets: str) -> list[str]:
        """Neither dial nor accept networks such as "/ip4/10.0.0.0/ipcidr/8", from now on and after a restart.

        Connections into them end. Returns them in the form that filters() has. Raises BadFilter.
        """
        return list((await self._value("swarm filters add", *nets))["Strings"])

    async def filters_rm(self, *nets: str) -> list[str]:
        """Allow networks again; "all" for all of them. Returns what was removed. Raises NotFiltered."""
        return list((await self._value("swarm filters rm", *nets))["Strings"])

    async def peering(self) -> list[PeerAddresses]:
        """The peers this node stays connected to."""
        value = await self._value("swarm peering ls")
        return [PeerAddresses(one["ID"], tuple(one["Addrs"])) for one in value["Peers"]]

    async def peering_add(self, *addresses: str) -> None:
        """Stay connected to peers until the node is closed; Peering.Peers of the config makes it permanent."""
        await self._done("swarm peering add", *addresses)

    async def peering_rm(self, *peers: str) -> None:
        """Stop staying connected to peers, given by id. Raises NotPeered."""
        await self._done("swarm peering rm", *peers)


class Routing(Group):
    """The DHT and the other routers."""

    async def find_providers(self, cid: str | CID, count: int = 20) -> AsyncGenerator[PeerAddresses, None]:
        """Peers that have content, as they are found, at most ``count``; closing the iterator ends the search."""
        async with aclosing(self._caller.values("routing findprovs", path_text(cid), num_providers=count)) as values:
            async for value in values:
                for one in value["Responses"] or ():
                    yield PeerAddresses(one["ID"], tuple(one["Addrs"]))

    async def find_peer(self, peer: str) -> PeerAddresses:
        """The addresses of a peer. Raises NothingFound."""
        one = (await self._value("routing findpeer", peer))["Responses"][0]
        return PeerAddresses(one["ID"], tuple(one["Addrs"]))

    async def closest_peers(self, peer: str) -> list[PeerAddresses]:
        """The peers of the DHT nearest to a peer id. Raises NothingFound."""
        found: list[PeerAddresses] = []
        async with aclosing(self._caller.values("dht query", peer)) as values:
            async for value in values:
                found += [PeerAddresses(one["ID"], tuple(one["Addrs"])) for one in value["Responses"] or ()]
        return found

    async def provide(self, *cids: str | CID, recursive: bool = False) -> int:
        """Announce content that is stored here, now; returns how many peers took a record of the roots.

        ``recursive``: everything below too, with the next sweep.
        """
        taken = 0
        async with aclosing(self._caller.values("provide once", *map(path_text, cids), recursive=recursive)) as values:
            async for value in values:
                taken += max(0, value["Peers"])
        return taken

    async def get(self, key: str) -> bytes:
        """The best value under a key ("/ipns/NAME", "/pk/PEER"). Raises NothingFound."""
        import base64

        return base64.b64decode((await self._value("routing get", key))["Extra"])

    async def put(self, key: str, value: Source, *, allow_offline: bool = False) -> None:
        """Store a value under a key at the peers nearest to it. ``allow_offline``: here, if there are none.

        Raises: NotStored.
        """
        await self._done("routing put", key, body=pieces_of(value), allow_offline=allow_offline)


def _peer(value: Value) -> Peer:
    latency = value.get("Latency", "")
    return Peer(
        id=value["Peer"],
        address=value["Addr"],
        direction=value.get("Direction", ""),
        latency=float(latency.removesuffix("ms")) / 1e3 if latency else None,
        muxer=value.get("Muxer", ""),
        protocols=tuple(stream["Protocol"] for stream in value.get("Streams") or ()),
        limited=value.get("Limited", False),
    )


class BlockingSwarm(BlockingGroup[Swarm]):
    """The methods of Swarm, blocking."""

    connect = blocking(Swarm.connect)
    disconnect = blocking(Swarm.disconnect)
    peers = blocking(Swarm.peers)
    addrs = blocking(Swarm.addrs)
    listen_addrs = blocking(Swarm.listen_addrs)
    reachability = blocking(Swarm.reachability)
    ping = iterating(Swarm.ping)
    filters = blocking(Swarm.filters)
    filters_add = blocking(Swarm.filters_add)
    filters_rm = blocking(Swarm.filters_rm)
    peering = blocking(Swarm.peering)
    peering_add = blocking(Swarm.peering_add)
    peering_rm = blocking(Swarm.peering_rm)


class BlockingRouting(BlockingGroup[Routing]):
    """The methods of Routing, blocking."""

    find_providers = iterating(Routing.find_providers)
    find_peer = blocking(Routing.find_peer)
    closest_peers = blocking(Routing.closest_peers)
    provide = blocking(Routing.provide)
    get = blocking(Routing.get)
    put = blocking(Routing.put)
