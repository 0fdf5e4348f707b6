"""What AutoTLS keeps: the account at an authority, and the certificate with its key.

::

    autotls/HOST-HASH/account.json       of the authority at one URL
    autotls/HOST-HASH/certificate.pem    the key, then the chain

Both are secret: mode 0600, in folders of mode 0700, replaced atomically and durably.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from cidery.errors import IntegrityError, Unavailable
from cidery.plain_files import read_plain

MAX_FILE = 64 * 1024
"""Bytes of either file that are read."""


class Account(NamedTuple):
    """At an authority."""

    key: str
    """Private, in PEM."""
    kid: str = ""
    """Its URL; "" until it is made."""
    failures: int = 0
    """Attempts in a row that came to nothing..."""
    next_try: float = 0.0
    """... and when the next one may begin: seconds since 1970."""
    asked: str = ""
    """Digest of the broker and its question: with another broker or token, earlier failures say nothing."""


class AccountDamaged(IntegrityError):
    """A file that holds no account."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.path} holds no account: {self.reason}"


class CannotKeep(Unavailable):
    """The disk does not take a certificate, or does not give it back."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


def decode_account(data: bytes, path: Path) -> Account:
    """Raises AccountDamaged only (fuzzed)."""
    try:
        raw = json.loads(data)
    except (ValueError, RecursionError) as exc:
        raise AccountDamaged(path, "it is no JSON") from exc
    if not isinstance(raw, dict) or not isinstance(raw.get("key"), str):
        raise AccountDamaged(path, "it has no key")
    kid, failures, next_try = raw.get("kid", ""), raw.get("failures", 0), raw.get("next_try", 0.0)
    asked = raw.get("asked", "")
    if (
        not isinstance(kid, str)
        or not isinstance(asked, str)
        or not isinstance(failures, int)
        or not isinstance(next_try, int | float)
    ):
        raise AccountDamaged(path, "its values are of other kinds")
    if not 0 <= failures < 1 << 31 or not 0 <= next_try < 1 << 40:
        raise AccountDamaged(path, "its numbers are out of range")
    return Account(raw["key"], kid, int(failures), float(next_try), asked)


class AutoTlsFiles:
    """Of one authority. Methods block for a few file operations, and raise CannotKeep."""

    def __init__(self, root: Path, directory_url: str) -> None:
        """``root``: RepoLayout.autotls. ``directory_url``: of the authority."""
        host = "".join(char if char.isalnum() or char in ".-" else "_" for char in urlsplit(directory_url).netloc)
        self._root = root
        self.folder = root / f"{host[:80]}-{hashlib.sha256(directory_url.encode()).hexdigest()[:12]}"
        self.certificate = self.folder / "certificate.pem"
        self.account = self.folder / "account.json"

    def read_certificate(self) -> bytes | None:
        """The key and the chain; None: there is none."""
        return _read(self.certificate)

    def read_account(self) -> Account | None:
        """None: there is none. Raises also AccountDamaged."""
        data = _read(self.account)
        return None if data is None else decode_account(data, self.account)

    def write_certificate(self, pem: bytes) -> None:
        self._write(self.certificate, pem)

    def write_account(self, account: Account) -> None:
        self._write(self.account, json.dumps(account._asdict(), indent=2).encode() + b"\n")

    def _write(self, path: Path, data: bytes) -> None:
        part = path.with_name(path.name + ".new")
        try:
            for folder in (self._root, self.folder):
                folder.mkdir(mode=0o700, exist_ok=True)
            part.unlink(missing_ok=True)
            with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(part, path)
            for folder in (self.folder, self._root, self._root.parent):
                _sync(folder)
        except OSError as exc:
            raise CannotKeep(path, (exc.strerror or str(exc)).lower()) from exc


def _read(path: Path) -> bytes | None:
    try:
        return read_plain(path, MAX_FILE)
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise CannotKeep(path, (exc.strerror or str(exc)).lower()) from exc


def _sync(folder: Path) -> None:
    """So that the names in it are durable, where the system can do that."""
    if os.name == "nt":
        return
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
