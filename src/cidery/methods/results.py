"""What the methods of a node give back. All are frozen; CIDs are cidery.CID, times are seconds since 1970.

Entries of directories are LsEntry (core/reading/ls.py), jobs are Job (repo/jobs.py), reports are Report
(core/diagnosis/text.py).
"""

from __future__ import annotations

from dataclasses import dataclass

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cidery.multiformats.cid import CID


@dataclass(frozen=True, slots=True)
class AddProgress:
    """How far add() is with one file."""

    name: str
    """Relative path of the file, "" for bytes and streams without a name."""
    bytes: int
    """Bytes of it that are read."""


@dataclass(frozen=True, slots=True)
class GetProgress:
    """How far get() is."""

    bytes: int
    """Bytes of files on disk, with those of an earlier run."""
    total: int | None
    """None: not known."""


@dataclass(frozen=True, slots=True)
class PinProgress:
    """How far pin.add() is."""

    blocks: int
    bytes: int


@dataclass(frozen=True, slots=True)
class PinEntry:
    """What keeps a CID from being collected."""

    cid: CID
    type: str
    """"recursive", "direct" or "indirect"."""
    name: str = ""
    expires: float | None = None
    """When the pin ends; None: never."""
    through: CID | None = None
    """Of an indirect one that was asked for: the root of a pin above it."""
    unwalked: str = ""
    """Why what is below this pin could not be listed in full; "" if it was."""


@dataclass(frozen=True, slots=True)
class PinCheck:
    """The state of one recursive pin."""

    cid: CID
    ok: bool
    bad: tuple[tuple[CID, str], ...] = ()
    """Blocks that are missing or damaged, and why."""


@dataclass(frozen=True, slots=True)
class QueuedPin:
    """A pin that a daemon makes in the background."""

    job: int
    """Number for node.jobs."""
    path: str
    status: str
    """"queued", "pinning", "pinned" or "failed"."""
    name: str
    created: float
    blocks: int
    bytes: int
    attempts: int
    error: str = ""
    """Why the last attempt failed."""
    next_try: float | None = None


@dataclass(frozen=True, slots=True)
class RemotePin:
    """What a service keeps, or is to keep."""

    cid: CID
    name: str
    status: str
    """"queued", "pinning", "pinned", "failed"; "unknown" for a word of the service's own."""
    details: str = ""
    """What the service says about the state, while one waits for it."""


@dataclass(frozen=True, slots=True)
class RemoteService:
    """A service that may be asked."""

    name: str
    endpoint: str
    valid: bool | None = None
    """Whether it answered and accepted the key; None: it was not asked."""
    counts: dict[str, int] | None = None
    """Pins in each state, of one that is valid."""


@dataclass(frozen=True, slots=True)
class FileEntry:
    """An entry of a mutable directory."""

    name: str
    cid: CID
    size: int
    """Bytes of a file; 0 for a directory."""
    is_directory: bool


@dataclass(frozen=True, slots=True)
class FileStat:
    """A mutable file or directory, or content."""

    cid: CID
    size: int
    """Bytes of a file; 0 for a directory."""
    cumulative_size: int
    """Bytes of all blocks, shared ones each time."""
    blocks: int
    """Links of the node."""
    is_directory: bool
    mode: int | None = None
    """Permission bits, if stored."""
    mtime: float | None = None
    """Time of modification, if stored."""
    stored_here: int | None = None
    """Bytes of it in this repository, if asked for."""


@dataclass(frozen=True, slots=True)
class Published:
    """A name and what it points to now."""

    name: str
    value: str
    warnings: tuple[str, ...] = ()
    """Routers that could not be reached: publishing is retried."""


@dataclass(frozen=True, slots=True)
class NameRecord:
    """The fields of an IPNS record."""

    value: str
    validity: float
    """When it ends."""
    sequence: int
    ttl: float
    """Seconds that readers may rely on it without asking again."""
    size: int
    """Bytes of the record."""
    signatures: str
    """"V2", or "V1+V2"."""
    valid: bool | None = None
    """Whether it belongs to the name that was given and has not ended; None: no name was given."""
    reason: str = ""
    """Why it is not valid."""


@dataclass(frozen=True, slots=True)
class FollowedName:
    """Somebody else's name that this node keeps alive."""

    name: str
    value: str
    validity: float
    """When its newest record ends."""


@dataclass(frozen=True, slots=True)
class Key:
    """A key of this node."""

    name: str
    id: str
    """The IPNS name that it owns (k51...)."""


@dataclass(frozen=True, slots=True)
class DagPath:
    """Where a path leads."""

    cid: CID
    """The last block on the way."""
    rest: str
    """The path inside that block."""


@dataclass(frozen=True, slots=True)
class DagSize:
    """The size of one DAG."""

    cid: CID
    blocks: int
    size: int
    """Bytes."""


@dataclass(frozen=True, slots=True)
class DagStat:
    """The sizes of DAGs, and how much they share."""

    unique_blocks: int
    total_size: int
    """Bytes of the unique blocks."""
    shared_size: int
    """Bytes saved by sharing."""
    dags: tuple[DagSize, ...]


@dataclass(frozen=True, slots=True)
class DagChange:
    """One difference of two DAGs."""

    path: str
    before: CID | None
    """None: it was added."""
    after: CID | None
    """None: it was removed."""


@dataclass(frozen=True, slots=True)
class BlockStat:
    """One block."""

    cid: CID
    size: int
    """Bytes."""


@dataclass(frozen=True, slots=True)
class CarRoot:
    """A root of an archive that was imported."""

    cid: CID
    pin_error: str
    """Why it could not be pinned; "" if it was."""


@dataclass(frozen=True, slots=True)
class CarImported:
    """What car.import_() stored."""

    blocks: int
    bytes: int
    roots: tuple[CarRoot, ...]
    """Those that were to be pinned."""


@dataclass(frozen=True, slots=True)
class Ref:
    """A link from one block to another."""

    source: CID
    target: CID
    name: str
    at: str = ""
    """Its place, after which the next page begins; "" without ``limit``."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What a node says about itself."""

    id: str
    public_key: str
    """Base64."""
    addresses: tuple[str, ...]
    agent: str
    protocols: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Peer:
    """A connection to a peer."""

    id: str
    address: str
    direction: str
    """"inbound" or "outbound"."""
    latency: float | None
    """Seconds of a round trip, if it is known."""
    muxer: str
    protocols: tuple[str, ...]
    """Of the open streams."""
    limited: bool = False
    """Whether it goes through a relay with limits, where content is not exchanged."""


@dataclass(frozen=True, slots=True)
class PeerAddresses:
    """A peer and where it can be reached."""

    id: str
    addresses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Reachability:
    """Whether others can dial this node: "Public", "Private" or "Unknown"."""

    state: str
    reachable: tuple[str, ...]
    unreachable: tuple[str, ...]
    unknown: tuple[str, ...]
    words: tuple[str, ...] = ()
    """How it can be reached, in sentences."""


@dataclass(frozen=True, slots=True)
class Bandwidth:
    """Bytes over connections; rates in bytes a second."""

    total_in: int
    total_out: int
    rate_in: float
    rate_out: float


@dataclass(frozen=True, slots=True)
class BitswapStat:
    """Counters of the block exchange since the start."""

    blocks_received: int
    bytes_received: int
    duplicate_blocks: int
    duplicate_bytes: int
    blocks_sent: int
    bytes_sent: int
    wanted: tuple[CID, ...]
    peers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DhtTable:
    """One routing table."""

    name: str
    """"wan" or "lan"."""
    is_server: bool
    peers: tuple[str, ...]
    network_size: int
    """Estimated peers; 0: not known yet."""


@dataclass(frozen=True, slots=True)
class RepoStat:
    """How much is stored."""

    blocks: int
    size: int
    """Bytes on disk."""
    limit: int
    """Datastore.StorageMax, in bytes."""
    path: str
    version: str


@dataclass(frozen=True, slots=True)
class Collected:
    """What repo.gc() did."""

    blocks: int
    """Blocks removed."""
    bytes: int
    """Bytes returned to the disk."""
    spared_for: tuple[int, ...]
    """Interrupted jobs whose blocks were spared."""


@dataclass(frozen=True, slots=True)
class CollectProgress:
    """How far repo.gc() is."""

    in_use: int
    """Blocks found in use."""
    removed: int


@dataclass(frozen=True, slots=True)
class VerifyProgress:
    """How far repo.verify() is."""

    blocks: int
    """Blocks checked."""
    fault: str
    """A block that was found to be corrupt or missing, and what was done; "" in a mere count."""


@dataclass(frozen=True, slots=True)
class PubsubMessage:
    """One message of a topic."""

    author: str
    """Peer id of its signer."""
    data: bytes
    seqno: int
    """Grows with each message of an author."""
    topic: str
