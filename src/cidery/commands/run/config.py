"""config and bootstrap: they work on the config file; a running daemon applies the changes at its next start."""

import json
from typing import Any

from cidery.commands.bind import BadCall, parse_bool
from cidery.commands.context import Context
from cidery.commands.definition import Call
from cidery.commands.definitions.config import ConfigField, Peers, ProfileApplied
from cidery.repo.config import ROUTERS, get_key, keep_copy, parse_config, set_key
from cidery.repo.config_file import MAX_CONFIG_BYTES, ConfigError, parse_json, read_raw, write_raw
from cidery.repo.config_keys import KEYS, PEER_ADDR
from cidery.repo.config_profiles import BOOTSTRAP, apply_profile
from cidery.repo.config_secrets import with_secrets_of, without_secrets


def _new_value(key: str, text: str, call: Call) -> Any:
    if call.flag("bool"):
        return parse_bool(text, "bool")
    if call.flag("json"):
        return _json(text)
    accepts = KEYS.get(key)
    if accepts is not None and not accepts.test(text):
        # `config Import.CidVersion 1` can only mean the number
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            return text
        return value if accepts.test(value) else text
    return text


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as exc:
        raise BadCall(f"{text[:60]!r} is not JSON: {exc}") from exc


async def config(context: Context, call: Call) -> ConfigField:
    raw = read_raw(context.config_file)
    key, text = call.one("key"), call.optional("value")
    if text is not None:
        raw = set_key(raw, key, _new_value(key, text, call))
        write_raw(context.config_file, raw)
    value = get_key(raw, key)
    return ConfigField(Key=key, Value=_expanded(key, value) if call.flag("expand-auto") else value)


def _expanded(key: str, value: Any) -> Any:
    """The value with "auto" expanded."""
    if isinstance(value, dict):
        return {name: _expanded(f"{key}.{name}", below) for name, below in value.items()}
    meant = {"Bootstrap": BOOTSTRAP, "Routing.DelegatedRouters": ROUTERS}.get(key)
    if meant is None or not isinstance(value, list):
        return value
    return [one for text in value for one in (meant if text == "auto" else (text,))]


_EXPERIMENTS = {
    "FilestoreEnabled": False,
    "Libp2pStreamMounting": False,
    "OptimisticProvide": False,
    "OptimisticProvideJobsPoolSize": 0,
    "P2pHttpProxy": False,
    "UrlstoreEnabled": False,
}
"""Keys that Kubo's config always has, and its clients read."""


async def show(context: Context, call: Call) -> dict[str, Any]:
    shown = without_secrets(read_raw(context.config_file))
    return {**shown, "Experimental": {**_EXPERIMENTS, **(shown.get("Experimental") or {})}}


async def replace(context: Context, call: Call) -> None:
    """Keeps identity and secrets: a config from elsewhere changes neither this node's id nor its authorizations."""
    assert context.uploads is not None  # the definition's file argument; the CLI reads it as one item
    from cidery.core.adding.items import sent_bytes

    data = await sent_bytes(context.uploads, MAX_CONFIG_BYTES, _too_large)
    new = with_secrets_of(read_raw(context.config_file), parse_json(data, "the new config"))
    parse_config(new)
    write_raw(context.config_file, new)


def _too_large(_: int) -> ConfigError:
    return ConfigError("", f"the new config is larger than {MAX_CONFIG_BYTES} bytes")


async def profile_apply(context: Context, call: Call) -> ProfileApplied:
    old = read_raw(context.config_file)
    new = apply_profile(old, call.one("profile"))
    parse_config(new)
    if not call.flag("dry-run"):
        keep_copy(context.config_file, call.one("profile"))
        write_raw(context.config_file, new)
    return ProfileApplied(OldCfg=without_secrets(old), NewCfg=without_secrets(new))


def _bootstrap(raw: dict[str, Any]) -> list[str]:
    listed = raw.get("Bootstrap") or []
    return [peer for one in listed for peer in (BOOTSTRAP if one == "auto" else (one,))]


def _check_peers(peers: list[str]) -> None:
    for peer in peers:
        if not PEER_ADDR.test(peer) or peer == "auto":
            raise BadCall(f"{peer[:80]!r} is not an address with a peer id such as /ip4/192.0.2.1/tcp/4001/p2p/12D3...")


async def bootstrap_list(context: Context, call: Call) -> Peers:
    return Peers(Peers=_bootstrap(read_raw(context.config_file)))


async def bootstrap_add(context: Context, call: Call) -> Peers:
    peers = call.many("peer")
    _check_peers(peers)
    raw = read_raw(context.config_file)
    listed = _bootstrap(raw)
    raw["Bootstrap"] = list(dict.fromkeys([*listed, *peers]))
    write_raw(context.config_file, raw)
    return Peers(Peers=peers)


async def bootstrap_rm_all(context: Context, call: Call) -> Peers:
    raw = read_raw(context.config_file)
    removed, raw["Bootstrap"] = _bootstrap(raw), []
    write_raw(context.config_file, raw)
    return Peers(Peers=removed)


async def bootstrap_rm(context: Context, call: Call) -> Peers:
    raw = read_raw(context.config_file)
    listed = _bootstrap(raw)
    peers = listed if call.flag("all") or call.many("peer") == ["all"] else call.many("peer")
    if not peers and not call.flag("all"):
        raise BadCall("give the peers to remove, or --all")
    _check_peers(peers)
    removed = [peer for peer in listed if peer in peers]
    raw["Bootstrap"] = [peer for peer in listed if peer not in peers]
    write_raw(context.config_file, raw)
    return Peers(Peers=removed)
