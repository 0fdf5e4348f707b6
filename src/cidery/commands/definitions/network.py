"""Definitions of id, ping, swarm and bitswap."""

from __future__ import annotations

from cidery.commands.byte_size import human_size
from cidery.commands.definition import (
    BY_COMMAND_LINE,
    Argument,
    Call,
    Command,
    Input,
    Output,
    Repo,
    Value,
    Where,
    flag,
    number,
    text,
)
from cidery.commands.escaping import escaped

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NotRequired, TypedDict
else:
    from cidery.light_types import TypedDict


class Identity(TypedDict):
    ID: str
    PublicKey: str
    Addresses: list[str]
    AgentVersion: str
    Protocols: list[str]


class SwarmKey(TypedDict):
    Key: str
    """Text of the key file."""


class PingLine(TypedDict):
    Success: bool
    Time: int
    """Nanoseconds."""
    Text: str


class StreamInfo(TypedDict):
    Protocol: str


class PeerInfo(TypedDict):
    Addr: str
    Peer: str
    Latency: NotRequired[str]
    Muxer: NotRequired[str]
    Direction: NotRequired[str]
    Limited: NotRequired[bool]
    """Cidery's: whether it goes through a relay that ends it after some time or bytes."""
    Streams: NotRequired[list[StreamInfo]]
    Identify: NotRequired[Identity]
    TotalIn: NotRequired[int]
    """Cidery's: bytes that came from the peer since the start, over all its connections..."""
    TotalOut: NotRequired[int]
    """... and that went to it."""


class SwarmPeers(TypedDict):
    Peers: list[PeerInfo] | None
    """None if there are none, as Kubo writes it."""


class SwarmAddrs(TypedDict):
    Addrs: dict[str, list[str]]


class Strings(TypedDict):
    Strings: list[str]


class AutonatReport(TypedDict):
    reachability: str
    """"Public", "Private" or "Unknown", as in Kubo."""
    reachable: list[str]
    unreachable: list[str]
    unknown: list[str]
    words: list[str]
    """Cidery's: how this node can be reached, in sentences."""


class PeeringStatus(TypedDict):
    ID: str
    Status: str


class PeeringPeer(TypedDict):
    ID: str
    Addrs: list[str]


class PeeringPeers(TypedDict):
    Peers: list[PeeringPeer]


class BitswapStat(TypedDict):
    Wantlist: list[dict[str, str]]
    Peers: list[str]
    BlocksReceived: int
    DataReceived: int
    DupBlksReceived: int
    DupDataReceived: int
    MessagesReceived: int
    BlocksSent: int
    DataSent: int


class WantList(TypedDict):
    Keys: list[dict[str, str]]


class SourceCount(TypedDict):
    Peer: str
    Blocks: int
    Bytes: int


class SessionReport(TypedDict):
    Stage: str
    """"local", "finding", "dialling", "asking", "receiving", "stalled", "done", or another activity in words."""
    LocalBlocks: int
    LocalBytes: int
    Sources: list[SourceCount]
    DuplicateBlocks: int
    Owing: list[str]
    """Peers that were asked for blocks and have not sent them."""


def _session(value: Value, call: Call) -> str:
    lines = [f"{value['Stage']}", f"\tstored here: {value['LocalBlocks']} blocks, {value['LocalBytes']} bytes"]
    lines += [f"\t{one['Peer']}: {one['Blocks']} blocks, {one['Bytes']} bytes" for one in value["Sources"]]
    lines.append(f"\ttwice: {value['DuplicateBlocks']} blocks")
    return "".join(line + "\n" for line in lines)


def _id(value: Value, call: Call) -> str:
    form = call.text("format")
    if not form:
        import json

        return json.dumps(dict(value), indent="\t") + "\n"
    for name, shown in (
        ("<id>", value["ID"]),
        ("<aver>", escaped(value["AgentVersion"])),
        ("<pubkey>", value["PublicKey"]),
        ("<addrs>", "\n".join(value["Addresses"])),
        ("<protocols>", "\n".join(map(escaped, value["Protocols"]))),
    ):
        form = form.replace(name, shown)
    return form.replace("\\n", "\n").replace("\\t", "\t")


def _ping(value: Value, call: Call) -> str:
    if value["Text"]:
        return f"{value['Text']}\n"
    return f"Pong received: time={value['Time'] / 1e6:.2f} ms\n" if value["Success"] else ""


def _peers(value: Value, call: Call) -> str:
    lines: list[str] = []
    verbose = call.flag("verbose")
    for peer in value["Peers"] or ():
        at = f"{peer['Addr']}/p2p/{peer['Peer']}"
        extras = [peer.get(name, "") for name in ("Latency", "Direction") if verbose or call.flag(name.lower())]
        if verbose and peer.get("Limited"):
            extras.append("limited")
        if "TotalIn" in peer:
            extras.append(f"{human_size(peer['TotalIn'])} in, {human_size(peer['TotalOut'])} out")
        lines.append(" ".join([at, *(extra for extra in extras if extra)]))
        lines += [f"  {stream['Protocol'] or '<no protocol name>'}" for stream in peer.get("Streams", ())]
        if who := peer.get("Identify"):
            lines += [f"  Identify: {who['AgentVersion']}", *(f"    {name}" for name in who["Protocols"])]
    return "".join(line + "\n" for line in lines)


def _addrs(value: Value, call: Call) -> str:
    lines: list[str] = []
    for peer, addrs in value["Addrs"].items():
        lines += [f"{peer} ({len(addrs)})", *(f"\t{addr}" for addr in addrs)]
    return "".join(line + "\n" for line in lines)


class PeerLedger(TypedDict):
    Peer: str
    Value: float
    """Bytes sent by bytes received: what the peer owes."""
    Sent: int
    Recv: int
    Exchanged: int
    """Blocks, both ways."""


def _ledger(value: Value, call: Call) -> str:
    return (
        f"Ledger for {value['Peer']}\nDebt ratio:\t{value['Value']:f}\nExchanges:\t{value['Exchanged']}\n"
        f"Bytes sent:\t{value['Sent']}\nBytes received:\t{value['Recv']}\n"
    )


def strings_text(value: Value, call: Call) -> str:
    return "".join(f"{line}\n" for line in value["Strings"])


def _bitswap(value: Value, call: Call) -> str:
    lines = ["bitswap status"]
    for label, name in (
        ("blocks received", "BlocksReceived"),
        ("blocks sent", "BlocksSent"),
        ("data received", "DataReceived"),
        ("data sent", "DataSent"),
        ("dup blocks received", "DupBlksReceived"),
        ("dup data received", "DupDataReceived"),
    ):
        lines.append(f"\t{label}: {value[name]}")
    lines.append(f"\twantlist [{len(value['Wantlist'])} keys]")
    lines += [f"\t\t{want['/']}" for want in value["Wantlist"]]
    lines.append(f"\tpartners [{len(value['Peers'])}]")
    if call.flag("verbose"):
        lines += [f"\t\t{peer}" for peer in value["Peers"]]
    return "".join(line + "\n" for line in lines)


def _autonat(value: Value, call: Call) -> str:
    lines = [f"reachability: {value['reachability']}"]
    lines += [f"\t{addr} {kind}" for kind in ("reachable", "unreachable", "unknown") for addr in value[kind]]
    lines += value["words"]
    return "".join(line + "\n" for line in lines)


def _peering_status(value: Value, call: Call) -> str:
    return f"{call.command.path[-1]} {value['ID']} {value['Status']}\n"


def _peering_peers(value: Value, call: Call) -> str:
    lines: list[str] = []
    for peer in value["Peers"]:
        lines += [peer["ID"], *(f"\t{addr}" for addr in peer["Addrs"])]
    return "".join(line + "\n" for line in lines)


_ADDRESS = Argument("address", "/ip4/1.2.3.4/tcp/4001/p2p/12D3Koo...", Input.TEXT_OR_STDIN, variadic=True)


COMMANDS = (
    Command(
        ("id",),
        "Print this node's identity, or a peer's",
        "cidery.commands.run.identity:identity",
        'cidery id --format="<id>"',
        (Argument("peer", "Peer id", required=False),),
        (
            text("format", "Form of the output, from <id> <aver> <pubkey> <addrs> <protocols>", short="f"),
            text("peerid-base", "Form of the peer id: b58mh, or a multibase such as base36", default="b58mh"),
        ),
        result=Identity,
        text=_id,
        verbatim=True,
        repo=Repo.CONFIG,
    ),
    Command(
        ("ping",),
        "Measure the round trip to a peer",
        "cidery.commands.run.network:ping",
        "cidery ping -n 3 12D3KooW...",
        (Argument("peer", "Peer id, or address that ends in /p2p/PEER"),),
        (number("count", "How many pings", default=10, short="n"),),
        Output.STREAM,
        result=PingLine,
        text=_ping,
        where=Where.DAEMON,
        live=True,
    ),
    Command(
        ("swarm", "peers"),
        "List the connected peers",
        "cidery.commands.run.network:swarm_peers",
        "cidery swarm peers -v",
        options=(
            flag("verbose", "Show all details", short="v"),
            flag("streams", "Show the streams"),
            flag("latency", "Show the round trip"),
            flag("direction", "Show who dialled"),
            flag("identify", "Show what each peer says about itself"),
            flag("traffic", "Show how much came from each peer, and went to it"),
        ),
        result=SwarmPeers,
        text=_peers,
        where=Where.DAEMON,
    ),
    Command(
        ("swarm", "addrs"),
        "List the known addresses of peers",
        "cidery.commands.run.network:swarm_addrs",
        "cidery swarm addrs",
        result=SwarmAddrs,
        text=_addrs,
        where=Where.DAEMON,
    ),
    Command(
        ("swarm", "addrs", "listen"),
        "List the addresses this node listens on",
        "cidery.commands.run.network:swarm_addrs_listen",
        "cidery swarm addrs listen",
        result=Strings,
        text=strings_text,
        where=Where.DAEMON,
    ),
    Command(
        ("swarm", "addrs", "local"),
        "List the addresses at which others find this node, with its peer id if asked",
        "cidery.commands.run.network:swarm_addrs_local",
        "cidery swarm addrs local --id",
        options=(flag("id", "Append /p2p/ID"),),
        result=Strings,
        text=strings_text,
        where=Where.DAEMON,
    ),
    Command(
        ("swarm", "key"),
        "Make a key for a private network",
        BY_COMMAND_LINE,
        "cidery swarm key > ~/.cidery/swarm.key",
        result=SwarmKey,
        text=lambda value, call: value["Key"],
        verbatim=True,
        where=Where.CLIENT,
        repo=Repo.NONE,
        description="Copy the file to the repository of each node: only nodes with the same key connect to each other.",
    ),
    Command(
        ("swarm", "addrs", "autonat"),
        "List this node's public addresses and whether others can reach them",
        "cidery.commands.run.network:swarm_addrs_autonat",
        "cidery swarm addrs autonat",
        result=AutonatReport,
        text=_autonat,
        where=Where.DAEMON,
    ),
    Command(
        ("swarm", "connect"),
        "Connect to peers",
        "cidery.commands.run.network:swarm_connect",
        "cidery swarm connect /ip4/192.0.2.1/tcp/4001/p2p/12D3KooW...",
        (_ADDRESS,),
        result=Strings,
        text=strings_text,
        where=Where.DAEMON,
        description="All are dialled at once. An address where nothing answers may be far away: it is given up when\n"
        "the system gives up, after some two minutes, or after --timeout. What became of each is said.",
    ),
    Command(
        ("swarm", "disconnect"),
        "Close the connections to peers",
        "cidery.commands.run.network:swarm_disconnect",
        "cidery swarm disconnect /p2p/12D3KooW...",
        (_ADDRESS,),
        result=Strings,
        text=strings_text,
        where=Where.DAEMON,
    ),
    Command(
        ("swarm", "peering", "add"),
        "Stay connected to peers until the daemon stops",
        "cidery.commands.run.network:peering_add",
        "cidery swarm peering add /ip4/192.0.2.1/tcp/4001/p2p/12D3KooW...",
        (_ADDRESS,),
        output=Output.STREAM,
        result=PeeringStatus,
        text=_peering_status,
        where=Where.DAEMON,
        description="To make this permanent, put them into Peering.Peers of the config. A lost peer is dialled again\n"
        "after 5 seconds, then ever more rarely, at least every 10 minutes.",
    ),
    Command(
        ("swarm", "peering", "ls"),
        "List the peers this node stays connected to",
        "cidery.commands.run.network:peering_ls",
        "cidery swarm peering ls",
        result=PeeringPeers,
        text=_peering_peers,
        where=Where.DAEMON,
    ),
    Command(
        ("swarm", "peering", "rm"),
        "Stop staying connected to peers",
        "cidery.commands.run.network:peering_rm",
        "cidery swarm peering rm 12D3KooW...",
        (Argument("peer", "Peer id", Input.TEXT_OR_STDIN, variadic=True),),
        output=Output.STREAM,
        result=PeeringStatus,
        text=_peering_status,
        where=Where.DAEMON,
    ),
    Command(
        ("bitswap", "stat"),
        "Print the counters of the block exchange",
        "cidery.commands.run.network:bitswap_stat",
        "cidery bitswap stat",
        options=(flag("verbose", "List the partners", short="v"), flag("human", "Accepted for Kubo's scripts")),
        result=BitswapStat,
        text=_bitswap,
        where=Where.DAEMON,
        aliases=(("stats", "bitswap"),),
    ),
    Command(
        ("bitswap", "wantlist"),
        "List the blocks that this node waits for",
        "cidery.commands.run.network:bitswap_wantlist",
        "cidery bitswap wantlist",
        options=(text("peer", "Those of this node only, by its peer id", short="p"),),
        result=WantList,
        text=lambda value, call: "".join(f"{key['/']}\n" for key in value["Keys"]),
        where=Where.DAEMON,
    ),
    Command(
        ("bitswap", "ledger"),
        "Print what passed between this node and a peer",
        "cidery.commands.run.network:bitswap_ledger",
        "cidery bitswap ledger 12D3KooW...",
        (Argument("peer", "Peer id"),),
        result=PeerLedger,
        text=_ledger,
        where=Where.DAEMON,
        description="Counted since the peer connected.",
    ),
    Command(
        ("bitswap", "session"),
        "Print the progress of a running cat or get, and which peers sent its blocks",
        "cidery.commands.run.network:bitswap_session",
        "cidery bitswap session mine   # during: cidery get --session=mine bafy...",
        (Argument("name", "The --session of the run"),),
        result=SessionReport,
        text=_session,
        where=Where.DAEMON,
    ),
)
