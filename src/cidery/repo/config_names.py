"""Names that a key of the config may have: those that have a meaning here, and the rest of Kubo's, which have none.

Setting any other key is refused, because a misspelt one would change nothing and say nothing.

Spec: https://github.com/ipfs/kubo/blob/master/docs/config.md
"""

from collections.abc import Callable, Iterator
from typing import Any

from cidery.repo.config_file import ConfigError
from cidery.repo.config_keys import KEYS

_KUBO = {
    "AutoConf": "Enabled URL RefreshInterval TLSInsecureSkipVerify",
    "AutoNAT": "Throttle.GlobalLimit Throttle.PeerLimit Throttle.Interval",
    "AutoTLS": "IPCerts IPCertsPort SelfSignedForTests",
    "Bitswap": "Libp2pEnabled ServerEnabled",
    "DNS": "MaxCacheTTL OverrideSystem",
    "Datastore": "Spec.* Params.* Path Type NoSync BloomFilterSize BlockKeyCacheSize WriteThrough",
    "Discovery": "MDNS.Interval",
    "Experimental": "UrlstoreEnabled ShardingEnabled GraphsyncEnabled Libp2pStreamMounting P2pHttpProxy"
    " StrategicProviding AcceleratedDHTClient OptimisticProvide OptimisticProvideJobsPoolSize GatewayOverLibp2p",
    "Gateway": "Writable PathPrefixes APICommands FastDirIndexThreshold AllowCodecConversion DiagnosticServiceURL",
    "HTTPRetrieval": "Allowlist Denylist NumWorkers MaxBlockSize TLSInsecureSkipVerify",
    "Import": "BatchMaxNodes BatchMaxSize FastProvideRoot FastProvideDAG FastProvideWait",
    "Internal": "UnixFSShardingSizeThreshold Libp2pForceReachability BackupBootstrapInterval MFSNoFlushLimit"
    " ShutdownTimeout CGNATCheck DeadListenerCheck NonPublicAddrPublishing Bitswap.TaskWorkerCount"
    " Bitswap.EngineBlockstoreWorkerCount Bitswap.EngineTaskWorkerCount Bitswap.MaxOutstandingBytesPerPeer"
    " Bitswap.ProviderSearchDelay Bitswap.ProviderSearchMaxResults Bitswap.WantHaveReplaceSize"
    " Bitswap.BroadcastControl.Enable Bitswap.BroadcastControl.MaxPeers Bitswap.BroadcastControl.LocalPeers"
    " Bitswap.BroadcastControl.PeeredPeers Bitswap.BroadcastControl.MaxRandomPeers"
    " Bitswap.BroadcastControl.SendToPendingPeers",
    "Ipns": "ResolveCacheSize DelegatedPublishers",
    "Migration": "DownloadSources Keep",
    "Mounts": "IPFS IPNS MFS FuseAllowOther StoreMtime StoreMode",
    "Plugins": "Plugins.*",
    "Provide": "BloomFPRate DHT.MaxWorkers DHT.SweepEnabled DHT.ResumeEnabled DHT.DedicatedPeriodicWorkers"
    " DHT.DedicatedBurstWorkers DHT.MaxProvideConnsPerWorker DHT.KeystoreBatchSize DHT.OfflineDelay"
    " DHT.SendProviderRecordTimeout",
    "Provider": "Enabled Strategy WorkerCount",
    "Pubsub": "DisableSigning SeenMessagesTTL SeenMessagesStrategy",
    "Reprovider": "Interval Strategy",
    "Routing": "AcceleratedDHTClient IgnoreProviders Routers.* Methods.*",
    "Swarm": "DisableBandwidthMetrics DisableRelay EnableRelayHop EnableAutoRelay EnableAutoNATService"
    " EnableHolePunching RelayClient.Enabled RelayClient.StaticRelays RelayService.Enabled"
    " RelayService.ConnectionDurationLimit RelayService.ConnectionDataLimit RelayService.ReservationTTL"
    " RelayService.MaxReservations RelayService.MaxCircuits RelayService.BufferSize"
    " RelayService.MaxReservationsPerPeer RelayService.MaxReservationsPerIP"
    " RelayService.MaxReservationsPerASN Transports.Network.TCP Transports.Network.WebTransport"
    " Transports.Network.WebRTCDirect Transports.Network.Relay Transports.Multiplexers.Yamux"
    " Transports.Multiplexers.Mplex Transports.Security.SECIO ConnMgr.Type ConnMgr.SilencePeriod"
    " ResourceMgr.Enabled ResourceMgr.MaxMemory ResourceMgr.MaxFileDescriptors ResourceMgr.Allowlist"
    " ResourceMgr.Limits.*",
    "Version": "AgentSuffix SwarmCheckEnabled SwarmCheckPercentThreshold",
}
"""Section -> keys without a meaning here, and "*" for whatever is below; config files of Kubo have them."""
_BELOW_KNOWN = ("API.HTTPHeaders", "API.Authorizations", "DNS.Resolvers", "Pinning.RemoteServices")
"""Keys whose values are objects with names of the user's."""
NAMES = frozenset((*KEYS, *(f"{section}.{name}" for section, names in _KUBO.items() for name in names.split())))
"""Dotted; the last word "*" stands for whatever is below."""
_FREE = tuple(f"{name.removesuffix('*')}" for name in NAMES if name.endswith("*")) + tuple(
    f"{k}." for k in _BELOW_KNOWN
)


def is_known(key: str) -> bool:
    """Whether a key, or a section, is one that a node knows."""
    return key in NAMES or key.startswith(_FREE) or any(name.startswith(f"{key}.") for name in NAMES)


def check_name(key: str, value: Any = None, present: Callable[[str], bool] = lambda _: False) -> None:
    """Raises ConfigError for a key, or one inside the object that it is set to, which is not known.

    ``present``: whether it stands in the file already, which is accepted.
    """
    for name in (key, *_inside(key, value)):
        if not is_known(name) and not present(name):
            from difflib import get_close_matches  # seldom used

            near = get_close_matches(name, NAMES, n=1, cutoff=0.6)
            advice = f"did you mean {near[0].removesuffix('.*')}?" if near else "keys are such as Addresses.API"
            raise ConfigError(name, f"is not a key of the config; {advice}")


def _inside(key: str, value: Any) -> Iterator[str]:
    if isinstance(value, dict) and key not in KEYS:
        for name, below in value.items():
            yield f"{key}.{name}"
            yield from _inside(f"{key}.{name}", below)
