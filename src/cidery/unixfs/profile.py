"""How bytes become nodes: everything that decides the CID of an import, as one value.

Spec: IPIP-499, https://specs.ipfs.tech/ipips/ipip-0499/
"""

from dataclasses import dataclass, replace
from enum import Enum

from cidery.errors import InvalidInput
from cidery.multiformats.multihash import IDENTITY, MIN_SECURE_DIGEST, SHA2_256, hash_function, hash_names

MAX_CHUNK = 2_096_896
"""Largest chunk, in bytes: a 2 MiB block less room for the node around it (as Kubo)."""
MIN_LINKS = 2
MAX_LINKS = 8192
"""Most links of a file node, such that the node stays far below 2 MiB."""


class ImportOptionError(InvalidInput):
    """An import option that makes no sense, alone or with the others."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return self.reason


class ShardEstimate(Enum):
    """What is compared to the sharding threshold."""

    LINKS = "links"
    """Sum of the lengths of names and CIDs."""
    BLOCK = "block"
    """Length of the encoded node."""


@dataclass(frozen=True, slots=True)
class Profile:
    """A complete recipe."""

    cid_version: int
    raw_leaves: bool
    """Whether chunks are raw blocks (always CIDv1) or dag-pb nodes."""
    chunk_size: int
    """Bytes per leaf."""
    max_links: int
    """Links per file node."""
    shard_estimate: ShardEstimate
    hash_code: int = SHA2_256
    shard_threshold: int = 262_144
    """A directory whose estimate is above this many bytes is sharded."""
    hamt_fanout: int = 256
    """Buckets per node of a sharded directory."""
    directory_links: int = 0
    """A directory with more entries is sharded too; 0: only its estimate counts."""

    def shards(self, estimate: int, entries: int) -> bool:
        """Whether a directory of this estimate, in bytes, and so many entries is sharded."""
        return estimate > self.shard_threshold or 0 < self.directory_links < entries


UNIXFS_V1_2025 = Profile(1, True, 1_048_576, 1024, ShardEstimate.BLOCK)
UNIXFS_V0_2015 = Profile(0, False, 262_144, 174, ShardEstimate.LINKS)
PROFILES = {"unixfs-v1-2025": UNIXFS_V1_2025, "unixfs-v0-2015": UNIXFS_V0_2015}
"""The profiles of IPIP-499 by name."""


def profile(name: str) -> Profile:
    """A profile by name. Raises ImportOptionError."""
    if name not in PROFILES:
        raise ImportOptionError(f"unknown CID profile {name!r}; known: {', '.join(PROFILES)}")
    return PROFILES[name]


def with_options(
    base: Profile,
    *,
    cid_version: int | None = None,
    raw_leaves: bool | None = None,
    chunker: str | None = None,
    max_links: int | None = None,
    hash_name: str | None = None,
    stores_metadata: bool = False,
) -> Profile:
    """``base`` changed by the options of ``add``; None keeps what the profile says.

    As Kubo: another hash than sha2-256 forces CIDv1; version 1 implies raw leaves and version 0 none, unless told;
    ``stores_metadata`` (mode or mtime) turns raw leaves off. Raises ImportOptionError for contradictions.
    """
    hash_code = base.hash_code if hash_name is None else parse_hash(hash_name)
    version = base.cid_version if cid_version is None else cid_version
    if version not in (0, 1):
        raise ImportOptionError(f"CID version {version} is unknown; use 0 or 1")
    if hash_code != SHA2_256 and version == 0:
        if cid_version == 0:
            raise ImportOptionError("CIDv0 only supports sha2-256; use --cid-version=1 with another hash")
        version = 1
    raw = raw_leaves
    if stores_metadata:
        if raw_leaves:
            raise ImportOptionError("raw leaves cannot hold mode or mtime; drop --raw-leaves")
        raw = False
    if raw is None:
        raw = base.raw_leaves if version == base.cid_version else version == 1
    links = base.max_links if max_links is None else max_links
    if not MIN_LINKS <= links <= MAX_LINKS:
        raise ImportOptionError(f"{links} links per file node; {MIN_LINKS} to {MAX_LINKS} are allowed")
    return replace(
        base,
        cid_version=version,
        raw_leaves=raw,
        chunk_size=base.chunk_size if chunker is None else parse_chunker(chunker),
        max_links=links,
        hash_code=hash_code,
    )


def parse_chunker(text: str) -> int:
    """Bytes per chunk of ``size-N``. Raises ImportOptionError; other chunkers are not supported yet."""
    kind, _, number = text.partition("-")
    if kind != "size" or not (number.isascii() and number.isdigit()) or len(number) > 9:
        raise ImportOptionError(f"unknown chunker {text!r}; use size-N with N in bytes, as size-262144")
    size = int(number)
    if not 1 <= size <= MAX_CHUNK:
        raise ImportOptionError(f"chunks of {size} bytes; 1 to {MAX_CHUNK} are allowed")
    return size


def parse_hash(name: str) -> int:
    """Code of a hash that content may be addressed by. Raises ImportOptionError."""
    code = hash_names().get(name)
    if code is None:
        raise ImportOptionError(f"unknown hash function {name!r}; sha2-256, blake3 or blake2b-256 are usual")
    if code == IDENTITY or hash_function(code)[1] < MIN_SECURE_DIGEST:
        raise ImportOptionError(f"{name} is no secure hash; content cannot be addressed by it")
    return code
