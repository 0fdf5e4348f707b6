"""What a server of the DHT answers: one request in, one answer or a refusal out. Pure but for its stores.

Spec: https://specs.ipfs.tech/routing/kad-dht/, whose sections the comments name.
"""

from collections.abc import Callable, Sequence

from cidery.identity.peer_id import PeerId, PeerIdError
from cidery.kad.key import K, position
from cidery.kad.message import DhtMessage, KadError, MessageType, PeerInfo, Record
from cidery.kad.records import MAX_VALUE, RecordInvalid, Validators
from cidery.kad.routing_table import RoutingTable
from cidery.kad.stores import ProviderStore, ValueStore
from cidery.libp2p.protocols.addresses import Scope, keep

MAX_CONTENT_KEY = 80
"""Longest key of a provider record, in bytes: a multihash with a digest of 64 bytes and room to spare."""

PUBLIC = frozenset({Scope.PUBLIC})
PRIVATE = frozenset({Scope.PRIVATE, Scope.LOOPBACK})


class Server:
    """One per network (WAN, LAN)."""

    def __init__(
        self,
        table: RoutingTable,
        providers: ProviderStore,
        values: ValueStore,
        validators: Validators,
        *,
        scopes: frozenset[Scope],
        addrs_of: Callable[[PeerId], Sequence[bytes]],
        learn: Callable[[PeerInfo], None],
        refuses: Callable[[bytes], bool] | None = None,
    ) -> None:
        """``addrs_of``: the peer store; ``learn``: remember where a provider is. ``scopes``: addresses handed out.

        ``refuses``: whether the providers of a content key are neither kept nor told; None: of none.
        """
        self._refuses = refuses
        self._table = table
        self._providers = providers
        self._values = values
        self._validators = validators
        self._scopes = scopes
        self._addrs_of = addrs_of
        self._learn = learn

    def handle(self, sender: PeerId, request: DhtMessage, now: float) -> DhtMessage | None:
        """The answer; None where none is due. ``now``: wall clock seconds. Raises KadError: end the stream.

        Cost: below a millisecond but for PUT_VALUE, which waits for the disk.
        """
        match request.type:
            case MessageType.FIND_NODE:
                return self._find_node(request)
            case MessageType.GET_PROVIDERS:
                return self._get_providers(sender, request, now)
            case MessageType.ADD_PROVIDER:
                return self._add_provider(sender, request, now)
            case MessageType.GET_VALUE:
                return self._get_value(request, now)
            case MessageType.PUT_VALUE:
                return self._put_value(request, now)
            # #rpc-messages marks it "DEPRECATED"; libp2p, kad-dht: "Nodes should respond to this message"
            case MessageType.PING:
                return DhtMessage(MessageType.PING)

    def _find_node(self, request: DhtMessage) -> DhtMessage:
        if not request.key:
            raise KadError("FIND_NODE without a key")
        closer = self._closer(request.key)
        # #discovering-non-dht-servers: "DHT Servers MUST always respond with the information of that Peer ID, if it is
        # included in their peerstore, even if the target node isn't a DHT Server". Its private addresses stay here.
        wanted = self._named(request.key)
        if wanted is not None and wanted.addrs and all(info.peer != wanted.peer for info in closer):
            closer.insert(0, wanted)
        return DhtMessage(request.type, request.key, closer=closer)

    def _named(self, key: bytes) -> PeerInfo | None:
        """The peer a key names, client or server, with what is known of it."""
        try:
            peer = PeerId.decode(key)
        except PeerIdError:
            return None
        return PeerInfo(peer, keep(tuple(self._addrs_of(peer)), self._scopes))

    def _get_providers(self, sender: PeerId, request: DhtMessage, now: float) -> DhtMessage:
        self._check_content_key(request)
        if self._refuses is not None and self._refuses(request.key):
            return DhtMessage(request.type, request.key, closer=self._closer(request.key))
        # #content-provider-lookup: "if a DHT server holds a matching provider record, it MUST include it"
        providers = [
            PeerInfo(peer, keep(tuple(self._addrs_of(peer)), self._scopes))
            for peer in self._providers.get(request.key, now)
            if peer != sender
        ]
        return DhtMessage(request.type, request.key, closer=self._closer(request.key), providers=providers)

    def _add_provider(self, sender: PeerId, request: DhtMessage, now: float) -> DhtMessage | None:
        """Only the sender's own record counts. Against the specification nothing is echoed, as by go-libp2p."""
        self._check_content_key(request)
        # #content-provider-advertisement: "Discard providerPeers whose Peer ID is not matching the sender's Peer ID"
        own = next((info for info in request.providers if info.peer == sender), None)
        if own is None:
            # "If verification fails, the server MUST close the stream without sending a response."
            raise KadError("ADD_PROVIDER names only others as providers")
        if self._refuses is not None and self._refuses(request.key):
            return None
        addrs = keep(own.addrs, self._scopes)
        if addrs:
            self._learn(PeerInfo(sender, addrs))
        self._providers.add(request.key, sender, now)
        return None

    @staticmethod
    def _check_content_key(request: DhtMessage) -> None:
        # #content-provider-advertisement: "Verify that key is set, and doesn't exceed 80 bytes in size"
        if not 0 < len(request.key) <= MAX_CONTENT_KEY:
            raise KadError(f"a content key of {len(request.key)} bytes, 1 to {MAX_CONTENT_KEY} are allowed")

    def _get_value(self, request: DhtMessage, now: float) -> DhtMessage:
        if not request.key:
            raise KadError("GET_VALUE without a key")
        found = self._values.get(request.key, now)
        record = None
        # #record-routing: "If a DHT Server holds a matching record, it MUST include it in its response."
        if found is not None and self._acceptable(request.key, found[0]):
            record = Record(request.key, found[0])
        return DhtMessage(request.type, request.key, record, closer=self._closer(request.key))

    def _acceptable(self, key: bytes, value: bytes) -> bool:
        """A stored value may have run out since."""
        try:
            self._validators.validate(key, value)
        except RecordInvalid:
            return False
        return True

    def _put_value(self, request: DhtMessage, now: float) -> DhtMessage:
        record = request.record
        # #rpc-messages: "key on Message is set to equal key of the Record"
        if record is None or not request.key or record.key != request.key:
            raise KadError("PUT_VALUE whose record has another key, or none")
        if len(record.value) > MAX_VALUE:
            raise KadError(f"a value of {len(record.value)} bytes, at most {MAX_VALUE} are allowed")
        # #value-storage-and-retrieval: "DHT Servers MUST verify the validity of each record before accepting it.
        # Records with other prefixes are not supported by the IPFS Kademlia DHT and MUST be rejected."
        self._validators.validate(request.key, record.value)
        known = self._values.get(request.key, now)
        if known is not None and known[0] != record.value and self._acceptable(request.key, known[0]):
            # #value-storage-and-retrieval: "MUST meet validity criteria [...] before being stored or updated": of two
            # the better stays
            if self._validators.select(request.key, [record.value, known[0]]) != 0:
                raise RecordInvalid("an older value than the one held here")
        self._values.put(request.key, record.value, now)
        # #rpc-messages: "as a response echoes the request"
        return DhtMessage(request.type, request.key, Record(request.key, record.value))

    def _closer(self, key: bytes) -> list[PeerInfo]:
        """The K nearest peers that can be reached from where this network lies."""
        # #server-behavior: "MUST return the Peer ID and multiaddresses of the k closest nodes"; "MUST include
        # information about the requester, if and only if the requester is a DHT Server in its routing table"; "MUST
        # filter out private and loopback multiaddresses, and MUST NOT include peers whose only addresses are private"
        found = self._table.nearest(position(key), K)
        kept = ((info, keep(info.addrs, self._scopes)) for info in found)
        return [info if len(addrs) == len(info.addrs) else PeerInfo(info.peer, addrs) for info, addrs in kept if addrs]
