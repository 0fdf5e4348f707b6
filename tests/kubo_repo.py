"""Repositories in the form of Kubo, for unit tests: a small writer of LevelDB files and flatfs. Real ones: interop."""

import base64
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from cidery.ipld import dag_cbor
from cidery.kubo.leveldb_format import COMPARATOR, LOG_BLOCK, LOG_HEAD, TABLE_MAGIC, masked_crc
from cidery.multiformats.cid import CID
from cidery.multiformats.protobuf import bytes_field, varint_field
from cidery.multiformats.varint import encode_uvarint

Change = tuple[bytes, bytes | None]
"""Key and value; None deletes."""
SPEC = {
    "mounts": [
        {
            "mountpoint": "/blocks",
            "path": "blocks",
            "shardFunc": "/repo/flatfs/shard/v1/next-to-last/2",
            "type": "flatfs",
        },
        {"mountpoint": "/", "path": "datastore", "type": "levelds"},
    ],
    "type": "mount",
}


def string(data: bytes) -> bytes:
    return encode_uvarint(len(data)) + data


def batch(sequence: int, changes: Sequence[Change]) -> bytes:
    body = [b"\x00" + string(key) if value is None else b"\x01" + string(key) + string(value) for key, value in changes]
    return sequence.to_bytes(8, "little") + len(changes).to_bytes(4, "little") + b"".join(body)


def log_file(records: Iterable[bytes]) -> bytes:
    out = bytearray()
    for record in records:
        at, first = 0, True
        while first or at < len(record):
            left = LOG_BLOCK - len(out) % LOG_BLOCK
            if left < LOG_HEAD:
                out += bytes(left)
                continue
            part = record[at : at + left - LOG_HEAD]
            at += len(part)
            kind = {(True, True): 1, (True, False): 2, (False, False): 3, (False, True): 4}[first, at == len(record)]
            out += masked_crc(bytes([kind]), part).to_bytes(4, "little") + len(part).to_bytes(2, "little")
            out += bytes([kind]) + part
            first = False
    return bytes(out)


def internal(key: bytes, sequence: int, *, deleted: bool = False) -> bytes:
    return key + (sequence << 8 | (not deleted)).to_bytes(8, "little")


def block(items: Sequence[tuple[bytes, bytes]]) -> bytes:
    out = b"".join(
        b"\x00" + encode_uvarint(len(key)) + encode_uvarint(len(value)) + key + value for key, value in items
    )
    return out + bytes(4) + (1).to_bytes(4, "little")


def sealed(content: bytes, kind: int = 0) -> bytes:
    raw = content + bytes([kind])
    return raw + masked_crc(raw).to_bytes(4, "little")


def table_file(changes: Sequence[tuple[bytes, int, bytes | None]], per_block: int = 2, kind: int = 0) -> bytes:
    """Of (key, sequence, value), sorted by key, newest first."""
    out = bytearray()
    index = []
    for start in range(0, len(changes), per_block):
        chosen = changes[start : start + per_block]
        items = [(internal(key, seq, deleted=value is None), value or b"") for key, seq, value in chosen]
        content = block(items)
        index.append((items[-1][0], encode_uvarint(len(out)) + encode_uvarint(len(content))))
        out += sealed(content, kind)
    meta, at_meta = block([]), len(out)
    out += sealed(meta)
    found, at_index = block(index), len(out)
    out += sealed(found)
    handles = b"".join(map(encode_uvarint, (at_meta, len(meta), at_index, len(found))))
    return bytes(out) + handles.ljust(40, b"\0") + TABLE_MAGIC


def edit(
    *, log: int = 0, added: Sequence[tuple[int, int, int, bytes, bytes]] = (), deleted: Sequence[tuple[int, int]] = ()
) -> bytes:
    """``added``: level, number, size, smallest and largest internal key."""
    out = b"\x01" + string(COMPARATOR) + b"\x02" + encode_uvarint(log) + b"\x03\x63\x04\x63"
    for level, number in deleted:
        out += b"\x06" + encode_uvarint(level) + encode_uvarint(number)
    for level, number, size, smallest, largest in added:
        out += b"\x07" + b"".join(map(encode_uvarint, (level, number, size))) + string(smallest) + string(largest)
    return out


def write_database(
    path: Path, logs: dict[int, list[bytes]], edits: Sequence[bytes] = (), tables: dict[int, bytes] | None = None
) -> None:
    """``logs``: number -> write batches; ``tables``: number -> file."""
    path.mkdir(parents=True)
    (path / "MANIFEST-000000").write_bytes(log_file(edits or [edit(log=min(logs, default=0))]))
    (path / "CURRENT").write_bytes(b"MANIFEST-000000\n")
    for number, records in logs.items():
        (path / f"{number:06d}.log").write_bytes(log_file(records))
    for number, data in (tables or {}).items():
        (path / f"{number:06d}.ldb").write_bytes(data)


def base32(data: bytes) -> str:
    return base64.b32encode(data).decode().rstrip("=")


def pin_record(number: int, cid: CID, *, recursive: bool = True, name: str = "") -> Change:
    value: dict[str, object] = {"cid": cid.encode(), "mode": 0 if recursive else 1}
    if name:
        value["name"] = name
    return b"/pins/pin/%032x" % number, dag_cbor.encode(value)  # type: ignore[arg-type]


def reference_record(multihash: bytes, place: str, offset: int, length: int) -> Change:
    value = bytes_field(1, place.encode()) + varint_field(2, offset) + varint_field(3, length)
    return b"/filestore/" + base32(multihash).encode(), value


def block_path(repo: Path, multihash: bytes) -> Path:
    name = base32(multihash)
    return repo / "blocks" / name[-3:-1] / f"{name}.data"


def write_block(repo: Path, multihash: bytes, data: bytes) -> Path:
    path = block_path(repo, multihash)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def write_repo(
    path: Path,
    blocks: Iterable[tuple[bytes, bytes]],
    changes: Sequence[Change],
    config: dict[str, object] | None = None,
) -> Path:
    """A whole one. ``blocks``: multihash and bytes."""
    (path / "blocks").mkdir(parents=True)
    (path / "blocks" / "SHARDING").write_text("/repo/flatfs/shard/v1/next-to-last/2\n")
    (path / "blocks" / "diskUsage.cache").write_text("{}")
    (path / "keystore").mkdir()
    (path / "version").write_text("14\n")
    (path / "repo.lock").touch()
    (path / "datastore_spec").write_text(json.dumps(SPEC))
    (path / "config").write_text(json.dumps(config or {}))
    for multihash, data in blocks:
        write_block(path, multihash, data)
    write_database(path / "datastore", {1: [batch(1, changes)]})
    return path
