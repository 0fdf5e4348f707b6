"""How bytes become nodes: all settings that decide the CID of an import, as one value.

Spec: IPIP-499, https://specs.ipfs.tech/ipips/ipip-0499/
"""

from enum import Enum
from typing import NamedTuple

from cidery.errors import InvalidInput
from cidery.multiformats.multihash import IDENTITY, MIN_SECURE_DIGEST, SHA2_256, hash_function, hash_names
from cidery.unixfs.chunker import Chunker, ChunkerError, parse_chunker
from cidery.unixfs.shard import MAX_FANOUT, MIN_FANOUT, is_fanout

MIN_LINKS = 2
MAX_LINKS = 8192
"""Most links of a file node, so that the node stays far below 2 MiB."""
MAX_INLINE = 128
"""Most bytes of a block inside its own CID: the specification says to refuse longer identity CIDs."""
MAX_DIRECTORY_LINKS = 1 << 20
"""Most entries of a directory of one node."""


class ImportOptionError(InvalidInput):
    """An invalid import option, alone or combined with the others."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return self.reason


class ShardEstimate(Enum):
    """The quantity that is compared to the sharding threshold."""

    LINKS = "links"
    """Sum of the lengths of names and CIDs."""
    BLOCK = "block"
    """Length of the encoded node."""
    DISABLED = "disabled"
    """Nothing: only the number of entries counts."""


class Profile(NamedTuple):
    """A complete recipe."""

    cid_version: int
    raw_leaves: bool
    """Whether chunks are raw blocks (always CIDv1) or dag-pb nodes."""
    chunk_size: int
    """Bytes per leaf; with a ``chunker`` the most."""
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
    chunker: Chunker | None = None
    """Cuts files depending on content; None: every ``chunk_size`` bytes."""
    trickle: bool = False
    """The trickle layout instead of the balanced one."""
    inline_limit: int | None = None
    """Blocks of at most this many bytes are put into their CIDs instead of the store; None: no blocks."""

    def inlines(self, size: int) -> bool:
        """Whether a block of this many bytes is put into its CID."""
        limit = MAX_INLINE if self.hash_code == IDENTITY else self.inline_limit
        return limit is not None and size <= limit

    def hash_of(self, size: int) -> int:
        """Code of the hash of a block of this many bytes. Raises ImportOptionError: too long for an identity CID."""
        if self.inlines(size):
            return IDENTITY
        if self.hash_code == IDENTITY:
            raise ImportOptionError(
                f"--hash=identity puts blocks into their CIDs, and one has {size} bytes: at most {MAX_INLINE} are"
                " allowed; --inline does so with small blocks only"
            )
        return self.hash_code

    def shards(self, estimate: int, entries: int) -> bool:
        """Whether a directory with this estimate, in bytes, and this many entries is sharded."""
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
    trickle: bool | None = None,
    inline_limit: int | None = None,
    directory_links: int | None = None,
    hamt_fanout: int | None = None,
    version_stated: bool = False,
) -> Profile:
    """``base`` changed by the options of ``add``; None keeps the profile's value.

    As in Kubo: a hash other than sha2-256 forces CIDv1, unless version 0 was stated (``version_stated``: by the
    base); version 1 implies raw leaves and version 0 none, unless stated;
    ``stores_metadata`` (mode or mtime) turns raw leaves off. Raises ImportOptionError for contradictions.
    """
    hash_code = base.hash_code if hash_name is None else parse_hash(hash_name, identity=True)
    version = base.cid_version if cid_version is None else cid_version
    if version not in (0, 1):
        raise ImportOptionError(f"CID version {version} is unknown; use 0 or 1")
    if hash_code != SHA2_256 and version == 0:
        if cid_version == 0 or version_stated:
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
    changed = base._replace(cid_version=version, raw_leaves=raw, max_links=links, hash_code=hash_code)
    if chunker is not None:
        try:
            changed = with_chunker(changed, parse_chunker(chunker))
        except ChunkerError as exc:
            raise ImportOptionError(exc.reason) from exc
    if trickle is not None:
        changed = changed._replace(trickle=trickle)
    return _with_limits(changed, inline_limit, directory_links, hamt_fanout)


def _with_limits(
    changed: Profile, inline_limit: int | None, directory_links: int | None, hamt_fanout: int | None
) -> Profile:
    if inline_limit is not None:
        if not 0 <= inline_limit <= MAX_INLINE:
            raise ImportOptionError(f"inlining blocks of {inline_limit} bytes; 0 to {MAX_INLINE} are allowed")
        changed = changed._replace(inline_limit=inline_limit)
    if directory_links is not None:
        if not 0 <= directory_links <= MAX_DIRECTORY_LINKS:
            raise ImportOptionError(
                f"{directory_links} links per directory; 0 (no bound) to {MAX_DIRECTORY_LINKS} are allowed"
            )
        changed = changed._replace(directory_links=directory_links)
    if hamt_fanout is not None:
        if not is_fanout(hamt_fanout):
            raise ImportOptionError(
                f"a HAMT fanout of {hamt_fanout}; powers of two from {MIN_FANOUT} to {MAX_FANOUT} are allowed"
            )
        changed = changed._replace(hamt_fanout=hamt_fanout)
    return changed


def with_chunker(base: Profile, chunker: Chunker) -> Profile:
    """``base`` with files cut by ``chunker``."""
    return base._replace(chunk_size=chunker.max_size, chunker=None if chunker.is_fixed else chunker)


_OLD_NAMES = {"sha3": "sha3-512"}
"""Names of hash functions that Go's multihash accepts too."""


def parse_hash(name: str, *, identity: bool = False) -> int:
    """Code of a hash that content may be addressed by, or of identity if allowed. Raises ImportOptionError."""
    code = hash_names().get(_OLD_NAMES.get(name, name))
    if code is None:
        raise ImportOptionError(f"unknown hash function {name!r}; sha2-256, blake3 or blake2b-256 are usual")
    if identity and code == IDENTITY:
        return code
    if code == IDENTITY or hash_function(code)[1] < MIN_SECURE_DIGEST:
        raise ImportOptionError(f"{name} is no secure hash; content cannot be addressed by it")
    return code
