"""The file of the config: JSON, read and written whole. Imports nothing: most commands need no more of it.

It holds the private key, so it is written with mode 0600.
"""

from __future__ import annotations

import json
import os

from cidery.errors import InvalidInput
from cidery.plain_files import NotAFile, read_plain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

Raw = dict[str, "Any"]
"""The JSON object of a config."""
MAX_CONFIG_BYTES = 4 << 20
"""Largest config file read, in bytes."""


class ConfigError(InvalidInput):
    """A config that makes no sense."""

    def __init__(self, key: str, reason: str) -> None:
        super().__init__(key, reason)
        self.key = key
        self.reason = reason

    def __str__(self) -> str:
        return f"config: {self.key} {self.reason}" if self.key else f"config: {self.reason}"


class ConfigMissing(InvalidInput):
    """There is no config, so no repository, at the path."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.path = path

    def __str__(self) -> str:
        return f"no repository at {self.path.parent}; create it with: cidery init"


def lookup(raw: dict[str, Any], key: str) -> Any:
    """The value at a dotted key, None if absent."""
    at: Any = raw
    for part in key.split("."):
        if not isinstance(at, dict) or part not in at:
            return None
        at = at[part]
    return at


def read_raw(path: Path) -> Raw:
    """The JSON of the config file. Raises ConfigMissing, ConfigError."""
    try:
        data = read_plain(path, MAX_CONFIG_BYTES + 1)
    except FileNotFoundError as exc:
        raise ConfigMissing(path) from exc
    except NotAFile as exc:
        raise ConfigError("", str(exc)) from exc
    except OSError as exc:
        raise ConfigError("", f"{path} cannot be read: {exc.strerror}") from exc
    return parse_json(data, str(path))


def parse_json(data: bytes, name: str) -> Raw:
    """A config's JSON object. Raises ConfigError."""
    if len(data) > MAX_CONFIG_BYTES:
        raise ConfigError("", f"{name} is larger than {MAX_CONFIG_BYTES} bytes")
    try:
        raw = json.loads(data)
    except (ValueError, RecursionError) as exc:
        raise ConfigError("", f"{name} is not JSON: {exc}") from exc
    if not isinstance(raw, dict):
        raise ConfigError("", f"{name} is not a JSON object")
    return raw


def write_raw(path: Path, raw: Raw) -> None:
    """Replace the file atomically and durably, mode 0600.

    Raises ConfigError if the disk does not take it, KuboRepo for one of Kubo's.
    """
    from cidery.repo.layout import refuse_kubo

    refuse_kubo(path.parent)
    # of this process alone: another one that changes the config must not put half a file in its place
    temporary = path.with_name(f"{path.name}.{os.getpid()}.new")
    try:
        temporary.unlink(missing_ok=True)
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(json.dumps(raw, indent=2).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as exc:
        try:
            os.unlink(temporary)
        except OSError:
            pass  # there is none
        raise ConfigError("", f"{path} cannot be written: {exc.strerror}; the old one is unchanged") from exc
