"""Changes to a config for a purpose: ``init --profile``, ``config profile apply``."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

from cidery.repo.config_file import ConfigError

Raw = dict[str, Any]

IMPORT_PROFILES: dict[str, Raw] = {
    "unixfs-v1-2025": {
        "CidVersion": 1,
        "UnixFSRawLeaves": True,
        "UnixFSChunker": "size-1048576",
        "HashFunction": "sha2-256",
        "UnixFSFileMaxLinks": 1024,
        "UnixFSDirectoryMaxLinks": 0,
        "UnixFSHAMTDirectoryMaxFanout": 256,
        "UnixFSHAMTDirectorySizeThreshold": "256KiB",
        "UnixFSHAMTDirectorySizeEstimation": "block",
        "UnixFSDAGLayout": "balanced",
    },
    "unixfs-v0-2015": {
        "CidVersion": 0,
        "UnixFSRawLeaves": False,
        "UnixFSChunker": "size-262144",
        "HashFunction": "sha2-256",
        "UnixFSFileMaxLinks": 174,
        "UnixFSDirectoryMaxLinks": 0,
        "UnixFSHAMTDirectoryMaxFanout": 256,
        "UnixFSHAMTDirectorySizeThreshold": "256KiB",
        "UnixFSHAMTDirectorySizeEstimation": "links",
        "UnixFSDAGLayout": "balanced",
    },
}
"""https://specs.ipfs.tech/ipips/ipip-0499/"""

ROUTERS = ("https://cid.contact",)
"""Meaning of "auto" in Routing.DelegatedRouters: the index of large providers that Kubo uses, too."""
BOOTSTRAP = (
    "/dnsaddr/bootstrap.libp2p.io/p2p/QmNnooDu7bfjPFoTZYxMNLWUQJyrVwtbZg5gBMjTezGAJN",
    "/dnsaddr/bootstrap.libp2p.io/p2p/QmQCU2EcMqAqQPR2i9bChDtGNJchTbq5TbXJJ16u19uLTa",
    "/dnsaddr/bootstrap.libp2p.io/p2p/QmbLHAnMoJPWSCR5Zhtx6BHJX9KiKNN6tpvbUcqanj75Nb",
    "/dnsaddr/bootstrap.libp2p.io/p2p/QmcZf59bWwK5XFi76CZX8cbJ4BhTzzA3gU1ZjYZcYW3dwt",
    "/ip4/104.131.131.82/tcp/4001/p2p/QmaCpDMGvV2BGHeYERUEnRQAwe3N8SzbUtfsmvsqQLuvuJ",
)
"""Public entry points of the Amino network, as every IPFS node ships them."""


def swarm_addresses(port: int) -> list[str]:
    """TCP and QUIC on all addresses of this machine, as Kubo's."""
    return [f"/{host}/{form}" for form in (f"tcp/{port}", f"udp/{port}/quic-v1") for host in ("ip4/0.0.0.0", "ip6/::")]


DEFAULT_ADDRESSES: Raw = {
    "Swarm": swarm_addresses(4001),
    "Announce": [],
    "AppendAnnounce": [],
    "NoAnnounce": [],
    "API": "/ip4/127.0.0.1/tcp/5001",
    "Gateway": "/ip4/127.0.0.1/tcp/8080",
}
"""What ``init`` writes."""
_SERVER_FILTERS = [
    f"/ip4/{net}"
    for net in (
        "10.0.0.0/ipcidr/8", "100.64.0.0/ipcidr/10", "169.254.0.0/ipcidr/16", "172.16.0.0/ipcidr/12",
        "192.0.0.0/ipcidr/24", "192.0.2.0/ipcidr/24", "192.168.0.0/ipcidr/16", "198.18.0.0/ipcidr/15",
        "198.51.100.0/ipcidr/24", "203.0.113.0/ipcidr/24", "240.0.0.0/ipcidr/4",
    )
] + [
    f"/ip6/{net}"
    for net in ("100::/ipcidr/64", "2001:2::/ipcidr/48", "2001:db8::/ipcidr/32", "fc00::/ipcidr/7", "fe80::/ipcidr/10")
]  # fmt: skip
"""Private and documentation nets that a host in a data centre must not dial: hosters take it for a port scan."""


def _section(raw: Raw, *path: str) -> Raw:
    for part in path:
        if not isinstance(raw.get(part), dict):
            raw[part] = {}
        raw = raw[part]
    return raw


def _test(raw: Raw) -> None:
    loopback = "/ip4/127.0.0.1/tcp/0"
    _section(raw, "Addresses").update(API=loopback, Gateway=loopback, Swarm=[loopback])
    raw["Bootstrap"] = []
    _section(raw, "Discovery", "MDNS")["Enabled"] = False
    _section(raw, "DNS")["Resolvers"] = {}
    _section(raw, "Routing").update(Type="none", DelegatedRouters=[], LoopbackAddressesOnLanDHT=True)
    _section(raw, "Ipns")["DelegatedPublishers"] = []
    _section(raw, "AutoConf")["Enabled"] = False
    _section(raw, "AutoTLS")["Enabled"] = False
    _section(raw, "Swarm")["DisableNatPortMap"] = True


def _server(raw: Raw) -> None:
    addresses = _section(raw, "Addresses")
    addresses["NoAnnounce"] = sorted({*(addresses.get("NoAnnounce") or []), *_SERVER_FILTERS})
    swarm = _section(raw, "Swarm")
    swarm["AddrFilters"] = sorted({*(swarm.get("AddrFilters") or []), *_SERVER_FILTERS})
    swarm["DisableNatPortMap"] = True
    _section(raw, "Discovery", "MDNS")["Enabled"] = False


def _local_discovery(raw: Raw) -> None:
    for section, key in (("Addresses", "NoAnnounce"), ("Swarm", "AddrFilters")):
        kept = [one for one in _section(raw, section).get(key) or [] if one not in _SERVER_FILTERS]
        raw[section][key] = kept
    raw["Swarm"]["DisableNatPortMap"] = False
    _section(raw, "Discovery", "MDNS")["Enabled"] = True


def _default_networking(raw: Raw) -> None:
    """What ``init`` writes, where the profile ``test`` writes something else; further bootstrap peers stay."""
    raw["Addresses"] = {**DEFAULT_ADDRESSES, "Swarm": list(DEFAULT_ADDRESSES["Swarm"])}
    raw["Bootstrap"] = list(dict.fromkeys([*(raw.get("Bootstrap") or []), *BOOTSTRAP]))
    _section(raw, "Swarm")["DisableNatPortMap"] = False
    _section(raw, "Discovery", "MDNS")["Enabled"] = True
    _section(raw, "Routing").update(Type="auto", DelegatedRouters=["auto"], LoopbackAddressesOnLanDHT=False)
    for section, key in (
        ("DNS", "Resolvers"),
        ("Ipns", "DelegatedPublishers"),
        ("AutoConf", "Enabled"),
        ("AutoTLS", "Enabled"),
        ("Swarm", "LocalOnly"),
    ):
        _section(raw, section).pop(key, None)


def _random_ports(raw: Raw) -> None:
    """One that is free now, so that the addresses stay the same from start to start."""
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    _section(raw, "Addresses")["Swarm"] = swarm_addresses(port)


def _announce(enabled: bool) -> Callable[[Raw], None]:
    def apply(raw: Raw) -> None:
        _section(raw, "Provide")["Enabled"] = enabled
        _section(raw, "Provide", "DHT")["Interval"] = "22h" if enabled else "0"

    return apply


def _lan(raw: Raw) -> None:
    raw["Bootstrap"] = []
    _section(raw, "Swarm")["LocalOnly"] = True
    _section(raw, "Discovery", "MDNS")["Enabled"] = True
    _section(raw, "DNS")["Resolvers"] = {}
    _section(raw, "Routing")["DelegatedRouters"] = []
    _section(raw, "Ipns")["DelegatedPublishers"] = []
    _section(raw, "AutoConf")["Enabled"] = False


def _lowpower(raw: Raw) -> None:
    _section(raw, "Routing")["Type"] = "autoclient"
    _section(raw, "Swarm", "ConnMgr").update(LowWater=20, HighWater=40, GracePeriod="1m0s")


def _import(name: str) -> Callable[[Raw], None]:
    def apply(raw: Raw) -> None:
        _section(raw, "Import").update(IMPORT_PROFILES[name])

    return apply


def _data(raw: Raw) -> None:
    """Data sets: the usual CIDs, and no file is left out."""
    _section(raw, "Import").update(IMPORT_PROFILES["unixfs-v1-2025"], Hidden=True)


PROFILES: dict[str, Callable[[Raw], None]] = {
    "test": _test,
    "server": _server,
    "lan": _lan,
    "lowpower": _lowpower,
    "data": _data,
    "local-discovery": _local_discovery,
    "default-networking": _default_networking,
    "randomports": _random_ports,
    "announce-on": _announce(True),
    "announce-off": _announce(False),
    **{name: _import(name) for name in IMPORT_PROFILES},
    "legacy-cid-v0": _import("unixfs-v0-2015"),
}
"""As Kubo has them, but ``lan`` and ``data``. Its profiles of stores and of AutoConf have nothing to change here."""


def apply_profile(raw: Raw, name: str) -> Raw:
    """A changed copy of the config. Raises ConfigError for an unknown profile."""
    change = PROFILES.get(name)
    if change is None:
        raise ConfigError("", f"there is no profile {name[:40]!r}; choose from {', '.join(PROFILES)}")
    changed = deepcopy(raw)
    change(changed)
    return changed
