"""bootstrap: the peers that the daemon dials at its next start."""

from typing import Any

from cidery.commands.bind import BadCall
from cidery.commands.context import Context
from cidery.commands.definition import Call
from cidery.commands.definitions.config import Peers
from cidery.repo.config_file import Changing, read_raw, write_raw
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
    async with Changing(context.config_file) as raw:
        raw["Bootstrap"] = list(dict.fromkeys([*_bootstrap(raw), *peers]))
        write_raw(context.config_file, raw)
    return Peers(Peers=peers)


async def bootstrap_rm_all(context: Context, call: Call) -> Peers:
    async with Changing(context.config_file) as raw:
        removed, raw["Bootstrap"] = _bootstrap(raw), []
        write_raw(context.config_file, raw)
    return Peers(Peers=removed)


async def bootstrap_rm(context: Context, call: Call) -> Peers:
    every = call.flag("all") or call.many("peer") == ["all"]
    peers = [] if every else call.many("peer")
    if not peers and not every:
        raise BadCall("give the peers to remove, or --all")
    _check_peers(peers)
    async with Changing(context.config_file) as raw:
        listed = _bootstrap(raw)
        removed = [peer for peer in listed if every or peer in peers]
        raw["Bootstrap"] = [peer for peer in listed if peer not in removed]
        write_raw(context.config_file, raw)
    return Peers(Peers=removed)
