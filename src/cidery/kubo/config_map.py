"""Maps Kubo's config to ours: keys that we know, sections that we keep for later, and keys that are left out."""

from collections.abc import Iterator
from copy import deepcopy
from ipaddress import ip_address
from typing import Any, NamedTuple

from cidery.multiformats.multiaddr import Multiaddr
from cidery.repo.config_keys import KEYS

Raw = dict[str, Any]
Path = tuple[str, ...]
"""Names from the outside in; the names of sites have dots in them."""

KEPT = frozenset(
    ("AutoConf", "AutoNAT", "AutoTLS", "Bitswap", "DNS", "Gateway", "HTTPRetrieval", "Ipns", "Peering", "Provide")
    + ("Pubsub", "Routing", "Swarm", "Version")
)
"""Sections whose keys are copied although some of them have no effect here yet."""
SECRET = frozenset(("API.Authorizations", "Pinning.RemoteServices"))
"""Keys that hold passwords of other services: they are not copied without being asked."""
OWN = frozenset(("Identity", "Datastore.Spec"))
"""Keys that describe that node and that directory."""
MAX_DEPTH = 16
"""Deepest object searched; Kubo's are five deep."""


class Mapped(NamedTuple):
    """The result for a config."""

    config: Raw
    """Ours, changed."""
    taken: dict[str, Any]
    """Key -> value that was added or changed."""
    kept: list[str]
    """Keys among them that have no effect yet."""
    left: dict[str, str]
    """Skipped key -> reason."""


def map_config(ours: Raw, kubo: Raw) -> Mapped:
    """Copy the keys that fit. Neither argument is changed. O(size)."""
    config = deepcopy(ours)
    taken: dict[str, Any] = {}
    kept: list[str] = []
    left: dict[str, str] = {}
    for path, value in _settings(kubo):
        key = ".".join(path)
        known = key in KEYS
        reason = _refusal(key, value, known)
        if not reason and _at(ours, path) != value:
            if not _set(config, path, deepcopy(value)):
                reason = "there is another kind of value here"
            else:
                taken[key] = value
                kept += [] if known else [key]
        if reason:
            left[key] = reason
    return Mapped(config, taken, kept, left)


def _refusal(key: str, value: Any, known: bool) -> str:
    """Why a setting is not copied; "" if it is."""
    if any(key == secret or key.startswith(secret + ".") for secret in SECRET):
        return "it holds passwords; copy it by hand if it is needed"
    if not known:
        return "" if key.partition(".")[0] in KEPT else "there is no such setting here"
    if not KEYS[key].test(value):
        return f"it takes {KEYS[key].words}"
    if key == "Addresses.API" and not all(map(_is_local, value if isinstance(value, list) else [value])):
        return "other machines could command this node; set it by hand if they may"
    return ""


def _is_local(addr: str) -> bool:
    if not addr or Multiaddr.parse(addr).unix_path() is not None:
        return True
    endpoint = Multiaddr.parse(addr).tcp_endpoint()
    try:
        return endpoint is not None and ip_address(endpoint[0]).is_loopback
    except ValueError:
        return False  # a host name


def _settings(raw: Raw) -> Iterator[tuple[Path, Any]]:
    """All settings except those of the node itself; empty values are skipped. Known keys are not searched further."""
    stack: list[tuple[Path, Any]] = [((), raw)]
    while stack:
        path, value = stack.pop()
        key = ".".join(path)
        if key in OWN:
            continue
        if key in KEYS:
            if value is not None:
                yield path, value
        elif isinstance(value, dict) and len(path) < MAX_DEPTH:
            stack += [((*path, str(name)), child) for name, child in reversed(value.items())]
        elif value:
            yield path, value


def _at(config: Raw, path: Path) -> Any:
    at: Any = config
    for part in path:
        if not isinstance(at, dict):
            return None
        at = at.get(part)
    return at


def _set(config: Raw, path: Path, value: Any) -> bool:
    *parents, last = path
    at = config
    for part in parents:
        if at.get(part) is None:
            at[part] = {}
        at = at[part]
        if not isinstance(at, dict):
            return False
    at[last] = value
    return True
