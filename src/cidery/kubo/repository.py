"""A Kubo repository on disk: whether it can be read, and the records of its database. Never written to.

While it is open, Kubo's lock is held in a form that others can share but Kubo cannot, so Kubo cannot start.

Spec: https://github.com/ipfs/kubo/blob/master/docs/datastores.md
"""

import base64
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, Self

from cidery.disk.file_locks import FileLocked, share_lock
from cidery.errors import IntegrityError, InvalidInput, Unavailable
from cidery.identity.peer_id import PeerId, PeerIdError
from cidery.ipld import dag_cbor
from cidery.ipld.data_model import CodecError
from cidery.kubo.flatfs import key_multihash
from cidery.kubo.leveldb import LevelDb, read_file
from cidery.kubo.leveldb_format import LevelDbError
from cidery.multiformats.cid import CID, CIDError
from cidery.multiformats.protobuf import BYTES, VARINT, ProtobufError, expect, read_fields
from cidery.repo.layout import RepoKind, RepoLayout

MAX_SPEC_BYTES = 1 << 20
"""Largest datastore_spec read."""
MAX_VERSION_TEXT = 32
NEWEST = 18
"""The repository version of Kubo 0.40 to 0.43, the newest that this code supports."""
SHARDING_PREFIX = b"/repo/flatfs/shard/v1/"
MAX_PATH_BYTES = 4096
"""Longest path of a file that holds blocks."""

_PINS = b"/pins/pin/"
_OLD_PINS = b"/local/pins"
_MFS_ROOT = b"/local/filesroot"
_FILESTORE = b"/filestore/"
_NAMES = b"/ipns/"
_RECURSIVE, _DIRECT = 0, 1


class KuboUnreadable(InvalidInput):
    """The path is not a repository that can be imported."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.path} cannot be imported: {self.reason}"


class KuboRunning(Unavailable):
    """Kubo has the repository open."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.path = path

    def __str__(self) -> str:
        return f"Kubo is running on {self.path}; stop it (ipfs shutdown) and try again: it changes what is read"


class RecordDamaged(IntegrityError):
    """A malformed record of the database."""

    def __init__(self, key: bytes, reason: str) -> None:
        super().__init__(key, reason)
        self.key = key
        self.reason = reason

    def __str__(self) -> str:
        return f"the record {self.key[:80].decode('utf-8', 'replace')!r} of Kubo is damaged: {self.reason}"


class KuboPin(NamedTuple):
    """A pin as Kubo stores it."""

    cid: CID
    recursive: bool
    name: str


class KuboReference(NamedTuple):
    """A block that Kubo left in a file or at a URL."""

    multihash: bytes
    place: str
    """Path below the directory that holds the repository, or a URL."""
    offset: int
    length: int
    """Bytes."""

    @property
    def is_url(self) -> bool:
        return self.place.startswith(("http://", "https://"))


class KuboRepository:
    """An open source. A context manager: it holds the lock until it is closed."""

    def __init__(self, path: Path, lock: int, version: int, blocks: Path, database: Path) -> None:
        self.path = path
        self.version = version
        self.blocks = blocks
        self._lock = lock
        self._database = database

    @classmethod
    def open(cls, path: Path) -> Self:
        """Inspect the repository and keep Kubo from starting on it.

        Raises KuboUnreadable, KuboRunning, OSError.
        """
        path = Path(os.path.abspath(path))
        try:
            if RepoLayout(path).kind() is not RepoKind.KUBO:
                raise KuboUnreadable(path, "it is not a Kubo repository (one has the files config and datastore_spec)")
            version = _version(path)
            blocks, database = _places(path)
            if not read_file(blocks / "SHARDING", MAX_SPEC_BYTES).startswith(SHARDING_PREFIX):
                raise KuboUnreadable(path, "the file SHARDING of its blocks names an unknown layout")
        except FileNotFoundError as exc:
            raise KuboUnreadable(path, f"{exc.filename} is missing") from exc
        except PermissionError as exc:
            raise KuboUnreadable(path, f"{exc.filename} may not be read; run this as its owner") from exc
        except LevelDbError as exc:
            raise KuboUnreadable(path, exc.reason) from exc
        try:
            lock = share_lock(path / "repo.lock")
        except FileNotFoundError:
            lock = -1  # a copy without the file: Kubo creates it when it starts
        except FileLocked as exc:
            raise KuboRunning(path) from exc
        return cls(path, lock, version, blocks, database)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def peer_id(self) -> PeerId | None:
        """The peer id in its config; None if it cannot be read. Blocks."""
        try:
            config = json.loads(read_file(self.path / "config", MAX_SPEC_BYTES))
            return PeerId.parse(config["Identity"]["PeerID"])
        except (OSError, LevelDbError, ValueError, TypeError, KeyError, RecursionError, PeerIdError):
            return None

    def database(self) -> LevelDb:
        """Its records. Raises NoLevelDb, LevelDbError, LevelDbTooLarge, OSError."""
        return LevelDb.open(self._database)


def _version(path: Path) -> int:
    text = read_file(path / "version", MAX_VERSION_TEXT).strip()
    if not text.isdigit():
        raise KuboUnreadable(path, "its version file holds no number")
    if int(text) > NEWEST:
        raise KuboUnreadable(path, f"it has version {int(text)}, up to {NEWEST} can be read; upgrade Cidery")
    return int(text)


def _places(path: Path) -> tuple[Path, Path]:
    """Where the blocks and the database are. Raises KuboUnreadable, OSError."""
    try:
        spec = json.loads(read_file(path / "datastore_spec", MAX_SPEC_BYTES))
    except FileNotFoundError:
        return path / "blocks", path / "datastore"  # before there was another choice
    except (ValueError, RecursionError) as exc:
        raise KuboUnreadable(path, "its datastore_spec is not JSON") from exc
    found: dict[str, Path] = {}
    for mountpoint, kind, place in _mounts(spec):
        if (mountpoint, kind) not in (("/blocks", "flatfs"), ("/", "levelds")) or not place:
            raise KuboUnreadable(
                path,
                f"its datastore keeps {mountpoint[:40]} in {kind[:40]}; flatfs for /blocks and levelds for / can be "
                "read: convert it with ipfs-ds-convert, or export with ipfs dag export",
            )
        found[mountpoint] = path / place
    if set(found) != {"/blocks", "/"}:
        raise KuboUnreadable(path, "its datastore_spec does not mount / and /blocks")
    return found["/blocks"], found["/"]


def _mounts(spec: Any) -> Iterator[tuple[str, str, str]]:
    """(mount point, type, path) of each store that a spec names."""
    mounts = spec.get("mounts") if isinstance(spec, dict) and spec.get("type") == "mount" else [spec]
    for mount in mounts if isinstance(mounts, list) else []:
        if not isinstance(mount, dict):
            continue
        child = mount.get("child", mount)
        while isinstance(child, dict) and isinstance(child.get("child"), dict):  # wrappers, such as measure
            child = child["child"]
        if isinstance(child, dict):
            yield str(mount.get("mountpoint", "/")), str(child.get("type", "nothing")), str(child.get("path", ""))


# -- records -----------------------------------------------------------------------------------------------------------


def pins(database: LevelDb) -> Iterator[KuboPin | RecordDamaged]:
    """All pins; a RecordDamaged for each that cannot be read. Raises LevelDbError, OSError."""
    for key, value in database.scan(_PINS):
        try:
            yield decode_pin(key, value)
        except RecordDamaged as exc:
            yield exc


def has_old_pins(database: LevelDb) -> bool:
    """Whether there are pins in the format before go-ipfs 0.8, which is not read. Raises LevelDbError, OSError."""
    return database.get(_OLD_PINS) is not None


def decode_pin(key: bytes, value: bytes) -> KuboPin:
    """One record. Raises RecordDamaged, nothing else (fuzzed)."""
    try:
        found = dag_cbor.decode(value, canonical=False)
    except CodecError as exc:
        raise RecordDamaged(key, exc.reason) from exc
    if not isinstance(found, dict):
        raise RecordDamaged(key, "not a map")
    raw, mode, name = found.get("cid"), found.get("mode"), found.get("name", "")
    if not isinstance(raw, bytes) or mode not in (_RECURSIVE, _DIRECT) or not isinstance(name, str):
        raise RecordDamaged(key, "not the fields of a pin")
    try:
        return KuboPin(CID.decode(raw), mode == _RECURSIVE, name)
    except CIDError as exc:
        raise RecordDamaged(key, exc.reason) from exc


def mfs_root(database: LevelDb) -> CID | None:
    """The root of Kubo's mutable files; None if they were never used. Raises RecordDamaged, LevelDbError, OSError."""
    raw = database.get(_MFS_ROOT)
    if raw is None:
        return None
    try:
        return CID.decode(raw)
    except CIDError as exc:
        raise RecordDamaged(_MFS_ROOT, exc.reason) from exc


class KuboName(NamedTuple):
    """A name that Kubo published with a key of its own."""

    name: PeerId
    record: bytes
    """As signed; not checked."""


def published_names(database: LevelDb) -> Iterator[KuboName | RecordDamaged]:
    """Names that Kubo keeps alive; a RecordDamaged for each that cannot be read. Raises LevelDbError, OSError."""
    for key, value in database.scan(_NAMES):
        try:
            yield KuboName(decode_name_key(key), value)
        except RecordDamaged as exc:
            yield exc


def decode_name_key(key: bytes) -> PeerId:
    """The name in a key: its peer id in base32. Raises RecordDamaged, nothing else (fuzzed)."""
    text = key.removeprefix(_NAMES)
    try:
        return PeerId.decode(base64.b32decode(text + b"=" * (-len(text) % 8)))
    except (ValueError, PeerIdError) as exc:
        raise RecordDamaged(key, "its key is no name") from exc


def references(database: LevelDb) -> Iterator[KuboReference | RecordDamaged]:
    """Blocks in files or at URLs; a RecordDamaged for each that cannot be read. Raises LevelDbError, OSError."""
    for key, value in database.scan(_FILESTORE):
        try:
            yield decode_reference(key, value)
        except RecordDamaged as exc:
            yield exc


def decode_reference(key: bytes, value: bytes) -> KuboReference:
    """One record. Raises RecordDamaged, nothing else (fuzzed)."""
    multihash = key_multihash(key.removeprefix(_FILESTORE).decode("ascii", "replace"))
    if multihash is None:
        raise RecordDamaged(key, "its key names no hash")
    place, offset, length = b"", 0, 0
    try:
        for number, wire, found, view in read_fields(value):
            if number == 1:
                expect(wire, BYTES, "FilePath")
                place = bytes(view)
            elif number in (2, 3):
                expect(wire, VARINT, "Offset" if number == 2 else "Size")
                offset, length = (found, length) if number == 2 else (offset, found)
    except ProtobufError as exc:
        raise RecordDamaged(key, exc.reason) from exc
    if not 0 < len(place) <= MAX_PATH_BYTES or b"\0" in place:
        raise RecordDamaged(key, "it names no file")
    return KuboReference(multihash, os.fsdecode(place), offset, length)
