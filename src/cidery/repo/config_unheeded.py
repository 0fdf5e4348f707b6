"""Settings that protect a node of Kubo and that this one cannot obey: with one of them, no node starts.

A config may come from Kubo, and most keys that are unknown here do no harm when they have no effect. These do: their
writer relies on what they forbid.

Spec: https://github.com/ipfs/kubo/blob/master/docs/config.md
"""

from collections.abc import Callable
from typing import Any

from cidery.repo.config_file import ConfigError, lookup


def _is_false(value: Any) -> bool:
    return value is False


def _is_other_ttl(value: Any) -> bool:
    return value not in ("", "120s", "2m", "2m0s")


def _is_other_strategy(value: Any) -> bool:
    return value not in ("", "last-seen")


UNHEEDED: dict[str, tuple[Callable[[Any], bool], str]] = {
    "Bitswap.Libp2pEnabled": (_is_false, "but this node always speaks Bitswap; remove the key, or stay offline"),
    "Bitswap.ServerEnabled": (_is_false, "but this node serves what it has; remove the key, or stay offline"),
    "HTTPRetrieval.Allowlist": (bool, "but any host is asked here; set HTTPRetrieval.Enabled to false instead"),
    "HTTPRetrieval.Denylist": (bool, "but any host is asked here; set HTTPRetrieval.Enabled to false instead"),
    "Provider": (bool, "but has no effect any more; see Provide.Enabled and Provide.Strategy, and remove it"),
    "Pubsub.DisableSigning": (bool, "but messages are always signed here, and others refused; remove the key"),
    "Pubsub.SeenMessagesStrategy": (_is_other_strategy, "but a message is remembered from when it was last seen"),
    "Pubsub.SeenMessagesTTL": (_is_other_ttl, "but messages are remembered for 120s here; remove the key"),
    "Reprovider": (bool, "but has no effect any more; see Provide.Strategy and Provide.DHT.Interval, and remove it"),
    "Routing.IgnoreProviders": (bool, "but every provider is asked here; remove the key, or use Swarm.AddrFilters"),
    "Swarm.RelayService.MaxReservationsPerPeer": (
        lambda value: value != 1,
        "but a peer has one reservation here, as in today's Kubo; remove the key",
    ),
    "Swarm.Transports.Network.TCP": (_is_false, "but this node has TCP always; stay offline instead"),
}
"""Dotted key -> whether a value forbids something, and what to say."""


def refuse_unheeded(raw: dict[str, Any]) -> None:
    """Raises ConfigError for the first setting that forbids what an online node here would do."""
    for key, (forbids, words) in UNHEEDED.items():
        value = lookup(raw, key)
        if value is not None and forbids(value):
            raise ConfigError(key, f"is set, {words}")
