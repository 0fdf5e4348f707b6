"""What each known key of the config accepts: one table, so that a wrong value is named with what fits.

Keys unknown to this table are kept as they are and have no effect (configs written for Kubo have many).

Spec: https://github.com/ipfs/kubo/blob/master/docs/config.md
"""

import re
from collections.abc import Callable
from typing import Any, NamedTuple

from cidery.errors import InvalidInput
from cidery.multiformats.address_filter import BadFilter, parse_net
from cidery.multiformats.multiaddr import Multiaddr
from cidery.repo.config_autotls import is_domain, is_token, url_fault
from cidery.repo.config_file import ConfigError, lookup
from cidery.repo.config_limits import schedule_fault
from cidery.repo.config_maps import (
    files_fault,
    gateways_fault,
    headers_fault,
    services_fault,
    users_fault,
)

_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([kKMGTP]?)(i?)[bB]?\s*")
_SIZE_POWER = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4, "P": 5}
_USUAL_CHUNKER = re.compile(r"size-[1-9]\d{3,5}|size-1048576")
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|s|m|h))+|0")
_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")
_ROUTER = re.compile(r"https?://[^/?#\s]+(/[^?#\s]*)?")
_RESOLVER = re.compile(r"auto|https?://[^/\s]+(/\S*)?|udp://\S+:\d{1,5}")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_REDIRECT = re.compile(r"(/(?!/)|https?://)[\x21-\x7e]*")
MAX_PEERED = 256
"""Most entries of Peering.Peers."""
MAX_CONFIG_LIST = 10_000
"""Most entries of a list in the config: a bound on what a file can make us keep."""


class Accepts(NamedTuple):
    """A test for a value and its description in words."""

    test: Callable[[Any], bool]
    words: str
    fault: Callable[[Any], str] | None = None
    """What is wrong with a value that fails the test, if one can say more than what fits."""


def parse_size(text: str | int) -> int:
    """Bytes of "10GB" (powers of 1000), "10GiB" (powers of 1024), "1048576". Raises ValueError."""
    match = _SIZE.fullmatch(str(text))
    if match is None:
        raise ValueError(f"{str(text)[:40]!r} is not a size such as 10GB")
    base = 1024 if match[3] else 1000
    return int(float(match[1]) * base ** _SIZE_POWER[match[2].upper()])


def parse_seconds(text: str) -> float:
    """Seconds of "20s", "1h30m". Raises ValueError."""
    if not _DURATION.fullmatch(text):
        raise ValueError(f"{text[:40]!r} is not a duration such as 20s or 1h30m")
    return sum(float(value) * _SECONDS[unit] for value, unit in _DURATION_PART.findall(text))


def _is_size(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, str | int):
        return False
    return _SIZE.fullmatch(str(value)) is not None


def is_addr(value: Any) -> bool:
    """Whether this is the text of a multiaddr."""
    if not isinstance(value, str):
        return False
    try:
        Multiaddr.parse(value)
    except InvalidInput:
        return False
    return True


def _is_peer_addr(value: Any) -> bool:
    return value == "auto" or (is_addr(value) and Multiaddr.parse(value).peer_id_bytes is not None)


def _is_chunker(value: Any) -> bool:
    if isinstance(value, str) and _USUAL_CHUNKER.fullmatch(value):
        return True  # without importing what cuts by content
    from cidery.unixfs.chunker import ChunkerError, parse_chunker

    try:
        parse_chunker(value if isinstance(value, str) else "")
    except ChunkerError:
        return False
    return True


def _is_hash(value: Any) -> bool:
    if value == "sha2-256":
        return True  # without importing the others
    from cidery.unixfs.profile import ImportOptionError, parse_hash

    try:
        parse_hash(value if isinstance(value, str) else "", identity=True)
    except ImportOptionError:
        return False
    return True


def _is_ip(value: Any) -> bool:
    from ipaddress import ip_address  # seldom used

    try:
        ip_address(value if isinstance(value, str) else "")
    except ValueError:
        return False
    return True


def _is_peering(value: Any) -> bool:
    def one(item: Any) -> bool:
        addrs = item.get("Addrs") or [] if isinstance(item, dict) else None
        return isinstance(addrs, list) and all(map(is_addr, addrs)) and is_addr(f"/p2p/{item.get('ID')}")

    return isinstance(value, list) and len(value) <= MAX_PEERED and all(map(one, value))


def _is_strategy(value: Any) -> bool:
    known = {"all", "pinned", "roots", "mfs", "unique", "entities"}
    parts = set(value.split("+")) if isinstance(value, str) else set()
    return parts <= known and bool(parts - {"unique", "entities"})


def _is_net(value: Any) -> bool:
    try:
        parse_net(value if isinstance(value, str) else "")
    except BadFilter:
        return False
    return True


def _is_resolver(domain: str, url: Any) -> bool:
    return domain.endswith(".") and isinstance(url, str) and _RESOLVER.fullmatch(url) is not None


def list_of(accepts: Accepts) -> Accepts:
    def test(value: Any) -> bool:
        return isinstance(value, list) and len(value) <= MAX_CONFIG_LIST and all(accepts.test(item) for item in value)

    return Accepts(test, f"a list of {accepts.words}")


def choice(*values: Any) -> Accepts:
    return Accepts(lambda value: value in values, "one of " + ", ".join(str(value) for value in values))


def whole(low: int, high: int) -> Accepts:
    def test(value: Any) -> bool:
        return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high

    return Accepts(test, f"a whole number from {low} to {high}")


ANY_BOOL = Accepts(lambda value: isinstance(value, bool), "true or false")
TEXT = Accepts(lambda value: isinstance(value, str), "a text")
SIZE = Accepts(_is_size, 'a size in bytes such as "10GB"')
RATE = Accepts(lambda value: value == "" or _is_size(value), 'bytes a second such as "500kB", or ""')
SCHEDULE = Accepts(
    lambda value: not schedule_fault(value, RATE.test),
    'a list of {"From": "08:00", "To": "18:00", "Days": ["Mon", "Fri"], "Up": "200kB"}',
    lambda value: schedule_fault(value, RATE.test),
)
DURATION = Accepts(
    lambda value: isinstance(value, str) and _DURATION.fullmatch(value) is not None, 'a duration such as "20s"'
)
DURATION_OR_NONE = Accepts(lambda value: value == "" or DURATION.test(value), 'a duration such as "48h", or ""')
ROUTER = Accepts(
    lambda value: value == "auto" or (isinstance(value, str) and _ROUTER.fullmatch(value) is not None),
    'URLs such as https://cid.contact, or "auto"',
)
GATEWAY = Accepts(
    lambda value: isinstance(value, str) and _ROUTER.fullmatch(value) is not None,
    "URLs of gateways such as https://ipfs.example.org",
)
NET = Accepts(_is_net, "a net such as /ip4/10.0.0.0/ipcidr/8")
NET_OR_ADDR = Accepts(
    lambda value: NET.test(value) or is_addr(value), "a net such as /ip4/10.0.0.0/ipcidr/8, or an address"
)
RESOLVERS = Accepts(
    lambda value: isinstance(value, dict) and all(_is_resolver(*item) for item in value.items()),
    'an object of domain with its final dot ("." for all) to https://HOST/PATH, udp://ADDRESS:PORT or "auto"',
)
ADDR = Accepts(is_addr, "an address such as /ip4/127.0.0.1/tcp/5001")
ADDR_OR_NONE = Accepts(lambda value: value == "" or is_addr(value), ADDR.words)
ADDR_OR_LIST = Accepts(
    lambda value: ADDR_OR_NONE.test(value) or list_of(ADDR_OR_NONE).test(value),
    ADDR.words + ', or a list of them; "" for none',
)
DIRECTORY = Accepts(lambda value: isinstance(value, str) and value.startswith("/"), "absolute paths of directories")
PEER_ADDR = Accepts(_is_peer_addr, "addresses with a peer id such as /ip4/192.0.2.1/tcp/4001/p2p/12D3KooW...")
RELAY = Accepts(
    lambda value: value != "auto" and _is_peer_addr(value) and "/p2p-circuit" not in value,
    "addresses of relays with a peer id such as /ip4/192.0.2.1/tcp/4001/p2p/12D3KooW...",
)
CHUNKER = Accepts(
    _is_chunker, "size-N with N from 1 to 2096896, as size-1048576, or rabin-MIN-AVG-MAX, rabin, buzhash, fastcdc"
)

SECURITY = Accepts(
    lambda value: isinstance(value, bool) or whole(1, 1_000_000).test(value), "false, true, or a priority such as 100"
)

HEADERS = Accepts(
    lambda value: not headers_fault(value),
    "an object of header name to list of texts, of names that fit every answer",
    headers_fault,
)
CERTIFICATE = Accepts(
    lambda value: not files_fault(value),
    'an object of absolute paths {"CertFile": "/etc/ssl/cert.pem", "KeyFile": "/etc/ssl/key.pem"}, or {}',
    files_fault,
)

ASKED_URL = Accepts(
    lambda value: value == "" or not url_fault(value),
    'a URL such as https://registration.example.org, or ""',
    url_fault,
)

KEYS: dict[str, Accepts] = {
    "Swarm.Transports.Security.Noise": SECURITY,
    "Swarm.Transports.Security.TLS": SECURITY,
    "Identity.PeerID": TEXT,
    "Identity.PrivKey": TEXT,
    "Addresses.API": ADDR_OR_LIST,
    "Addresses.Gateway": ADDR_OR_LIST,
    "Addresses.Swarm": list_of(ADDR),
    "Addresses.Announce": list_of(ADDR),
    "Addresses.AppendAnnounce": list_of(ADDR),
    "Addresses.NoAnnounce": list_of(NET_OR_ADDR),
    "API.Authorizations": Accepts(
        lambda value: not users_fault(value),
        'an object of name to {"AuthSecret": "bearer:TOKEN", "AllowedPaths": ["/api/v0"]}',
        users_fault,
    ),
    "API.TLS": CERTIFICATE,
    "API.HTTPHeaders": HEADERS,
    "Bootstrap": list_of(PEER_ADDR),
    "Datastore.StorageMax": SIZE,
    "Datastore.StorageGCWatermark": whole(1, 100),
    "Datastore.GCPeriod": DURATION,
    "Datastore.HashOnRead": ANY_BOOL,
    "Discovery.MDNS.Enabled": ANY_BOOL,
    "Experimental.FilestoreEnabled": ANY_BOOL,
    "Experimental.FilestoreRoots": list_of(DIRECTORY),
    "DNS.Resolvers": RESOLVERS,
    "Gateway.AccessLog.Path": TEXT,
    "Gateway.AccessLog.Format": choice("common", "combined", "json"),
    "Gateway.DeserializedResponses": ANY_BOOL,
    "Gateway.DisableHTMLErrors": ANY_BOOL,
    "Gateway.HTTPHeaders": HEADERS,
    "Gateway.MaxConcurrentRequests": whole(0, 1 << 20),
    "Gateway.MaxRangeRequestFileSize": SIZE,
    "Gateway.MaxRequestDuration": DURATION,
    "Gateway.NoDNSLink": ANY_BOOL,
    "Gateway.NoFetch": ANY_BOOL,
    "Gateway.OnSwarmPort": ANY_BOOL,
    "Gateway.PublicGateways": Accepts(
        lambda value: not gateways_fault(value),
        'an object of host to {"Paths": ["/ipfs", "/ipns"], "UseSubdomains": true}, or to null',
        gateways_fault,
    ),
    "Gateway.RetrievalTimeout": DURATION,
    "Gateway.RootRedirect": Accepts(
        lambda value: value == "" or (isinstance(value, str) and _REDIRECT.fullmatch(value) is not None),
        'a path such as /ipfs/CID or a URL, or ""',
    ),
    "Gateway.TLS": CERTIFICATE,
    "Gateway.TrustedProxies": list_of(NET),
    "HTTPRetrieval.Enabled": ANY_BOOL,
    "HTTPRetrieval.Gateways": list_of(GATEWAY),
    "Gateway.ExposeRoutingAPI": ANY_BOOL,
    "Ipns.RecordLifetime": DURATION_OR_NONE,
    "Ipns.RepublishPeriod": DURATION_OR_NONE,
    "Ipns.MaxCacheTTL": DURATION_OR_NONE,
    "Ipns.UsePubsub": ANY_BOOL,
    "Pubsub.Enabled": ANY_BOOL,
    "Pubsub.Router": Accepts(lambda value: value in ("", "gossipsub", "floodsub"), "gossipsub or floodsub"),
    "Import.CidVersion": choice(0, 1),
    "Import.Hidden": ANY_BOOL,
    "Import.UnixFSRawLeaves": ANY_BOOL,
    "Import.UnixFSChunker": CHUNKER,
    "Import.HashFunction": Accepts(_is_hash, "the name of a hash function such as sha2-256 or blake3"),
    "Import.UnixFSFileMaxLinks": whole(2, 8192),
    "Import.UnixFSDirectoryMaxLinks": whole(0, 1 << 20),
    "Import.UnixFSHAMTDirectoryMaxFanout": choice(8, 16, 32, 64, 128, 256, 512, 1024),
    "Import.UnixFSHAMTDirectorySizeThreshold": SIZE,
    "Import.UnixFSHAMTDirectorySizeEstimation": choice("links", "block", "disabled"),
    "Import.UnixFSDAGLayout": choice("balanced", "trickle"),
    "Routing.Type": choice("auto", "autoclient", "dht", "dhtclient", "dhtserver", "none"),
    "Routing.DelegatedRouters": list_of(ROUTER),
    "Routing.LoopbackAddressesOnLanDHT": ANY_BOOL,
    "Provide.Enabled": ANY_BOOL,
    "Provide.Strategy": Accepts(_is_strategy, "all, pinned, roots or mfs, or several joined as pinned+mfs"),
    "Provide.Fetched": ANY_BOOL,
    "Provide.DHT.Interval": DURATION,
    "AutoTLS.Enabled": ANY_BOOL,
    "AutoTLS.AutoWSS": ANY_BOOL,
    "AutoTLS.ShortAddrs": ANY_BOOL,
    "AutoTLS.SkipDNSLookup": ANY_BOOL,
    "AutoTLS.DomainSuffix": Accepts(
        lambda value: value == "" or is_domain(value), "a domain such as libp2p.direct, in lower case"
    ),
    "AutoTLS.RegistrationEndpoint": ASKED_URL,
    "AutoTLS.RegistrationToken": Accepts(is_token, "a text that fits into a header"),
    "AutoTLS.RegistrationDelay": DURATION_OR_NONE,
    "AutoTLS.CAEndpoint": ASKED_URL,
    "AutoTLS.TrustedCARootsPEM": TEXT,
    "AutoTLS.AllowPrivateForgeAddrs": ANY_BOOL,
    "AutoNAT.ServiceMode": choice("enabled", "disabled"),
    "Pinning.RemoteServices": Accepts(
        lambda value: not services_fault(value),
        'an object of name to {"API": {"Endpoint": "https://...", "Key": "..."}}',
        services_fault,
    ),
    "Peering.Peers": Accepts(_is_peering, 'a list of {"ID": "12D3KooW...", "Addrs": ["/ip4/192.0.2.1/tcp/4001"]}'),
    "Swarm.ConnMgr.LowWater": whole(0, 1 << 20),
    "Swarm.ConnMgr.HighWater": whole(1, 1 << 20),
    "Swarm.ConnMgr.GracePeriod": DURATION,
    "Swarm.AddrFilters": list_of(NET),
    "Swarm.Limits.Up": RATE,
    "Swarm.Limits.Down": RATE,
    "Swarm.Limits.PeerUp": RATE,
    "Swarm.Limits.PeerDown": RATE,
    "Swarm.Limits.Schedule": SCHEDULE,
    "Swarm.LocalOnly": ANY_BOOL,
    "Swarm.Transports.Network.QUIC": ANY_BOOL,
    "Swarm.TLS": CERTIFICATE,
    "Swarm.Transports.Network.Websocket": ANY_BOOL,
    "Swarm.Transports.Network.Relay": ANY_BOOL,
    "Swarm.EnableHolePunching": ANY_BOOL,
    "Swarm.RelayService.Enabled": ANY_BOOL,
    "Swarm.RelayService.BufferSize": Accepts(
        lambda value: _is_size(value) and 1024 <= parse_size(value) <= 1 << 20, "a size from 1KiB to 1MiB"
    ),
    "Swarm.RelayService.ConnectionDataLimit": SIZE,
    "Swarm.RelayService.ConnectionDurationLimit": DURATION_OR_NONE,
    "Swarm.RelayService.MaxCircuits": whole(1, 1 << 10),
    "Swarm.RelayService.MaxReservations": whole(1, 1 << 16),
    "Swarm.RelayService.MaxReservationsPerASN": whole(1, 1 << 16),
    "Swarm.RelayService.MaxReservationsPerIP": whole(1, 1 << 16),
    "Swarm.RelayService.ReservationTTL": Accepts(
        lambda value: value == "" or (DURATION.test(value) and parse_seconds(value) >= 60.0),
        'a duration from "1m" up, or ""',
    ),
    "Swarm.RelayClient.Enabled": ANY_BOOL,
    "Swarm.RelayClient.StaticRelays": list_of(RELAY),
    "Discovery.MDNS.Interfaces": list_of(Accepts(_is_ip, "IP addresses such as 192.0.2.1")),
    "Swarm.DisableNatPortMap": ANY_BOOL,
}
"""Dotted key -> what it accepts."""


SECTIONS = tuple(
    dict.fromkeys(
        section
        for key in KEYS
        for section in (key[:at] for at, letter in enumerate(key) if letter == ".")
        if section not in KEYS
    )
)
"""What keys are in, outer ones first: each is an object or null, else all that is in it would be lost silently."""


def check_all(raw: dict[str, Any]) -> None:
    """Check every known key that is present; null means default. Raises ConfigError naming the first wrong one."""
    for section in SECTIONS:
        if is_no_section(lookup(raw, section)):
            raise ConfigError(section, "takes an object of settings, or null")  # without the value: it may be a secret
    for key, accepts in KEYS.items():
        value = lookup(raw, key)
        if value is not None and not accepts.test(value):
            fault = accepts.fault(value) if accepts.fault is not None else ""
            raise ConfigError(key, f"takes {accepts.words}" + (f"; {fault}" if fault else f", not {str(value)[:60]!r}"))


def is_no_section(value: Any) -> bool:
    """Whether a value cannot stand where keys are in."""
    return value is not None and not isinstance(value, dict)
