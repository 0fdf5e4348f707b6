"""Kubo's blocks: one file each, named by its multihash in upper-case base32, in folders by a part of the name.

The choice of that part does not matter for reading: the file's name holds the whole multihash.

Spec: https://github.com/ipfs/go-ds-flatfs
"""

import base64
import binascii
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from cidery.errors import IntegrityError
from cidery.ipld.block import MAX_BLOCK
from cidery.kubo.leveldb import READ_FLAGS
from cidery.multiformats.cid import CID, CIDError
from cidery.multiformats.multihash import MultihashError, decode_multihash, matches

ENDING = ".data"
MAX_KEY = 256
"""Longest key, in characters: file names end at 255."""


class BadBlockFile(IntegrityError):
    """A file whose block does not match its name."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return self.reason


def key_multihash(key: str) -> bytes | None:
    """The multihash that a key names; None if it names none.

    Until repository version 11 keys of CIDv1 held the whole CID.
    """
    if not key.isascii() or len(key) > MAX_KEY or key != key.upper():
        return None
    try:
        raw = base64.b32decode(key + "=" * (-len(key) % 8))
        if raw[:1] == b"\x01":
            return CID.decode(raw).multihash
        _, end = decode_multihash(raw)
    except (binascii.Error, ValueError, CIDError, MultihashError):
        return None
    return raw if end == len(raw) else None


def block_folders(root: Path) -> list[str]:
    """Paths of the folders that hold block files, sorted. Raises OSError."""
    with os.scandir(root) as entries:
        return sorted(
            entry.path for entry in entries if not entry.name.startswith(".") and entry.is_dir(follow_symlinks=False)
        )


def block_files(folder: str) -> Iterator[tuple[str, bytes | None]]:
    """(path, multihash) of the block files of a folder; None for one whose name is no key. Raises OSError."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith(ENDING):
                yield entry.path, key_multihash(entry.name.removesuffix(ENDING))


def read_block(path: str, multihash: bytes) -> bytes:
    """The bytes of a block file, checked against its name. Blocks; hashing releases the GIL.

    Raises BadBlockFile, with the reason, if it cannot be read for any cause.
    """
    try:
        fd = os.open(path, READ_FLAGS | getattr(os, "O_NOFOLLOW", 0))
    except OSError as exc:
        raise BadBlockFile(f"it cannot be opened ({exc.strerror})") from exc
    try:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            raise BadBlockFile("it is not a file")
        if found.st_size > MAX_BLOCK:
            raise BadBlockFile(f"it has {found.st_size} bytes, blocks have at most {MAX_BLOCK}")
        data = os.read(fd, found.st_size + 1)
    except OSError as exc:
        raise BadBlockFile(f"it cannot be read ({exc.strerror})") from exc
    finally:
        os.close(fd)
    try:
        intact = matches(multihash, data)
    except MultihashError as exc:
        raise BadBlockFile(exc.reason) from exc
    if not intact:
        raise BadBlockFile("its bytes do not match its hash")
    return data
