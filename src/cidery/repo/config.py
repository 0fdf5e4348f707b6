"""The config: JSON with Kubo's keys in ``$REPO/config``, and the frozen values that the rest of a node gets.

The file holds the private key, so it is written with mode 0600, whole or not at all. Everything shown to a user or
over RPC goes through without_secrets().

Spec: https://github.com/ipfs/kubo/blob/master/docs/config.md
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import TYPE_CHECKING, Any, NamedTuple

from cidery.multiformats.multiaddr import Multiaddr
from cidery.repo.config_autotls import AutoTlsConfig, autotls_of
from cidery.repo.config_file import ConfigError, lookup
from cidery.repo.config_gateway import GatewaySettings, certificate_files, gateway_settings
from cidery.repo.config_identity import (
    PRIVATE_KEY,
    decoded_identity,
    identity_in,
    peer_id_in,
    public_key_of,
    with_identity,
)
from cidery.repo.config_keys import check_all, parse_seconds, parse_size
from cidery.repo.config_limits import LimitsConfig, limits_of
from cidery.repo.config_profiles import BOOTSTRAP, DEFAULT_ADDRESSES, IMPORT_PROFILES, ROUTERS, apply_profile
from cidery.repo.config_relays import RelaysConfig, RelayServiceConfig, relay_service_of, relays_of
from cidery.repo.remote_services import RemoteService, services_of

if TYPE_CHECKING:
    from cidery.identity.keys import PrivateKey
    from cidery.repo.config_file import Raw

DEFAULT_CID_PROFILE = "unixfs-v1-2025"


class ImportConfig(NamedTuple):
    """The settings that decide the CIDs of ``add``, and which files it takes."""

    cid_version: int | None
    """None: not stated, so 0 unless the hash asks for 1, as in Kubo."""
    raw_leaves: bool
    chunker: str
    """``size-N``, bytes."""
    hash_function: str
    file_max_links: int
    directory_max_links: int
    hamt_fanout: int
    hamt_threshold: int
    """Bytes."""
    hamt_estimation: str
    """"links", "block" or "disabled"."""
    layout: str
    """"balanced" or "trickle"."""
    hidden: bool = False
    """Whether hidden files are added, unless a call says otherwise."""


class ConnMgrConfig(NamedTuple):
    """How many connections to keep."""

    low_water: int
    high_water: int
    grace_period: float
    """Seconds a new connection is left alone."""


class ProvideConfig(NamedTuple):
    """What is announced, and how often."""

    enabled: bool
    strategy: str
    """Parts joined by "+": all, pinned, roots, mfs."""
    fetched: bool
    """Whether the roots of what was fetched are announced: every reader becomes a provider."""
    interval: float
    """Seconds for one round over everything; 0: only what is new."""


class NamesConfig(NamedTuple):
    """How names are published and read."""

    republish_period: float
    """Seconds between two rounds that keep records alive; 0: none."""
    record_lifetime: float
    """Seconds."""
    max_cache_ttl: float | None
    """Seconds that a record is relied on at most; None: as long as its owner says."""
    resolvers: dict[str, str] | None
    """Domain with its final dot -> DNS resolver; None: the system's, empty: none."""


class PubsubConfig(NamedTuple):
    """Whether this node takes part in pubsub; it does if one of the first two is true."""

    enabled: bool
    ipns: bool
    """Whether records of names go over it."""
    router: str
    """gossipsub or floodsub."""


class Authorization(NamedTuple):
    """What one user of the RPC may do."""

    secret: str
    """``bearer:TOKEN``, ``basic:USER:PASSWORD``, or the token itself."""
    paths: tuple[str, ...]
    """Beginnings of the paths that may be called, as /api/v0/pin."""


class TransportsConfig(NamedTuple):
    """How peers are reached beside plain TCP."""

    quic: bool = False
    """Whether QUIC addresses are dialled and listened on. Never in a private network."""
    websocket: bool = True
    """Whether WebSocket addresses are dialled and listened on."""
    tls: tuple[str, str] | None = None
    """Files of the certificate and of its key for WebSockets under TLS; None: they are not listened on."""


class Config(NamedTuple):
    """The values in effect: defaults filled in, everything checked."""

    peer_id: str
    identity: str
    """The private key in base64, as the file has it: decoding it takes longer than most commands."""
    api: tuple[Multiaddr, ...]
    gateway: tuple[Multiaddr, ...]
    no_fetch: bool
    """Whether the gateway answers from the store alone."""
    routing_api: bool
    """Whether the gateway's port answers the HTTP routing API."""
    serving: GatewaySettings
    """What the gateway serves, and to whom."""
    http_retrieval: bool
    """Whether gateways that routing names are asked for blocks over HTTP."""
    gateways: tuple[str, ...]
    """URLs of gateways that are always asked."""
    routers: tuple[str, ...]
    """URLs of HTTP routers that are asked beside the DHT."""
    swarm: tuple[Multiaddr, ...]
    announce: tuple[Multiaddr, ...]
    append_announce: tuple[Multiaddr, ...]
    no_announce: tuple[str, ...]
    """Nets and addresses that are never announced."""
    bootstrap: tuple[Multiaddr, ...]
    api_headers: dict[str, list[str]]
    api_tls: tuple[str, str] | None
    """Files of the certificate and of its key for addresses of the RPC under TLS; None: there are none."""
    remote_services: tuple[RemoteService, ...]
    authorizations: tuple[Authorization, ...]
    """Users of the RPC; empty: every caller that reaches it."""
    filestore_enabled: bool
    """Whether a call over the RPC may have files referred to."""
    filestore_roots: tuple[str, ...]
    """Directories below which; empty: the one that holds the repository."""
    storage_max: int
    """Bytes."""
    gc_watermark: int
    """Percent of storage_max from which on space is made."""
    gc_period: float
    """Seconds between two looks of --enable-gc."""
    hash_on_read: bool
    mdns: bool
    mdns_interfaces: tuple[str, ...]
    """Own IP addresses on which discovery runs; empty: all."""
    addr_filters: tuple[str, ...]
    """Nets that are neither dialled nor accepted from."""
    local_only: bool
    """Whether the node keeps to its local networks."""
    map_ports: bool
    """Whether the router is asked to pass a port on: not Swarm.DisableNatPortMap."""
    serve_autonat: bool
    """Whether others may ask if they can be reached: AutoNAT.ServiceMode."""
    peering: tuple[Multiaddr, ...]
    """Addresses with /p2p of peers to stay connected to; only /p2p where no address is given."""
    routing: str
    """Routing.Type: "none", "auto", "dht", "dhtclient" ..."""
    loopback_lan: bool
    """Whether addresses of this machine count as a LAN's: several nodes on one machine."""
    provide: ProvideConfig
    imports: ImportConfig
    conn_mgr: ConnMgrConfig
    names: NamesConfig
    pubsub: PubsubConfig
    limits: LimitsConfig
    security: tuple[str, ...]
    """Security protocols offered and accepted, preferred first: never empty, never plaintext."""
    transports: TransportsConfig
    relays: RelaysConfig
    relay_service: RelayServiceConfig
    autotls: AutoTlsConfig

    @property
    def public_key(self) -> bytes:
        """As the protobuf that peers are shown. An Ed25519 key holds it already, so nothing is computed."""
        return public_key_of(self.identity)

    @property
    def private_key(self) -> PrivateKey:
        """Raises ConfigError if it is none, or another peer's. About 10 ms the first time in a process."""
        key = decoded_identity(self.identity)
        if self.peer_id != str(key.peer_id):
            raise ConfigError("Identity.PeerID", f"does not belong to {PRIVATE_KEY}; restore the config from a copy")
        return key


def default_raw(private_key: PrivateKey, *, cid_profile: str = DEFAULT_CID_PROFILE) -> Raw:
    """The config that ``init`` writes."""
    raw: Raw = {
        "Datastore": {"StorageMax": "10GB", "StorageGCWatermark": 90, "GCPeriod": "1h", "HashOnRead": False},
        "Addresses": deepcopy(DEFAULT_ADDRESSES),
        "Discovery": {"MDNS": {"Enabled": True}},
        "Routing": {"Type": "auto", "DelegatedRouters": ["auto"]},
        "Provide": {"Enabled": True, "Strategy": "pinned", "Fetched": True, "DHT": {"Interval": "22h"}},
        "Bootstrap": list(BOOTSTRAP),
        "API": {"HTTPHeaders": {}},
        "Swarm": {
            "AddrFilters": None,
            "DisableNatPortMap": False,
            "ConnMgr": {"LowWater": 32, "HighWater": 96, "GracePeriod": "20s"},
        },
        "Import": {},
    }
    raw = apply_profile(raw, cid_profile)
    if cid_profile != DEFAULT_CID_PROFILE:
        # Kubo's own config leaves the version to the hash that is asked for; a version that is stated is used.
        raw["Import"] = {key: value for key, value in raw["Import"].items() if key != "CidVersion"}
    return with_identity(raw, private_key)


def new_raw(
    entropy: Callable[[int], bytes],
    *,
    cid_profile: str,
    profiles: list[str],
    given: Raw | None = None,
    key: PrivateKey | None = None,
) -> Raw:
    """A config for a new repository: the key, or a fresh one, or that of ``given``; then the profiles.

    Raises ConfigError.
    """
    if key is None:
        from cidery.identity.keys import PrivateKey

        key = PrivateKey.generate_ed25519(entropy)
    raw = default_raw(key, cid_profile=cid_profile)
    if given is not None:
        if lookup(given, "Identity.PrivKey"):
            raw = deepcopy(given)
        else:
            raw = {**deepcopy(given), "Identity": raw["Identity"]}
    for name in profiles:
        raw = apply_profile(raw, name)
    parse_config(raw)
    return raw


def parse_config(raw: Raw) -> Config:
    """Check and freeze. Raises ConfigError naming the key and what it accepts. O(size)."""
    config = read_config(raw)
    config.private_key.peer_id  # noqa: B018 - it raises for a key that is none
    return config


def read_config(raw: Raw) -> Config:
    """parse_config() without a look at the private key, which few commands use."""
    check_all(raw)

    def get(name: str, default: Any) -> Any:
        value = lookup(raw, name)
        return default if value is None else value

    def addrs(name: str, default: Any) -> tuple[Multiaddr, ...]:
        value = get(name, default)
        texts = [text for text in ([value] if isinstance(value, str) else value) if text]  # "" is no address
        return tuple(Multiaddr.parse(text) for one in texts for text in (BOOTSTRAP if one == "auto" else (one,)))

    return Config(
        peer_id=peer_id_in(raw),
        identity=identity_in(raw),
        api=addrs("Addresses.API", "/ip4/127.0.0.1/tcp/5001"),
        gateway=addrs("Addresses.Gateway", []),
        no_fetch=get("Gateway.NoFetch", False),
        routing_api=get("Gateway.ExposeRoutingAPI", True),
        serving=gateway_settings(get, parse_seconds, parse_size),
        http_retrieval=get("HTTPRetrieval.Enabled", True),
        gateways=tuple(get("HTTPRetrieval.Gateways", [])),
        routers=_routers(get("Routing.DelegatedRouters", [])),
        swarm=addrs("Addresses.Swarm", []),
        announce=addrs("Addresses.Announce", []),
        append_announce=addrs("Addresses.AppendAnnounce", []),
        no_announce=tuple(get("Addresses.NoAnnounce", [])),
        bootstrap=addrs("Bootstrap", []),
        api_headers=get("API.HTTPHeaders", {}),
        api_tls=certificate_files(get("API.TLS", {})),
        authorizations=_authorizations(get("API.Authorizations", {})),
        remote_services=services_of(get("Pinning.RemoteServices", {})),
        filestore_enabled=get("Experimental.FilestoreEnabled", False),
        filestore_roots=tuple(get("Experimental.FilestoreRoots", [])),
        storage_max=parse_size(get("Datastore.StorageMax", "10GB")),
        gc_watermark=get("Datastore.StorageGCWatermark", 90),
        gc_period=parse_seconds(get("Datastore.GCPeriod", "1h")),
        hash_on_read=get("Datastore.HashOnRead", False),
        mdns=get("Discovery.MDNS.Enabled", True),
        mdns_interfaces=tuple(get("Discovery.MDNS.Interfaces", [])),
        addr_filters=tuple(get("Swarm.AddrFilters", [])),
        local_only=get("Swarm.LocalOnly", False),
        map_ports=not get("Swarm.DisableNatPortMap", False),
        serve_autonat=get("AutoNAT.ServiceMode", "enabled") != "disabled",
        peering=_peering(get),
        routing=get("Routing.Type", "auto"),
        loopback_lan=get("Routing.LoopbackAddressesOnLanDHT", False),
        provide=_provide(get),
        imports=_imports(get),
        conn_mgr=_conn_mgr(get),
        names=_names(get),
        pubsub=_pubsub(get),
        limits=limits_of(get, parse_size),
        security=_security(get),
        transports=_transports(get),
        relays=relays_of(get),
        relay_service=relay_service_of(get, parse_seconds, parse_size),
        autotls=autotls_of(get, parse_seconds),
    )


def _authorizations(given: dict[str, Any]) -> tuple[Authorization, ...]:
    return tuple(Authorization(one["AuthSecret"], tuple(one.get("AllowedPaths") or ())) for one in given.values())


def _imports(get: Callable[[str, Any], Any]) -> ImportConfig:
    # A config without Import is one written for Kubo, whose implicit defaults are the old profile.
    default = IMPORT_PROFILES["unixfs-v0-2015"]

    def value(name: str) -> Any:
        return get(f"Import.{name}", default[name])

    version = get("Import.CidVersion", None)
    return ImportConfig(
        cid_version=version,
        raw_leaves=get("Import.UnixFSRawLeaves", version == 1),
        chunker=value("UnixFSChunker"),
        hash_function=value("HashFunction"),
        file_max_links=value("UnixFSFileMaxLinks"),
        directory_max_links=value("UnixFSDirectoryMaxLinks"),
        hamt_fanout=value("UnixFSHAMTDirectoryMaxFanout"),
        hamt_threshold=parse_size(value("UnixFSHAMTDirectorySizeThreshold")),
        hamt_estimation=value("UnixFSHAMTDirectorySizeEstimation"),
        layout=value("UnixFSDAGLayout"),
        hidden=get("Import.Hidden", False),
    )


def _security(get: Callable[[str, Any], Any]) -> tuple[str, ...]:
    # As in Kubo's config, a protocol's value is a priority (the lower, the more preferred) or false.
    section = "Swarm.Transports.Security"
    known = {"Noise": ("/noise", 100), "TLS": ("/tls/1.0.0", 200)}
    offered = []
    for name, (protocol, default) in known.items():
        priority = get(f"{section}.{name}", default)
        if priority is not False:
            offered.append((default if priority is True else priority, protocol))
    if not offered:
        raise ConfigError(section, "switches every protocol off; leave Noise or TLS on")
    return tuple(protocol for _, protocol in sorted(offered))


def _transports(get: Callable[[str, Any], Any]) -> TransportsConfig:
    section = "Swarm.Transports.Network"
    tls = certificate_files(get("Swarm.TLS", {}))
    return TransportsConfig(get(f"{section}.QUIC", True), get(f"{section}.Websocket", True), tls)


def _conn_mgr(get: Callable[[str, Any], Any]) -> ConnMgrConfig:
    low, high = get("Swarm.ConnMgr.LowWater", 32), get("Swarm.ConnMgr.HighWater", 96)
    if low > high:
        raise ConfigError("Swarm.ConnMgr.LowWater", f"is {low}, more than HighWater, {high}")
    return ConnMgrConfig(low, high, parse_seconds(get("Swarm.ConnMgr.GracePeriod", "20s")))


def kept_local(config: Config) -> Config:
    """The same node, but confined to the local networks (``daemon --lan``)."""
    names = config.names._replace(resolvers={})
    return config._replace(bootstrap=(), routers=(), http_retrieval=False, local_only=True, mdns=True, names=names)


def kept_private(config: Config) -> Config:
    """For a node with a swarm.key: the public network's entry points are of no use to it, and learn of it."""
    public = {Multiaddr.parse(text) for text in BOOTSTRAP}
    bootstrap = tuple(addr for addr in config.bootstrap if addr not in public)
    return config._replace(
        bootstrap=bootstrap, routers=(), names=config.names._replace(resolvers=config.names.resolvers or {})
    )


def _peering(get: Callable[[str, Any], Any]) -> tuple[Multiaddr, ...]:
    return tuple(
        Multiaddr.parse(f"{addr.rstrip('/').removesuffix(suffix)}{suffix}")
        for peer in get("Peering.Peers", [])
        for suffix in [f"/p2p/{peer['ID']}"]
        for addr in peer.get("Addrs") or [""]
    )


def _provide(get: Callable[[str, Any], Any]) -> ProvideConfig:
    return ProvideConfig(
        enabled=get("Provide.Enabled", True),
        strategy=get("Provide.Strategy", "pinned"),
        fetched=get("Provide.Fetched", True),
        interval=parse_seconds(get("Provide.DHT.Interval", "22h")),
    )


def _routers(given: list[str]) -> tuple[str, ...]:
    return tuple(url for one in given for url in (ROUTERS if one == "auto" else (one,)))


def _pubsub(get: Callable[[str, Any], Any]) -> PubsubConfig:
    router = get("Pubsub.Router", "") or "gossipsub"
    return PubsubConfig(get("Pubsub.Enabled", False), get("Ipns.UsePubsub", False), router)


def _names(get: Callable[[str, Any], Any]) -> NamesConfig:
    lifetime, period = (get(f"Ipns.{name}", "") for name in ("RecordLifetime", "RepublishPeriod"))
    most = get("Ipns.MaxCacheTTL", "")
    config = NamesConfig(
        republish_period=parse_seconds(period) if period else 4 * 3600.0,
        record_lifetime=parse_seconds(lifetime) if lifetime else 48 * 3600.0,
        max_cache_ttl=parse_seconds(most) if most else None,
        resolvers=get("DNS.Resolvers", None),
    )
    if config.republish_period > config.record_lifetime:
        raise ConfigError("Ipns.RepublishPeriod", "is longer than Ipns.RecordLifetime: records would end in between")
    return config
