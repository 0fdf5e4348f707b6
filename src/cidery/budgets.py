"""Limits on what others may cost this node: per connection, peer and client, and in total, with units and reasons.

A bound on things held at a time is a Limit; a bound on events in a period is a Rate, kept by a Bucket. The table in
docs/design/budgets.md is table(); a test compares them.
"""

from enum import Enum
from typing import NamedTuple


class Per(Enum):
    """Whose budget it is."""

    CONNECTION = "connection"
    PEER = "peer"
    CLIENT = "client"
    NODE = "node"


class Limit(NamedTuple):
    """At most ``amount`` at a time."""

    amount: int
    unit: str
    per: Per
    beyond: str
    """The consequence of exceeding it."""
    reason: str

    @property
    def size(self) -> str:
        if not self.unit.startswith("bytes"):
            return f"{self.amount:,} {self.unit}"
        mib, rest = divmod(self.amount, 1 << 20)
        return (f"{self.amount >> 10} KiB" if rest else f"{mib} MiB") + self.unit.removeprefix("bytes")


class Rate(NamedTuple):
    """``amount`` per second, and ``burst`` at once after a pause."""

    amount: float
    burst: float
    unit: str
    per: Per
    beyond: str
    reason: str

    @property
    def size(self) -> str:
        return f"{self.amount:,g} {self.unit} a second, {self.burst:,g} at once"


class Bucket:
    """Fills at a rate, up to its burst. Taking more than it holds leaves a debt: later takers wait longer."""

    __slots__ = ("_at", "_rate", "_tokens")

    def __init__(self, rate: Rate, now: float) -> None:
        self._rate = rate
        self._tokens, self._at = rate.burst, now

    def reserve(self, now: float, amount: float = 1.0) -> float:
        """Take ``amount``; returns the seconds until it is available."""
        self._tokens = min(self._rate.burst, self._tokens + (now - self._at) * self._rate.amount) - amount
        self._at = now
        return max(0.0, -self._tokens / self._rate.amount)

    def give_back(self, amount: float = 1.0) -> None:
        self._tokens = min(self._rate.burst, self._tokens + amount)


# --- connections and streams

CONNECTIONS = Limit(256, "connections", Per.NODE, "a further inbound one is closed", "each costs 0.2 MiB and a file")
CONNECTIONS_OF_PEER = Limit(
    4, "connections", Per.PEER, "a further inbound one is closed", "both may dial at once, by TCP and QUIC"
)
PATHS = Limit(
    24,
    "more TCP connections below it",
    Per.CONNECTION,
    "a further one is closed",
    "over a round trip of seconds each begins with 14 KiB",
)
PATHS_IN_ALL = Limit(
    128, "of these from outside", Per.NODE, "a further one is closed", "each holds a file, and up to 300 KiB"
)
PATHS_DIALLED = Limit(128, "of these that this node opens", Per.NODE, "no further one is opened", "each holds a file")
PATHS_ARRIVING = Limit(
    96,
    "of these whose connection is not there yet",
    Per.NODE,
    "the oldest of the host that has most ends",
    "those of four connections at once",
)
KNOWN_PEERS = Limit(
    10_000,
    "peers whose addresses are known",
    Per.NODE,
    "the one heard of longest ago is forgotten",
    "each with up to 32",
)
HANDSHAKES = Limit(
    64, "inbound handshakes", Per.NODE, "the oldest of the host that has most ends", "a slow one may be far away"
)
UNPROVEN_HANDSHAKES = Limit(
    16,
    "QUIC handshakes whose source may be forged",
    Per.NODE,
    "a further one must prove its address first",
    "the answer to a forged source goes to a stranger",
)
QUIC_HANDSHAKES = Rate(
    200, 400, "QUIC handshakes from outside", Per.NODE, "the datagram is dropped, and sent again", "each costs 1 ms"
)
QUIC_RESETS = Rate(
    50, 100, "datagrams of forgotten connections answered", Per.NODE, "they are dropped", "who forges them gets less"
)
HANDSHAKE_BYTES = Limit(
    128 * 1024, "bytes before it is authenticated", Per.CONNECTION, "the connection ends", "a handshake has some 2 KiB"
)
RECEIVED = Limit(
    64 << 20, "bytes that came and are not read", Per.CONNECTION, "the connection ends", "what a peer may park"
)
RECEIVED_IN_ALL = Limit(
    96 << 20, "bytes that came and are not read", Per.NODE, "the connection that holds most ends", "all peers together"
)
STREAMS = Limit(
    256, "open inbound streams", Per.CONNECTION, "the stream is reset", "as Kubo; each has a window of 256 KiB"
)
STREAMS_OPENED = Rate(
    1000, 2000, "streams opened", Per.CONNECTION, "the connection ends", "each costs 0.2 ms of negotiation"
)
UNACKED_STREAMS = Limit(
    256, "streams of ours that wait for their answer", Per.CONNECTION, "no further one is opened", "the yamux spec"
)
SMALL_FRAMES = Rate(
    5000,
    20_000,
    "frames below 1 KiB",
    Per.CONNECTION,
    "the connection ends",
    "each costs 2 us whatever it carries; bulk data needs one per 128 KiB",
)
CONTROL_FRAMES_WAITING = Limit(
    4096, "control frames to be sent", Per.CONNECTION, "the connection ends", "the peer asks and does not read"
)
WINDOWS_GROWN = Limit(
    64 << 20, "bytes of windows beyond 256 KiB each", Per.CONNECTION, "they grow no more", "1.3 Gbit/s over 400 ms"
)
IDENTIFICATIONS = Rate(
    1, 32, "identify requests and pushes", Per.CONNECTION, "the connection ends", "each costs a signature or a record"
)
PING_STREAMS = Limit(2, "ping streams", Per.PEER, "the stream is reset", "the ping spec")

# --- Bitswap

BITSWAP_READING = Limit(
    16, "streams being read", Per.PEER, "further ones wait", "each may hold an unfinished message of 4 MiB"
)
BITSWAP_HALF_CLOSED = Limit(
    64, "streams that we have ended, and it has not", Per.PEER, "the oldest is reset", "each has a window"
)
BITSWAP_AHEAD = Limit(
    4 << 20, "bytes of whole messages that wait", Per.CONNECTION, "nothing more is read", "that much of each stream"
)
BITSWAP_VERIFYING = Limit(8, "messages being hashed", Per.PEER, "nothing more is read", "of 4 MiB each")
BITSWAP_PARTS = Limit(
    16 << 20, "bytes of blocks that were cut", Per.NODE, "the oldest is fetched anew", "one of 2 MiB from each of eight"
)
BITSWAP_WORK = Rate(
    400_000,
    800_000,
    "fields of messages",
    Per.PEER,
    "what it sends is read later",
    "each costs 1 us, a want or block 16 more: 25,000 wants a second",
)
BITSWAP_FIELDS = Limit(
    128 * 1024, "fields in a message", Per.PEER, "the stream is reset", "16,384 wants of at most six fields"
)
BITSWAP_WANTS = Limit(1024, "wants that cannot be served", Per.PEER, "the oldest is forgotten", "as boxo")
BITSWAP_ANSWERS = Limit(
    16 * 1024, "answers that wait", Per.PEER, "further wants are dropped", "it asks without reading"
)
BITSWAP_UNWANTED = Limit(
    64 << 20, "bytes of blocks nobody asked for", Per.PEER, "the connection ends", "late answers to cancels fit"
)
BITSWAP_WRONG = Limit(
    2 << 20,
    "bytes of blocks it was never asked for",
    Per.PEER,
    "it is shunned for ten minutes",
    "it lies; those that an eighth of what it sent rightly makes up for do not count",
)
BITSWAP_UNREAD = Limit(
    48 << 20,
    "bytes of answers that peers do not read",
    Per.NODE,
    "the message that nothing was read of for longest is sent again later",
    "a message holds 1 MiB, a thousand peers may read none",
)
BITSWAP_SERVING = Limit(4, "messages being read from the store", Per.NODE, "the others wait in order", "1 MiB each")

# --- the DHT

DHT_REQUESTS = Rate(
    200, 1000, "requests", Per.CONNECTION, "they are answered later", "each costs 0.3 ms; a look-up sends one"
)

DHT_STREAMS = Limit(32, "streams of the DHT", Per.PEER, "the stream is reset", "a look-up needs one")
DHT_RECORDS_OF_PEER = Limit(
    1_000_000,
    "records of what it provides",
    Per.PEER,
    "further ones are refused",
    "twenty million CIDs over ten thousand servers bring 40,000 to each",
)
DHT_RECORDS = Limit(
    4_000_000, "records of what peers provide", Per.NODE, "further ones are refused", "some 400 MB of disk"
)
DHT_RECORDS_WAITING = Limit(
    8192, "of them that wait to be written", Per.NODE, "further ones are refused", "the disk is too slow for them"
)
DHT_VALUES = Limit(20_000, "values", Per.NODE, "the one that came longest ago makes room", "at most 200 MB of disk")

# --- work for peers behind NATs; the limits of the relay are settings: Swarm.RelayService

AUTONAT_DIALS = Limit(30, "dials for others in a minute", Per.NODE, "the question is refused", "as Kubo")
AUTONAT_DIALS_OF_PEER = Limit(3, "of them", Per.PEER, "the question is refused", "as Kubo")
AUTONAT_OTHER_HOSTS = Limit(
    12, "of them to another host than the asker's", Per.NODE, "the question is refused", "strangers are dialled"
)
RELAY_CONNECTS = Limit(
    60, "circuits asked for in a minute", Per.PEER, "further ones are refused", "each makes another peer work"
)
PUNCHES = Limit(
    16, "peers with whom holes are punched", Per.NODE, "others stay behind the relay", "packets to strangers"
)

# --- pubsub; a heartbeat is a second

PUBSUB_PEERS = Limit(4096, "peers of pubsub", Per.NODE, "later ones are passed over", "more than there are connections")
PUBSUB_TOPICS_OF_PEER = Limit(
    1000, "topics", Per.PEER, "further ones are dropped, and held against it", "programs follow some dozens"
)
PUBSUB_TOPICS = Limit(50_000, "topics of all peers", Per.NODE, "further ones are dropped", "256 peers of 200 each")
PUBSUB_SEEN = Limit(100_000, "ids of messages", Per.NODE, "the oldest go first", "some 20 MB")
PUBSUB_AUTHORS = Limit(10_000, "authors of messages", Per.NODE, "the oldest go first", "the last number of each")
PUBSUB_HISTORY = Limit(
    32 << 20, "bytes of messages to ask for", Per.NODE, "the oldest go first", "those of five heartbeats"
)
PUBSUB_OUTBOX = Limit(
    2 << 20, "bytes of messages that wait for it", Per.PEER, "further ones are not sent", "it can ask for them"
)
PUBSUB_PARTS = Limit(
    20_000,
    "parts of a frame",
    Per.PEER,
    "the stream is reset",
    "honest frames have far fewer, and each costs more than its bytes",
)
PUBSUB_OFFERS = Limit(10, "IHAVE frames in a heartbeat", Per.PEER, "further ones are passed over", "as go-libp2p")
PUBSUB_OFFERED = Limit(
    5000, "ids in a heartbeat, offered or asked for", Per.PEER, "further ones are passed over", "as go-libp2p"
)
PUBSUB_UNWANTED = Limit(
    1000, "IDONTWANT ids in a heartbeat", Per.PEER, "further ones are passed over", "a saving, nothing more"
)
PUBSUB_REPEATS = Limit(3, "answers to one question", Per.PEER, "a further one is not given", "as go-libp2p")
PUBSUB_PROMISED = Limit(20_000, "messages asked for", Per.NODE, "no more are asked for", "what four peers may offer")
PUBSUB_BACKOFFS = Limit(20_000, "ended mesh links", Per.NODE, "further ones are not remembered", "a minute each")

# --- HTTP

RPC_CONNECTIONS = Limit(
    1280, "connections to the RPC", Per.NODE, "the one idle longest is closed", "a sixth of 8,192 open files"
)
RPC_CALLS = Limit(256, "calls", Per.NODE, "a further one waits", "each may hold some MiB and a fetch session")
RPC_UPLOADS = Limit(
    192, "of them with a body", Per.NODE, "the one silent longest ends, or the new one waits", "they may be stuck"
)
RPC_AHEAD = Limit(
    16 << 20,
    "bytes of the answer to an upload that is still arriving",
    Per.CONNECTION,
    "the upload waits",
    "browsers read no answer before they have sent all: lines for some 100,000 files",
)
RPC_WAITING = Limit(1024, "calls that wait", Per.NODE, "a further one is refused", "a connection each; 20 s at most")
RPC_SHORT_CALLS = Limit(
    32,
    "calls more of one value",
    Per.NODE,
    "a further one waits",
    "stuck ones must not lock out the user: 10 s each",
)
MISS_SESSIONS = Limit(
    256,
    "sessions of gateway workers",
    Per.NODE,
    "a further request for what is not stored gets 504",
    "a fifth of the RPC's connections: the others are the user's",
)
GATEWAY_CONNECTIONS = Limit(
    2048, "connections to the gateway", Per.NODE, "the one idle longest is closed", "a sixth of 1,024 open files"
)
GATEWAY_REQUESTS = Limit(
    4096, "requests to the gateway", Per.NODE, "a further one gets 429", "as Kubo; Gateway.MaxConcurrentRequests"
)
GATEWAY_CLIENT_REQUESTS = Limit(
    256, "requests to the gateway", Per.CLIENT, "a further one gets 429", "each may hold a session; 40 browsers"
)
GATEWAY_BODIES = Limit(
    32, "answers being read", Per.NODE, "they wait; a reader below 32 KiB/s loses its place", "each holds 3 MiB"
)
STRANGER_FETCHES = Limit(
    16, "fetches from other nodes", Per.CLIENT, "a further request gets 429", "strangers only; some of a page"
)
STRANGER_BYTES = Rate(
    8,
    1024,
    "MiB from other nodes",
    Per.CLIENT,
    "answers slow down, new ones get 429",
    "strangers only; a film has 1 GiB",
)
STRANGER_WAITING = Limit(
    120, "seconds of waiting for other nodes", Per.CLIENT, "429, or the answer ends", "strangers only; of each answer"
)
STRANGER_NAMES = Rate(
    1,
    60,
    "names looked up",
    Per.CLIENT,
    "a further request gets 429",
    "strangers only; what is cached is free; a page links a few sites",
)
H2_STREAMS = Limit(
    100, "requests of HTTP/2", Per.CONNECTION, "the connection ends, or the request is refused", "RFC 9113, 6.5.2"
)
H2_RESETS = Rate(
    20, 200, "requests of HTTP/2 that are reset", Per.CONNECTION, "the connection ends", "rapid reset: CVE-2023-44487"
)
H2_CONTROL = Rate(
    20,
    200,
    "PINGs, SETTINGS and frames that say nothing",
    Per.CONNECTION,
    "the connection ends",
    "some are answered, and none is needed often",
)
STREAM_ANSWERS = Limit(
    8,
    "answers of HTTP over streams",
    Per.PEER,
    "a further request gets 429",
    "each holds 2 MiB for a peer that does not read",
)
ACCESS_LINES = Limit(
    64 * 1024,
    "lines of the access log that wait",
    Per.NODE,
    "further ones are lost",
    "the disk is slow; 64 MiB at most",
)
UPLOAD_ROOTS = Limit(
    64 * 1024,
    "files outside folders",
    Per.CLIENT,
    "the upload is refused",
    "each is a root: 80 us and a line of answer",
)

# --- denylists, which others may write

DENY_FILE = Limit(512 << 20, "bytes of a denylist", Per.NODE, "it is not read", "7 million rules")
DENY_RULES = Limit(4_000_000, "rules of a denylist", Per.NODE, "it is not used", "22 bytes each, 2 us to load")
DENY_PREFIXES = Limit(
    100_000, "rules of a denylist with a path and *", Per.NODE, "it is not used", "300 bytes each, compared in turn"
)

# --- dialling

DIALS = Rate(200, 400, "dials", Per.NODE, "they wait", "a dozen look-ups with ten peers of a few addresses each")
DIALS_PENDING = Limit(
    128,
    "addresses dialled for a second and more",
    Per.NODE,
    "the oldest of the peer that has most ends",
    "each has a file, and the system tries for two minutes",
)
HOST_DIALS = Rate(5, 10, "dials of one host", Per.NODE, "they wait", "js-libp2p resets the sixth in a second")


def budgets() -> list[tuple[str, Limit | Rate]]:
    """All of them, in the order above."""
    return [(name, value) for name, value in globals().items() if isinstance(value, Limit | Rate)]


def table() -> str:
    """The budgets as a table of Markdown."""
    lines = ["| per | budget | beyond it | why |", "|---|---|---|---|"]
    lines += [f"| {one.per.value} | {one.size} | {one.beyond} | {one.reason} |" for _, one in budgets()]
    return "\n".join(lines)
