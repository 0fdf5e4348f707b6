"""Definitions of routing, dht and stats dht."""

from __future__ import annotations

from cidery.commands.definition import Argument, Call, Command, Input, Output, Value, Where, flag, number

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypedDict
else:
    from cidery.light_types import TypedDict

FINAL_PEER, PROVIDER, VALUE = 2, 4, 5
"""Types of a QueryEvent, as libp2p numbers them."""


class PeerAddrs(TypedDict):
    ID: str
    Addrs: list[str]


class QueryEvent(TypedDict):
    ID: str
    Type: int
    """2: a peer found; 4: a provider; 5: a value, or a peer that stored one."""
    Responses: list[PeerAddrs] | None
    Extra: str


class BucketPeer(TypedDict):
    ID: str
    Connected: bool
    AgentVersion: str
    LastUsefulAt: str
    LastQueriedAt: str


class Bucket(TypedDict):
    LastRefresh: str
    Peers: list[BucketPeer]


class DhtStat(TypedDict):
    Name: str
    """"wan" or "lan"."""
    Buckets: list[Bucket]
    Mode: str
    """"server" or "client"."""
    NetworkSize: int
    """Estimated peers; 0: not known yet."""


def _event(value: Value, call: Call) -> str:
    kind, responses = value["Type"], value["Responses"] or []
    if kind == PROVIDER:
        lines = []
        for one in responses:
            lines.append(one["ID"])
            if call.command.path[-1] == "findprovs" and call.flag("verbose"):
                lines += [f"\t{addr}" for addr in one["Addrs"]]
        return "".join(f"{line}\n" for line in lines)
    if kind == FINAL_PEER:
        if call.command.path[-1] == "query":
            return f"{value['ID']}\n"
        return "".join(f"{addr}\n" for one in responses for addr in one["Addrs"])
    return f"{value['Extra'] or value['ID']}\n"


def _value(value: Value, call: Call) -> str:
    """Bytes unchanged; if they are not UTF-8, as base64, the form they have over RPC."""
    import base64

    raw = base64.b64decode(value["Extra"])
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return f"{value['Extra']}\n"


def _stat(value: Value, call: Call) -> str:
    peers = sum(len(bucket["Peers"]) for bucket in value["Buckets"])
    about = f", the network has some {value['NetworkSize']}" if value["NetworkSize"] else ""
    lines = [f"DHT {value['Name']} ({value['Mode']}, {peers} peers{about}):"]
    for shared, bucket in enumerate(value["Buckets"]):
        if not bucket["Peers"]:
            continue
        lines.append(f"  Bucket {shared:2} ({len(bucket['Peers'])} peers) - refreshed {bucket['LastRefresh']}:")
        lines += [
            f"    {'@' if peer['Connected'] else ' '} {peer['ID']}  {peer['LastUsefulAt']:<12}  {peer['AgentVersion']}"
            for peer in bucket["Peers"]
        ]
    return "".join(line + "\n" for line in lines)


_VERBOSE = flag("verbose", "Print the addresses too", short="v")
_PEER = Argument("peer", "Peer id", Input.TEXT_OR_STDIN, variadic=True)

_COMMANDS = (
    Command(
        ("routing", "findprovs"),
        "Find peers that have content",
        "cidery.commands.run.routing:findprovs",
        "cidery routing findprovs -n 5 bafy...",
        (Argument("key", "CID", Input.TEXT_OR_STDIN, variadic=True),),
        (_VERBOSE, number("num-providers", "How many to find", default=20, short="n")),
        Output.STREAM,
        result=QueryEvent,
        text=_event,
        where=Where.DAEMON,
    ),
    Command(
        ("routing", "findpeer"),
        "Find the addresses of a peer",
        "cidery.commands.run.routing:findpeer",
        "cidery routing findpeer 12D3KooW...",
        (_PEER,),
        (_VERBOSE,),
        Output.STREAM,
        result=QueryEvent,
        text=_event,
        where=Where.DAEMON,
    ),
    Command(
        ("routing", "get"),
        "Get the best value under a key",
        "cidery.commands.run.routing:get",
        "cidery routing get /ipns/12D3KooW...",
        (Argument("key", "Key such as /ipns/NAME or /pk/PEER", Input.TEXT_OR_STDIN, variadic=True),),
        (_VERBOSE,),
        Output.STREAM,
        result=QueryEvent,
        text=_value,
        verbatim=True,
    ),
    Command(
        ("routing", "put"),
        "Store a value under a key, at the peers nearest to it",
        "cidery.commands.run.routing:put",
        "cidery routing put /pk/12D3KooW... key.bin",
        (Argument("key", "Key such as /ipns/NAME or /pk/PEER"), Argument("value", "File", Input.FILE_OR_STDIN)),
        (_VERBOSE, flag("allow-offline", "Store here even if nobody else can be reached")),
        Output.STREAM,
        result=QueryEvent,
        text=_event,
    ),
    Command(
        ("dht", "query"),
        "Find the peers nearest to a peer id",
        "cidery.commands.run.routing:query",
        "cidery dht query 12D3KooW...",
        (_PEER,),
        (_VERBOSE,),
        Output.STREAM,
        result=QueryEvent,
        text=_event,
        where=Where.DAEMON,
        deprecated="routing findpeer",
    ),
    Command(
        ("stats", "dht"),
        "Print the routing tables of the DHT",
        "cidery.commands.run.routing:stats_dht",
        "cidery stats dht lan",
        (Argument("dht", "wan or lan", required=False, variadic=True),),
        output=Output.STREAM,
        result=DhtStat,
        text=_stat,
        where=Where.DAEMON,
    ),
)
_OLD_NAMES = tuple(
    command._replace(
        path=("dht", command.path[1]), deprecated=command.name, example=command.example.replace("routing", "dht")
    )
    for command in _COMMANDS
    if command.path[0] == "routing"
)
COMMANDS = (*_COMMANDS, *_OLD_NAMES)
