"""bootstrap: the peers that the daemon dials at its next start."""

from typing import Any

from cidery.commands.bind import BadCall
from cidery.commands.context import Context
from cidery.commands.definition import Call
from cidery.commands.definitions.config import Peers
from cidery.repo.config_file import read_raw, write_raw
from cidery.repo.config_keys import PEER_ADDR
from cidery.repo.config_profiles import BOOTSTRAP


def _bootstrap(raw: dict[str, Any]) -> list[str]:
    listed = raw.get("Bootstrap") or []
    return [peer for one in listed for peer in (BOOTSTRAP if one == "auto" else (one,))]


def _check_peers(peers: list[str]) -> None:
    for peer in peers:
        if not PEER_ADDR.test(peer) or peer == "auto":
            raise BadCall(f"{peer[:80]!r} is not an address with a peer id such as /ip4/192.0.2.1/tcp/4001/p2p/12D3...")


async def bootstrap_list(context: Context, call: Call) -> Peers:
    return Peers(Peers=_bootstrap(read_raw(context.config_file)))


async def bootstrap_add(context: Context, call: Call) -> Peers:
    peers = call.many("peer")
    _check_peers(peers)
    raw = read_raw(context.config_file)
    listed = _bootstrap(raw)
    raw["Bootstrap"] = list(dict.fromkeys([*listed, *peers]))
    write_raw(context.config_file, raw)
    return Peers(Peers=peers)


async def bootstrap_rm_all(context: Context, call: Call) -> Peers:
    raw = read_raw(context.config_file)
    removed, raw["Bootstrap"] = _bootstrap(raw), []
    write_raw(context.config_file, raw)
    return Peers(Peers=removed)


async def bootstrap_rm(context: Context, call: Call) -> Peers:
    raw = read_raw(context.config_file)
    listed = _bootstrap(raw)
    peers = listed if call.flag("all") or call.many("peer") == ["all"] else call.many("peer")
    if not peers and not call.flag("all"):
        raise BadCall("give the peers to remove, or --all")
    _check_peers(peers)
    removed = [peer for peer in listed if peer in peers]
    raw["Bootstrap"] = [peer for peer in listed if peer not in peers]
    write_raw(context.config_file, raw)
    return Peers(Peers=removed)
