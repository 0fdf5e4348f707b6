"""config and config show."""

from typing import Any

from cidery.commands.bind import BadCall
from cidery.commands.context import Context
from cidery.commands.definition import Call
from cidery.commands.definitions.config import ConfigField
from cidery.repo.config_file import Changing, read_raw, write_raw
from cidery.repo.config_profiles import BOOTSTRAP, ROUTERS
from cidery.repo.config_secrets import get_key, without_secrets


async def config(context: Context, call: Call) -> ConfigField:
    key, text = call.one("key"), call.optional("value")
    if text is None:
        raw = read_raw(context.config_file)
    else:
        if call.flag("expand-auto"):
            raise BadCall("option 'expand-auto' is for reading a value, not for setting one")
        from cidery.commands.run.config_change import with_value  # imports all that is known of keys

        async with Changing(context.config_file) as raw:
            raw = with_value(raw, key, text, call)
            write_raw(context.config_file, raw)
    value = get_key(raw, key)
    return ConfigField(Key=key, Value=_expanded(key, value) if call.flag("expand-auto") else value)


def _expanded(key: str, value: Any) -> Any:
    """The value with "auto" expanded. ``key``: "" for the whole config."""
    if isinstance(value, dict):
        return {name: _expanded(f"{key}.{name}".lstrip("."), below) for name, below in value.items()}
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
    if call.flag("expand-auto"):
        shown = _expanded("", shown)
    return {**shown, "Experimental": {**_EXPERIMENTS, **(shown.get("Experimental") or {})}}
