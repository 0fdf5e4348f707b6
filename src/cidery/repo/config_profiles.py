"""Changes to a config for a purpose: ``init --profile``, ``config profile apply``."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

from cidery.repo.config_keys import ConfigError

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


PROFILES: dict[str, Callable[[Raw], None]] = {
    "test": _test,
    "server": _server,
    "lan": _lan,
    "lowpower": _lowpower,
    **{name: _import(name) for name in IMPORT_PROFILES},
}


def apply_profile(raw: Raw, name: str) -> Raw:
    """A changed copy of the config. Raises ConfigError for an unknown profile."""
    change = PROFILES.get(name)
    if change is None:
        raise ConfigError("", f"there is no profile {name[:40]!r}; choose from {', '.join(PROFILES)}")
    changed = deepcopy(raw)
    change(changed)
    return changed
