"""A py-libp2p 0.8.1 host as a test peer, driven over stdin; runs in an environment of its own (make peers).

Prints one JSON object a line: first {"event": "ready", "peerId", "addrs"}, then one per command, which is a JSON
array on a line: ["connect", MULTIADDR] | ["ping", PEER] | ["identified", PEER] | ["close"]. Ends with its stdin.
"""

import json
import os
import sys
from contextlib import suppress
from typing import Any

import trio
from libp2p import new_host
from libp2p.host.ping import PingService
from libp2p.peer.id import ID
from libp2p.peer.peerinfo import info_from_p2p_addr
from libp2p.peer.peerstore import PeerStoreError
from multiaddr import Multiaddr

SECONDS = 15.0
IDENTIFY_POLL_SECONDS = 0.02


async def identified(host: Any, peer: ID) -> dict[str, object]:
    """What the peer said; py-libp2p asks by itself, in the background, after a connection."""
    protocols: list[str] = []
    while not protocols:
        await trio.sleep(IDENTIFY_POLL_SECONDS)
        with suppress(PeerStoreError):  # it has not heard of a peer that dialled it just now
            protocols = list(host.get_peerstore().get_protocols(peer))
    return {"protocols": protocols, "addrs": [str(addr) for addr in host.get_peerstore().addrs(peer)]}


async def answer(host: Any, command: str, argument: str) -> dict[str, object]:
    """Run one command. Raises whatever the library raises."""
    with trio.fail_after(SECONDS):
        match command:
            case "connect":
                await host.connect(info_from_p2p_addr(Multiaddr(argument)))
                return {}
            case "ping":
                return {"milliseconds": await PingService(host).ping(ID.from_base58(argument), 3)}
            case "identified":
                return await identified(host, ID.from_base58(argument))
            case _:
                raise ValueError(f"unknown command {command}")


async def main() -> None:
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # standard output is for the answers only
    host = new_host()
    async with host.run(listen_addrs=[Multiaddr("/ip4/127.0.0.1/tcp/0")]):
        addrs = [str(addr) for addr in host.get_addrs()]
        out.write(json.dumps({"event": "ready", "peerId": str(host.get_id()), "addrs": addrs}) + "\n")
        while line := await trio.to_thread.run_sync(sys.stdin.readline, abandon_on_cancel=True):
            command, *arguments = json.loads(line)
            if command == "close":
                break
            try:
                result = await answer(host, command, arguments[0])
            except Exception as exc:  # whatever fails in this peer is the test's to judge
                out.write(json.dumps({"ok": False, "error": f"{type(exc).__name__}: {exc}"}) + "\n")
            else:
                out.write(json.dumps({"ok": True, **result}) + "\n")
    os._exit(0)


trio.run(main)
