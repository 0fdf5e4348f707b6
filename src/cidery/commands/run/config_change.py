"""config KEY VALUE, config replace and config profile apply: a running daemon applies the changes at its next start."""

import json
from typing import Any

from cidery.commands.bind import BadCall, parse_bool
from cidery.commands.context import Context
from cidery.commands.definition import Call
from cidery.commands.definitions.config import ProfileApplied
from cidery.repo.config import parse_config
from cidery.repo.config_change import keep_copy, set_key
from cidery.repo.config_file import MAX_CONFIG_BYTES, Changing, ConfigError, Raw, parse_json, write_raw
from cidery.repo.config_keys import KEYS
from cidery.repo.config_profiles import apply_profile
from cidery.repo.config_secrets import with_secrets_of, without_secrets


def with_value(raw: Raw, key: str, text: str, call: Call) -> Raw:
    """The config with a key set to what the text means. Raises ConfigError, BadCall."""
    return set_key(raw, key, _value(key, text, call))


def _value(key: str, text: str, call: Call) -> Any:
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


async def replace(context: Context, call: Call) -> None:
    """Keeps identity and secrets: a config from elsewhere changes neither this node's id nor its authorizations."""
    assert context.uploads is not None  # the definition's file argument; the CLI reads it as one item
    from cidery.core.adding.items import sent_bytes

    data = await sent_bytes(context.uploads, MAX_CONFIG_BYTES, _too_large)
    sent = parse_json(data, "the new config")
    async with Changing(context.config_file) as old:
        new = with_secrets_of(old, sent)
        parse_config(new)
        write_raw(context.config_file, new)


def _too_large(_: int) -> ConfigError:
    return ConfigError("", f"the new config is larger than {MAX_CONFIG_BYTES} bytes")


async def profile_apply(context: Context, call: Call) -> ProfileApplied:
    async with Changing(context.config_file) as old:
        new = apply_profile(old, call.one("profile"))
        parse_config(new)
        if not call.flag("dry-run"):
            keep_copy(context.config_file, call.one("profile"))
            write_raw(context.config_file, new)
    return ProfileApplied(OldCfg=without_secrets(old), NewCfg=without_secrets(new))
