"""What of the config is never shown and never changed by a command: keys, tokens, passwords.

A command works the same over RPC and in this process, so neither shows a secret. The object that holds one is its
holder: a changed config gets the holders of the old one back, because an address or a list of rights beside a secret
decides what the secret is worth (another Endpoint beside a Key would be sent the Key).
"""

from collections.abc import Iterator
from copy import deepcopy
from typing import Any, NamedTuple

from cidery.repo.config_file import ConfigError, lookup

Raw = dict[str, Any]
MASK = "***"
"""Shown instead of a secret."""


class _Secret(NamedTuple):
    holder: str
    """Dotted key; "*" is any name."""
    leaf: str
    """Below the holder; "" if the holder is the secret itself."""


_SECRETS = (
    _Secret("Identity", "PrivKey"),
    _Secret("API.Authorizations", "*.AuthSecret"),
    _Secret("Pinning.RemoteServices.*.API", "Key"),
    _Secret("AutoTLS.RegistrationToken", ""),
)


def without_secrets(raw: Raw) -> Raw:
    """A copy that may be shown: no private key, MASK for every other secret."""
    shown = deepcopy(raw)
    for secret in _SECRETS:
        for path in list(_paths(shown, _words(secret.holder, secret.leaf))):
            parent = _at(shown, path[:-1])
            if secret.holder == "Identity":
                del parent[path[-1]]
            elif parent[path[-1]]:
                parent[path[-1]] = MASK
    return shown


def refuse_secret(key: str) -> None:
    """Raises ConfigError for a dotted key that is a secret, or the identity."""
    words = key.lower().split(".")
    for secret in _SECRETS:
        pattern = _words(secret.holder.lower(), secret.leaf.lower())
        if key.lower() == "identity" or _matches(words, pattern):
            raise ConfigError(key, "holds a secret that is neither shown nor set here; edit the config file")


def with_secrets_of(old: Raw, new: Raw) -> Raw:
    """A copy of ``new`` with the holders of ``old``; a holder that is absent, or as it is shown, counts as unchanged.

    Raises ConfigError when ``new`` has another secret, or other words beside one.
    """
    changed = deepcopy(new)
    for secret in _SECRETS:
        pattern = _words(secret.holder)
        for path in sorted({*_paths(old, pattern), *_paths(new, pattern)}):
            was, now = _at(old, path), _at(new, path)
            unchanged = not now or now == was or now == _at(without_secrets(old), path)
            if secret.holder == "Identity" and isinstance(now, dict):
                given = {name.lower(): value for name, value in now.items()}.get("privkey")
                unchanged = not given or given == (was or {}).get("PrivKey")
            if not unchanged:
                raise ConfigError(".".join(path), "holds a secret and is not changed here; edit the config file")
            if was:
                _put(changed, path, deepcopy(was))
    return changed


def _words(*keys: str) -> list[str]:
    return [word for key in keys if key for word in key.split(".")]


def _matches(words: list[str], pattern: list[str]) -> bool:
    return len(words) == len(pattern) and all(part in ("*", word) for word, part in zip(words, pattern, strict=True))


def _paths(at: Any, pattern: list[str]) -> Iterator[tuple[str, ...]]:
    """Names that lead to what the pattern means; in any case, as other readers of the file take them."""
    if not pattern:
        yield ()
        return
    if isinstance(at, dict):
        for name, below in at.items():
            if pattern[0] == "*" or name.lower() == pattern[0].lower():
                for rest in _paths(below, pattern[1:]):
                    yield (name, *rest)


def _at(raw: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        raw = raw.get(name) if isinstance(raw, dict) else None
    return raw


def _put(raw: Raw, path: tuple[str, ...], value: Any) -> None:
    for name in path[:-1]:
        if not isinstance(raw.get(name), dict):
            raw[name] = {}
        raw = raw[name]
    raw[path[-1]] = value


def get_key(raw: Raw, key: str) -> Any:
    """The value at a dotted key for showing; None if it is not set. Raises ConfigError for secrets and unknown keys."""
    refuse_secret(key)
    value = lookup(without_secrets(raw), key)
    if value is None:
        from cidery.repo.config_names import check_name  # imports all that is known of keys

        check_name(key)
    return value
