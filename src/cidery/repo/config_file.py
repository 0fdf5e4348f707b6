"""The file of the config: JSON, read and written whole. Imports nothing: most commands need no more of it.

It holds the private key, so it is written with mode 0600.
"""

from __future__ import annotations

import json
import os
import time

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
MAX_LOOKS, LOOK_PAUSE = 500, 0.01
"""How often one who changes the config looks whether another is done, and the seconds in between: a change takes
milliseconds."""


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


class Changing:
    """``async with Changing(path) as raw``: what is read, and is written by write_raw() before the end, nobody else
    changes. Nothing is waited for in between.

    Of other processes, too: a daemon and a command, or two commands, each keep what the other has set. Where the system
    has no locks on folders the last one that writes decides. Raises as read_raw(), and ConfigError if another one
    takes too long. ``with`` waits for it in its thread, so it is for threads that serve nobody else.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd: int | None = None

    async def __aenter__(self) -> Raw:
        from cidery.waiting import pause

        for _ in range(MAX_LOOKS):
            if self._lock():
                return self._begin()
            await pause(LOOK_PAUSE)
        raise self._taken()

    async def __aexit__(self, *_: object) -> None:
        self.__exit__()

    def __enter__(self) -> Raw:
        for _ in range(MAX_LOOKS):
            if self._lock():
                return self._begin()
            time.sleep(LOOK_PAUSE)
        raise self._taken()

    def _lock(self) -> bool:
        """Whether the folder is locked until __exit__(), or cannot be; False: another one has locked it."""
        try:
            import fcntl
        except ImportError:  # Windows
            return True
        try:
            self._fd = os.open(self._path.parent, os.O_RDONLY | os.O_CLOEXEC)
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.__exit__()
            return False
        except OSError:  # some network file systems; or there is no folder, which is said by whoever reads
            self.__exit__()
        return True

    def _taken(self) -> ConfigError:
        return ConfigError("", f"another process is changing {self._path}; try again")

    def _begin(self) -> Raw:
        try:
            if self._fd is not None:
                self._clean()
            return read_raw(self._path)
        except BaseException:
            self.__exit__()
            raise

    def _clean(self) -> None:
        """Remove what write_raw() of a process that was killed has left, and nothing else."""
        for left in self._path.parent.glob(f"{self._path.name}.*.new"):
            if left.name[len(self._path.name) + 1 : -len(".new")].isdecimal():
                try:
                    left.unlink()
                except OSError:
                    pass  # whoever cannot write here is told so by write_raw()

    def __exit__(self, *_: object) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


def write_raw(path: Path, raw: Raw) -> None:
    """Replace the file atomically and durably, mode 0600. What is changed in it is read within Changing.

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
