"""Changes of a config: a key that is set, a copy before a profile is applied."""

from __future__ import annotations

import os
from copy import deepcopy
from functools import reduce
from pathlib import Path

from cidery.plain_files import read_plain
from cidery.repo.config import parse_config
from cidery.repo.config_file import MAX_CONFIG_BYTES, ConfigError, lookup
from cidery.repo.config_keys import KEYS, SECTIONS, is_no_section
from cidery.repo.config_names import check_name
from cidery.repo.config_secrets import refuse_secret, with_secrets_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from cidery.repo.config_file import Raw


def set_key(raw: Raw, key: str, value: Any) -> Raw:
    """A changed copy, checked whole, except for wrong values that stood there before: they can be mended one by one.

    Raises ConfigError; ``raw`` stays as it is.
    """
    refuse_secret(key)
    changed = deepcopy(raw)
    at = changed
    *parents, last = key.split(".")
    for part in parents:
        if at.get(part) is None:
            at[part] = {}
        at = at[part]
        if not isinstance(at, dict):
            raise ConfigError(key, f"cannot be set: {part} is not an object")
    at[last] = value
    if last == "" or "" in parents:
        raise ConfigError(key, "is not a key such as Addresses.API")
    check_name(key, value, lambda name: lookup(raw, name) is not None)
    _check(changed, raw, key)
    return with_secrets_of(raw, changed)


def _check(changed: Raw, raw: Raw, key: str) -> None:
    """Raises ConfigError for what the change of ``key`` makes wrong."""
    left = deepcopy(changed)
    while True:
        try:
            parse_config(left)
        except ConfigError as exc:
            if lookup(left, exc.key) is None or f"{exc.key}.".startswith(f"{key}.") or not _is_wrong(raw, exc.key):
                raise
            *parents, last = exc.key.split(".")
            reduce(dict.__getitem__, parents, left)[last] = None
        else:
            return


def _is_wrong(raw: Raw, key: str) -> bool:
    if key in SECTIONS:
        return is_no_section(lookup(raw, key))
    accepts = KEYS.get(key)
    return accepts is not None and not accepts.test(lookup(raw, key))


def keep_copy(path: Path, profile: str) -> Path:
    """A copy of the config, for the user's eyes alone, before a profile changes it.

    Raises ConfigError, KuboRepo.
    """
    from tempfile import mkstemp  # seldom used, and slow to import

    from cidery.repo.layout import refuse_kubo

    refuse_kubo(path.parent)
    try:
        fd, name = mkstemp(prefix=f"{path.name}-pre-{profile}-", dir=path.parent)
        with os.fdopen(fd, "wb") as file:
            file.write(read_plain(path, MAX_CONFIG_BYTES))
    except OSError as exc:
        raise ConfigError("", f"{path} cannot be copied, so it was not changed: {exc.strerror}") from exc
    return Path(name)
