"""Named private keys: one file each in ``$REPO/keystore``, named and formed as Kubo does, mode 0600.

A file is called ``key_`` and the name in lower-case base32 without padding; it holds the key in libp2p's protobuf form.
The key of the node itself ("self") is in the config and never here.

Spec: https://github.com/libp2p/specs/blob/master/peer-ids/peer-ids.md#keys
"""

import base64
import binascii
import os
from pathlib import Path

from cidery.errors import IntegrityError, InvalidInput, NotFound, Unavailable
from cidery.identity.keys import MAX_ENCODED_KEY, BadKey, PrivateKey
from cidery.plain_files import NotAFile, read_plain

PREFIX = "key_"
SELF = "self"
"""Name of the node's own key."""
MAX_NAME_BYTES = 120
"""Longest name, in bytes of UTF-8: its file name, 8/5 as long, must fit into 255 bytes."""
MAX_KEYS = 100_000
"""Most keys listed."""


class BadKeyName(InvalidInput):
    """An invalid key name."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(name, reason)
        self.name = name
        self.reason = reason

    def __str__(self) -> str:
        return f"no key can be called {self.name[:40]!r}: {self.reason}"


class KeyMissing(NotFound):
    """No key of this name."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name

    def __str__(self) -> str:
        return f"there is no key called {self.name[:40]!r}"


class KeyExists(InvalidInput):
    """Another key has this name."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name

    def __str__(self) -> str:
        return f"another key is called {self.name[:40]!r} already; rename or remove it first"


class KeyDamaged(IntegrityError):
    """A file in the keystore that holds no key."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.path} holds no usable key ({self.reason}); restore it from a copy"


class KeystoreUnavailable(Unavailable):
    """The directory cannot be written."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.path} cannot be written: {self.reason}"


def file_name(name: str) -> str:
    """The name of a key's file. Raises BadKeyName."""
    try:
        raw = name.encode()
    except UnicodeEncodeError as exc:
        raise BadKeyName(name, "it is not valid Unicode") from exc
    if not raw:
        raise BadKeyName(name, "it is empty")
    if len(raw) > MAX_NAME_BYTES:
        raise BadKeyName(name, f"it has {len(raw)} bytes, at most {MAX_NAME_BYTES} are allowed")
    if name == SELF:
        raise BadKeyName(name, "that is the node's own key, which is in the config")
    if "\0" in name:
        raise BadKeyName(name, "it holds a zero byte")
    return PREFIX + base64.b32encode(raw).decode().rstrip("=").lower()


def key_name(file: str) -> str | None:
    """The key name of a file name; None if it is not a key file."""
    text = file.removeprefix(PREFIX)
    if text == file or text != text.lower():
        return None
    try:
        name = base64.b32decode(text.upper() + "=" * (-len(text) % 8)).decode()
        return name if file_name(name) == file else None
    except (binascii.Error, ValueError, BadKeyName):
        return None


class Keystore:
    """One directory of keys, ours or another program's. Methods block for a few file operations."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def names(self) -> list[str]:
        """All names, sorted; files that are not keys are skipped, at most MAX_KEYS are listed. Raises OSError."""
        try:
            files = sorted(os.listdir(self.directory))[:MAX_KEYS]
        except FileNotFoundError:
            return []
        return sorted(name for file in files if (name := key_name(file)) is not None)

    def strangers(self) -> list[str]:
        """Names of files that are not keys, sorted, at most MAX_KEYS. Raises OSError."""
        try:
            files = sorted(os.listdir(self.directory))[:MAX_KEYS]
        except FileNotFoundError:
            return []
        return [file for file in files if key_name(file) is None]

    def get(self, name: str) -> PrivateKey:
        """The key. Raises KeyMissing, KeyDamaged, BadKeyName, OSError."""
        path = self.directory / file_name(name)
        try:
            return PrivateKey.decode(read_plain(path, MAX_ENCODED_KEY + 1))
        except FileNotFoundError as exc:
            raise KeyMissing(name) from exc
        except NotAFile as exc:
            raise KeyDamaged(path, f"it is {exc.kind}, not a file") from exc
        except BadKey as exc:
            raise KeyDamaged(path, exc.reason) from exc

    def put(self, name: str, key: PrivateKey) -> bool:
        """Store a key under a name; False if it is there already. Durable on return, all or nothing.

        Raises KeyExists (another key has the name), BadKeyName, KeystoreUnavailable.
        """
        path = self.directory / file_name(name)
        part = self.directory / f".{os.getpid()}.part"
        try:
            self.directory.mkdir(mode=0o700, exist_ok=True)
            part.unlink(missing_ok=True)
            fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600)
            with os.fdopen(fd, "wb") as file:
                file.write(key.encode())
                file.flush()
                os.fsync(fd)
            try:
                os.link(part, path)  # fails if the name is taken, even by a concurrent process
            except FileExistsError:
                return self._same(name, key)
            finally:
                part.unlink()
            self._sync()
        except OSError as exc:
            raise KeystoreUnavailable(self.directory, exc.strerror or str(exc)) from exc
        return True

    def rename(self, old: str, new: str, *, force: bool = False) -> bool:
        """Rename a key; returns whether a key of the new name was replaced. Durable on return.

        Raises KeyMissing, KeyExists (unless ``force``), BadKeyName, KeystoreUnavailable.
        """
        source, target = self.directory / file_name(old), self.directory / file_name(new)
        there = target.exists()
        if not source.exists():
            raise KeyMissing(old)
        if there and not force and old != new:
            raise KeyExists(new)
        try:
            os.replace(source, target)
            self._sync()
        except OSError as exc:
            raise KeystoreUnavailable(self.directory, exc.strerror or str(exc)) from exc
        return there and old != new

    def remove(self, name: str) -> None:
        """Delete a key permanently. Raises KeyMissing, BadKeyName, KeystoreUnavailable."""
        try:
            (self.directory / file_name(name)).unlink()
            self._sync()
        except FileNotFoundError as exc:
            raise KeyMissing(name) from exc
        except OSError as exc:
            raise KeystoreUnavailable(self.directory, exc.strerror or str(exc)) from exc

    def _sync(self) -> None:
        """Make a change of names durable, where directories can be synced."""
        if hasattr(os, "O_DIRECTORY"):
            fd = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)

    def _same(self, name: str, key: PrivateKey) -> bool:
        """False if the existing key is the same. Raises KeyExists, KeyDamaged."""
        if self.get(name).encode() != key.encode():
            raise KeyExists(name)
        return False
