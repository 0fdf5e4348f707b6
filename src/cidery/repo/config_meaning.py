"""What each key of the config means; `make settings` writes docs/settings.md from it, and a test holds that true."""

from typing import NamedTuple


class Meaning(NamedTuple):
    """One key."""

    field: str
    """Of ``config.Config``, dotted, that the key decides."""
    text: str
    """One sentence."""


MEANING: dict[str, Meaning] = {
    "API.Authorizations": Meaning("authorizations", "Who may call which part of the RPC; unset: whatever reaches it."),
    "API.HTTPHeaders": Meaning(
        "api_headers", "Headers of the RPC's answers; `Access-Control-Allow-Origin`: the pages that may call it."
    ),
    "API.TLS": Meaning(
        "api_tls", "Certificate (`CertFile`) and key (`KeyFile`) of the RPC; changed files are read again."
    ),
    "Addresses.API": Meaning("api", "Where the RPC listens; over TLS at addresses that end in `/tls/http`."),
    "Addresses.Announce": Meaning("announce", "Addresses that others are told in place of the node's own."),
    "Addresses.AppendAnnounce": Meaning("append_announce", "Addresses that others are told, too."),
    "Addresses.Gateway": Meaning("gateway", "Where the gateway listens."),
    "Addresses.NoAnnounce": Meaning("no_announce", "Nets and addresses that nobody is told."),
    "Addresses.Swarm": Meaning("swarm", "Where other nodes connect."),
    "AutoTLS.AllowPrivateForgeAddrs": Meaning(
        "autotls.unproven", "For a broker of one's own: ask it without proof that this node is public."
    ),
    "AutoTLS.AutoWSS": Meaning(
        "autotls.every_port",
        "Whether plain TCP ports serve `/tls/ws`, unless `Addresses.Swarm` has a WebSocket address.",
    ),
    "AutoTLS.CAEndpoint": Meaning("autotls.authority", "ACME directory of the certificate authority."),
    "AutoTLS.DomainSuffix": Meaning("autotls.suffix", "Domain of the broker."),
    "AutoTLS.Enabled": Meaning(
        "autotls.enabled",
        "Whether a public node gets a certificate for browsers; never in private networks.",
    ),
    "AutoTLS.RegistrationDelay": Meaning(
        "autotls.delay", "Time from a start until a first one is asked for; none if `AutoTLS.Enabled` is true."
    ),
    "AutoTLS.RegistrationEndpoint": Meaning("autotls.broker", "The broker, which dials this node from outside."),
    "AutoTLS.RegistrationToken": Meaning("autotls.token", "What a broker of one's own demands to be shown."),
    "AutoTLS.ShortAddrs": Meaning(
        "autotls.short", "Whether `/dns4/NAME/…/tls/ws` is announced, or `/ip4/HOST/…/tls/sni/NAME/ws`."
    ),
    "AutoTLS.SkipDNSLookup": Meaning(
        "autotls.arithmetic", "Whether `1-2-3-4.PEER.libp2p.direct` is 1.2.3.4 without asking the DNS."
    ),
    "AutoTLS.TrustedCARootsPEM": Meaning(
        "autotls.roots", "Certificates in PEM, trusted beside the system's when broker and CA are asked."
    ),
    "AutoNAT.ServiceMode": Meaning("serve_autonat", "Whether others may ask if they can be reached."),
    "Bootstrap": Meaning("bootstrap", "Peers that are dialled while nobody is known; `auto`: the public ones."),
    "DNS.Resolvers": Meaning("names.resolvers", "Resolvers by domain; `{}`: none; unset: the system's."),
    "Datastore.GCPeriod": Meaning("gc_period", "Time between two looks of `daemon --enable-gc` at the space used."),
    "Datastore.HashOnRead": Meaning("hash_on_read", "Whether blocks are hashed again when they are read."),
    "Datastore.StorageGCWatermark": Meaning("gc_watermark", "Percent of StorageMax from which on space is made."),
    "Datastore.StorageMax": Meaning("storage_max", "Space for blocks; what is asked for is stored beyond it, too."),
    "Discovery.MDNS.Enabled": Meaning("mdns", "Whether nodes of the local network find each other."),
    "Discovery.MDNS.Interfaces": Meaning("mdns_interfaces", "Own IP addresses on which they do; empty: on all."),
    "Experimental.FilestoreEnabled": Meaning("filestore_enabled", "Whether `add --nocopy` works through the daemon."),
    "Experimental.FilestoreRoots": Meaning(
        "filestore_roots", "Directories whose files it may refer to; empty: the one that holds the repository."
    ),
    "Gateway.AccessLog.Format": Meaning("serving.access_format", "How a line of that log is written."),
    "Gateway.AccessLog.Path": Meaning(
        "serving.access_log", "File with a line for each request to the gateway; `-`: standard output; empty: none."
    ),
    "Gateway.DeserializedResponses": Meaning(
        "serving.deserialized", "Whether the gateway serves pages and files, not only what a client can verify."
    ),
    "Gateway.DisableHTMLErrors": Meaning("serving.html_errors", "Whether browsers get errors as plain text, too."),
    "Gateway.ExposeRoutingAPI": Meaning("routing_api", "Whether the gateway's port answers `/routing/v1`."),
    "Gateway.HTTPHeaders": Meaning("serving.headers", "Headers of the gateway's answers; `[]` takes one away."),
    "Gateway.MaxConcurrentRequests": Meaning(
        "serving.max_requests", "Requests at a time, above which the gateway answers 429; 0: any number."
    ),
    "Gateway.MaxRangeRequestFileSize": Meaning(
        "serving.max_range_file_size", "Largest file of which parts are served; 0: any."
    ),
    "Gateway.MaxRequestDuration": Meaning(
        "serving.max_duration", "Time after which an answer is cut off, however it goes; 0: never."
    ),
    "Gateway.NoDNSLink": Meaning("serving.dnslink", "Whether hosts that are not known are no sites by their DNSLink."),
    "Gateway.NoFetch": Meaning("no_fetch", "Whether the gateway serves only what is stored here."),
    "Gateway.OnSwarmPort": Meaning(
        "serving.on_swarm_port",
        "Whether `/tls/ws` ports answer HTTPS, too, with what is stored and can be verified.",
    ),
    "Gateway.PublicGateways": Meaning(
        "serving.hosts", "What each host name serves, and whether content gets hosts of its own below it."
    ),
    "Gateway.RetrievalTimeout": Meaning(
        "serving.retrieval_timeout", "Longest wait for the first byte (then 504) and for each next piece; 0: any."
    ),
    "Gateway.RootRedirect": Meaning("serving.root", "Where `/` of the gateway leads."),
    "Gateway.TLS": Meaning("serving.tls", "Certificate (`CertFile`) and key (`KeyFile`) of the gateway, for HTTPS."),
    "Gateway.TrustedProxies": Meaning(
        "serving.proxies",
        "Nets of proxies whose X-Forwarded-For is believed, such as /ip4/10.1.0.0/ipcidr/16.",
    ),
    "HTTPRetrieval.Enabled": Meaning("http_retrieval", "Whether gateways that routing names are asked for blocks."),
    "HTTPRetrieval.Gateways": Meaning("gateways", "Gateways that are always asked."),
    "Identity.PeerID": Meaning("peer_id", "The node's name, which belongs to the key."),
    "Identity.PrivKey": Meaning("identity", "The node's private key; never shown, changed by `key rotate` only."),
    "Import.CidVersion": Meaning("imports.cid_version", "Version of the CIDs of what is added."),
    "Import.HashFunction": Meaning("imports.hash_function", "Hash function of what is added."),
    "Import.Hidden": Meaning("imports.hidden", "Whether `add` takes hidden files in folders, as zarr's metadata are."),
    "Import.UnixFSChunker": Meaning("imports.chunker", "How files are cut into blocks."),
    "Import.UnixFSDAGLayout": Meaning("imports.layout", "How the blocks of a file are arranged."),
    "Import.UnixFSDirectoryMaxLinks": Meaning(
        "imports.directory_max_links", "Most entries of a directory that is one block; 0: as its size says."
    ),
    "Import.UnixFSFileMaxLinks": Meaning("imports.file_max_links", "Most links of a node of a file."),
    "Import.UnixFSHAMTDirectoryMaxFanout": Meaning("imports.hamt_fanout", "Most links of a node of a large directory."),
    "Import.UnixFSHAMTDirectorySizeEstimation": Meaning(
        "imports.hamt_estimation", "What counts as a directory's size: its links, its block, or neither (disabled)."
    ),
    "Import.UnixFSHAMTDirectorySizeThreshold": Meaning(
        "imports.hamt_threshold", "Size above which a directory is spread over several blocks."
    ),
    "Import.UnixFSRawLeaves": Meaning("imports.raw_leaves", "Whether the blocks of a file hold its bytes and no more."),
    "Ipns.MaxCacheTTL": Meaning("names.max_cache_ttl", "Longest time that a name's record is relied on."),
    "Ipns.RecordLifetime": Meaning("names.record_lifetime", "How long a published record is valid."),
    "Ipns.RepublishPeriod": Meaning("names.republish_period", "Time between rounds that keep names alive; 0: none."),
    "Ipns.UsePubsub": Meaning("pubsub.ipns", "Whether records of names go over pubsub, too: seconds, not minutes."),
    "Peering.Peers": Meaning("peering", "Peers that the node stays connected to."),
    "Pinning.RemoteServices": Meaning(
        "remote_services", "Services that keep content on request, by name; see `cidery pin remote service --help`."
    ),
    "Provide.DHT.Interval": Meaning("provide.interval", "Time for one round of announcements; 0: only what is new."),
    "Provide.Enabled": Meaning("provide.enabled", "Whether anything is announced."),
    "Provide.Fetched": Meaning("provide.fetched", "Whether the roots of what was fetched are announced."),
    "Provide.Strategy": Meaning("provide.strategy", "What is announced."),
    "Pubsub.Enabled": Meaning("pubsub.enabled", "Whether the node takes part in pubsub."),
    "Pubsub.Router": Meaning("pubsub.router", "How messages spread: gossipsub, or floodsub."),
    "Routing.DelegatedRouters": Meaning("routers", "HTTP routers asked beside the DHT; `auto`: the public one."),
    "Routing.LoopbackAddressesOnLanDHT": Meaning("loopback_lan", "Whether several nodes of one machine are a network."),
    "Routing.Type": Meaning("routing", "How the node takes part in the DHT."),
    "Swarm.AddrFilters": Meaning("addr_filters", "Nets that are neither dialled nor accepted from."),
    "Swarm.ConnMgr.GracePeriod": Meaning("conn_mgr.grace_period", "How long a new connection is left alone."),
    "Swarm.ConnMgr.HighWater": Meaning("conn_mgr.high_water", "Connections from which on the least useful go."),
    "Swarm.ConnMgr.LowWater": Meaning("conn_mgr.low_water", "Connections that stay then."),
    "Swarm.DisableNatPortMap": Meaning("map_ports", "Whether the router is not asked to pass a port on."),
    "Swarm.Limits.Down": Meaning("limits.down", "Most bytes a second received from all peers together."),
    "Swarm.Limits.PeerDown": Meaning("limits.peer_down", "Most bytes a second received over each connection."),
    "Swarm.Limits.PeerUp": Meaning("limits.peer_up", "Most bytes a second sent over each connection."),
    "Swarm.Limits.Schedule": Meaning(
        "limits.schedule", "Other limits at times of the day, local ones; the first period that holds counts."
    ),
    "Swarm.Limits.Up": Meaning("limits.up", "Most bytes a second sent to all peers together."),
    "Swarm.LocalOnly": Meaning("local_only", "Whether the node keeps to its local networks."),
    "Swarm.RelayClient.Enabled": Meaning(
        "relays.client", "Whether relays are asked for reservations while nobody can dial this node."
    ),
    "Swarm.RelayClient.StaticRelays": Meaning(
        "relays.static", "Relays that are asked in place of found ones, unless this node is known to be public."
    ),
    "Swarm.EnableHolePunching": Meaning(
        "relays.punch", "Whether relayed connections are replaced by direct ones, through the NATs of both."
    ),
    "Swarm.RelayService.BufferSize": Meaning("relay_service.buffer", "Bytes that a relay passes on at a time."),
    "Swarm.RelayService.ConnectionDataLimit": Meaning(
        "relay_service.data", "Bytes of a relayed connection each way; 0: no limit. Peers of Peering.Peers have none."
    ),
    "Swarm.RelayService.ConnectionDurationLimit": Meaning(
        "relay_service.duration", "Longest relayed connection; 0s: no limit. Peers of Peering.Peers have none."
    ),
    "Swarm.RelayService.Enabled": Meaning(
        "relay_service.enabled", "Whether a public node is a relay, and any node one for peers of Peering.Peers."
    ),
    "Swarm.RelayService.MaxCircuits": Meaning(
        "relay_service.circuits", "Relayed connections of one peer, on either end."
    ),
    "Swarm.RelayService.MaxReservations": Meaning(
        "relay_service.reservations", "Peers that a relay keeps reachable, beside those of Peering.Peers."
    ),
    "Swarm.RelayService.MaxReservationsPerASN": Meaning(
        "relay_service.per_net", "Of them, those of one /32 of IPv6, which stands for an autonomous system."
    ),
    "Swarm.RelayService.MaxReservationsPerIP": Meaning(
        "relay_service.per_ip", "Of them, those of one IPv4 address or /64 of IPv6."
    ),
    "Swarm.RelayService.ReservationTTL": Meaning("relay_service.ttl", "How long a relay promises to do so."),
    "Swarm.Transports.Network.Relay": Meaning(
        "relays.enabled", "Whether peers are dialled, and come, through relays; never in private networks."
    ),
    "Swarm.Transports.Network.QUIC": Meaning(
        "transports.quic", "Whether QUIC addresses are dialled and listened on; in private networks they never are."
    ),
    "Swarm.TLS": Meaning(
        "transports.tls",
        "Certificate (`CertFile`) and key (`KeyFile`) of `/tls/ws` addresses; changed files are read again.",
    ),
    "Swarm.Transports.Network.Websocket": Meaning(
        "transports.websocket", "Whether WebSocket addresses (`/ws`, `/tls/ws`) are dialled and listened on."
    ),
    "Swarm.Transports.Security.Noise": Meaning("security", "Priority of Noise, the lower the better; false: off."),
    "Swarm.Transports.Security.TLS": Meaning("security", "Priority of TLS, the lower the better; false: off."),
}
"""Dotted key -> what it decides. Each is read when a repository is opened, so a daemon has to be started again."""
