"""routing, dht and stats dht."""

import base64
from collections.abc import AsyncIterator
from contextlib import aclosing

from cidery.commands.bind import BadCall
from cidery.commands.context import Context
from cidery.commands.definition import Call
from cidery.commands.definitions.routing import (
    FINAL_PEER,
    PROVIDER,
    VALUE,
    Bucket,
    BucketPeer,
    DhtStat,
    PeerAddrs,
    QueryEvent,
)
from cidery.commands.run.block import read_upload
from cidery.core.api import Api
from cidery.core.network import BucketStat
from cidery.errors import InvalidInput, NotFound, Unavailable
from cidery.identity.peer_id import PeerId, PeerIdError
from cidery.kad.message import MAX_KEY
from cidery.routing.interface import FoundPeer

_IPNS = b"/ipns/"
QUORUM = 16
"""Answers after which a value is assumed to be the newest (Amino's number for IPNS)."""


class NothingFound(NotFound):
    """Every reachable router was asked, in vain."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what

    def __str__(self) -> str:
        return f"routing: {self.what} not found"


class NotStored(Unavailable):
    """No peer took a value."""

    def __str__(self) -> str:
        return "no peer could be reached to store this; --allow-offline keeps it here only"


class OnlyNames(InvalidInput):
    """A value that only peers store."""

    def __str__(self) -> str:
        return "without a network only records of names (/ipns/...) can be stored; start it with: cidery daemon"


def _addrs(found: FoundPeer) -> PeerAddrs:
    return PeerAddrs(ID=str(found.peer), Addrs=[str(addr) for addr in found.addrs])


def _event(kind: int, responses: list[PeerAddrs] | None = None, peer: str = "", extra: str = "") -> QueryEvent:
    return QueryEvent(ID=peer, Type=kind, Responses=responses, Extra=extra)


async def findprovs(context: Context, call: Call) -> AsyncIterator[QueryEvent]:
    count = call.number("num-providers")
    if count < 1:
        raise BadCall("option 'num-providers' takes a number from 1 up")
    router = context.node.online.router()
    for cid in [(await context.node.locate(text)).root for text in call.many("key")]:
        named = 0
        with context.node.doing("asking the routers who has it") as say:
            async with aclosing(router.find_providers(cid, count)) as found:
                async for peer in found:
                    named += 1
                    say(f"asking the routers who has it, {named} found")
                    yield _event(PROVIDER, [_addrs(peer)])


async def findpeer(context: Context, call: Call) -> AsyncIterator[QueryEvent]:
    router = context.node.online.router()
    for peer in [PeerId.parse(text) for text in call.many("peer")]:
        with context.node.doing("asking the routers where it is"):
            found = await router.find_peer(peer)
        if found is None or not found.addrs:
            raise NothingFound(str(peer))
        yield _event(FINAL_PEER, [_addrs(found)])


def parse_key(text: str) -> bytes:
    """A record key: ``/ipns/`` or ``/pk/`` and a peer id in text form. Raises BadCall."""
    parts = text.split("/", 2)
    if len(parts) != 3 or parts[0] or parts[1] not in ("ipns", "pk"):
        raise BadCall(f"{text[:80]!r} is not a key such as /ipns/NAME or /pk/PEER")
    try:
        key = f"/{parts[1]}/".encode() + PeerId.parse(parts[2]).multihash
    except PeerIdError as exc:
        raise BadCall(f"{text[:80]!r} does not end in a peer id or name") from exc
    assert len(key) <= MAX_KEY  # a peer id is short
    return key


def _stored(api: Api, key: bytes) -> bytes | None:
    """The stored record of a name, unless it has expired."""
    if not key.startswith(_IPNS):
        return None
    found = api.naming.names.get(PeerId.decode(key.removeprefix(_IPNS)))
    return None if found is None or found.record.is_over(api.naming.resolver.now()) else found.record.raw


async def get(context: Context, call: Call) -> AsyncIterator[QueryEvent]:
    for text in call.many("key"):
        key = parse_key(text)
        best = _stored(context.node, key)
        if best is not None and context.node.network is None:
            yield _event(VALUE, extra=base64.b64encode(best).decode())
            continue
        network = context.node.online
        router = network.router()
        with context.node.doing("asking the routers for it"):
            async with aclosing(router.search_value(key, QUORUM)) as values:
                async for value in values:
                    best = network.better_value(key, best, value)
        if best is None:
            raise NothingFound(f"a value under {text}")
        yield _event(VALUE, extra=base64.b64encode(best).decode())


async def put(context: Context, call: Call) -> AsyncIterator[QueryEvent]:
    api, key = context.node, parse_key(call.one("key"))
    assert context.uploads is not None  # the definition's file argument; the CLI opens local paths
    value = b""
    async for item in context.uploads:
        value = await read_upload(item)
    offline = call.flag("allow-offline")
    if api.network is None and not offline:
        raise NotStored
    if key.startswith(_IPNS):
        name = PeerId.decode(key.removeprefix(_IPNS))
        taken = (await api.naming.publisher.put(name, value, online=api.network is not None)).peers
    elif api.network is None:
        raise OnlyNames
    else:
        taken = await api.network.router().put_value(key, value)
    if not taken and not offline:
        raise NotStored
    yield _event(VALUE, peer=api.config.peer_id)


async def query(context: Context, call: Call) -> AsyncIterator[QueryEvent]:
    for peer in [PeerId.parse(text) for text in call.many("peer")]:
        with context.node.doing("asking peers of the DHT"):
            found = await context.node.online.closest_peers(peer.multihash)
        if not found:
            raise NothingFound("any peer of the DHT was")
        for one in found:
            yield _event(FINAL_PEER, [_addrs(one)], str(one.peer))


async def stats_dht(context: Context, call: Call) -> AsyncIterator[DhtStat]:
    names = {"wanserver": "wan", "lanserver": "lan"}
    wanted = [names.get(name, name) for name in call.many("dht")] or ["wan", "lan"]
    stats = {stat.name: stat for stat in context.node.online.dht_stats()}
    if unknown := [name for name in wanted if name not in ("wan", "lan")]:
        raise BadCall(f"there is no DHT {unknown[0][:40]!r}; choose wan or lan")
    for name in wanted:
        if name in stats:
            stat = stats[name]
            yield DhtStat(
                Name=name,
                Buckets=[_bucket(bucket) for bucket in stat.buckets],
                Mode="server" if stat.server else "client",
                NetworkSize=round(stat.network_size or 0),
            )


def _bucket(bucket: BucketStat) -> Bucket:
    return Bucket(
        LastRefresh=_ago(bucket.refreshed),
        Peers=[
            BucketPeer(
                ID=peer.id, Connected=peer.connected, AgentVersion=peer.agent, LastUsefulAt=_ago(peer.answered),
                LastQueriedAt=_ago(peer.answered),
            )
            for peer in bucket.peers
        ],
    )  # fmt: skip


def _ago(seconds: float | None) -> str:
    return "never" if seconds is None or seconds == float("inf") else f"{seconds:.0f}s ago"
