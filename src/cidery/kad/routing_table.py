"""The routing table: which peers of the DHT this node knows, by how much of its own position they share.

A bucket holds at most K peers. A peer that has been useful stays; a newcomer waits in the bucket's reserve until a
member fails. Several identities at one operator's addresses get few places, or one machine could fill the table.
Pure: who answers and who does not is told to it.

Spec: https://specs.ipfs.tech/routing/kad-dht/#routing-table
"""

import json
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Sequence
from heapq import nsmallest

from cidery.identity.peer_id import PeerId, PeerIdError
from cidery.kad.key import BITS, K, common_prefix, position, preimage
from cidery.kad.message import MAX_ADDRS, PeerInfo
from cidery.libp2p.protocols.addresses import groups_of

MAX_PER_GROUP = 3
"""Peers of one address group in the whole table."""
MAX_PER_GROUP_IN_BUCKET = 2
"""Peers of one address group in one bucket."""
MAX_RESERVE = K
"""Newcomers that wait for a place in one bucket; the oldest makes room."""
MAX_FAILURES = 2
"""Failures in a row after which a peer loses its place, or at once if somebody waits for it."""
REFRESH_INTERVAL = 600.0
"""Seconds after which a bucket that saw no look-up is refreshed."""
STALE_AFTER = 2 * REFRESH_INTERVAL
"""Seconds without an answer after which a peer is asked for a sign of life."""
MAX_REFRESHED_BUCKETS = 13
"""Buckets refreshed, from the farthest: a key for one further down takes too many hashes to find, and the look-up of
this node's own position fills the nearer ones."""
MAX_SAVED = 512
"""Peers written to the disk, for the next start."""


class Contact:
    """One known peer."""

    __slots__ = ("answered_at", "at", "failures", "groups", "info")

    def __init__(self, info: PeerInfo, answered_at: float) -> None:
        self.info = info
        self.at = position(info.peer.multihash)
        self.groups = groups_of(info.addrs)
        self.answered_at = answered_at
        """Clock seconds of its last answer."""
        self.failures = 0

    @property
    def peer(self) -> PeerId:
        return self.info.peer


class _Bucket:
    __slots__ = ("members", "refreshed_at", "reserve")

    def __init__(self) -> None:
        self.members: OrderedDict[PeerId, Contact] = OrderedDict()
        self.reserve: OrderedDict[PeerId, Contact] = OrderedDict()
        self.refreshed_at = float("-inf")


class RoutingTable:
    """See the module's text. ``diverse``: limit peers per address group (the public network)."""

    def __init__(self, local: PeerId, *, diverse: bool) -> None:
        self.local = local
        self.at = position(local.multihash)
        self.diverse = diverse
        self._buckets: dict[int, _Bucket] = {}
        self._peers: dict[PeerId, Contact] = {}
        self._groups: Counter[bytes] = Counter()

    # --- what is known

    def __len__(self) -> int:
        return len(self._peers)

    def __contains__(self, peer: PeerId) -> bool:
        return peer in self._peers

    def entries(self) -> list[Contact]:
        return list(self._peers.values())

    def get(self, peer: PeerId) -> PeerInfo | None:
        entry = self._peers.get(peer)
        return None if entry is None else entry.info

    def nearest(self, target: int, count: int = K) -> list[PeerInfo]:
        """Up to ``count`` known peers, nearest first. O(peers): some 100 us for 300."""
        return [entry.info for entry in nsmallest(count, self._peers.values(), key=lambda entry: entry.at ^ target)]

    def depth(self) -> int:
        """The length of the longest prefix shared with a known peer; 0 when empty."""
        return max((at for at, bucket in self._buckets.items() if bucket.members), default=0)

    def sizes(self) -> list[tuple[int, list[Contact], float]]:
        """(shared prefix, members, refreshed at) of each bucket that has members, farthest first."""
        buckets = sorted(self._buckets.items())
        return [(at, list(one.members.values()), one.refreshed_at) for at, one in buckets if one.members]

    # --- learning

    def answered(self, info: PeerInfo, now: float) -> bool:
        """A server of this DHT answered, or is known to be one. Returns whether it has a place."""
        if info.peer == self.local:
            return False
        entry = self._peers.get(info.peer)
        if entry is not None:
            entry.answered_at, entry.failures = now, 0
            if info.addrs and info.addrs[:MAX_ADDRS] != entry.info.addrs:
                self._move(entry, info)
            return entry.peer in self._peers
        return self._admit(info, now)

    def _move(self, entry: Contact, info: PeerInfo) -> None:
        """It has other addresses: its groups count anew."""
        self._groups.subtract(entry.groups)
        entry.info = PeerInfo(info.peer, info.addrs[:MAX_ADDRS])
        entry.groups = groups_of(entry.info.addrs)
        bucket = self._bucket(entry.at)
        del bucket.members[entry.peer], self._peers[entry.peer]
        if self._fits(entry, bucket):
            self._place(entry, bucket)
        else:
            self._promote(bucket)

    def _admit(self, info: PeerInfo, now: float) -> bool:
        entry = Contact(PeerInfo(info.peer, info.addrs[:MAX_ADDRS]), now)
        bucket = self._bucket(entry.at)
        if len(bucket.members) >= K:
            # #replacement-policy: "Nodes MUST NOT be removed from the Routing Table as long as they remain online."
            failing = next((one for one in bucket.members.values() if one.failures), None)
            if failing is None:
                self._hold(entry, bucket)
                return False
            self.remove(failing.peer)
        if len(bucket.members) >= K or not self._fits(entry, bucket):
            self._hold(entry, bucket)
            return False
        self._place(entry, bucket)
        return True

    def _hold(self, entry: Contact, bucket: _Bucket) -> None:
        bucket.reserve[entry.peer] = entry
        bucket.reserve.move_to_end(entry.peer)
        if len(bucket.reserve) > MAX_RESERVE:
            bucket.reserve.popitem(last=False)

    def _fits(self, entry: Contact, bucket: _Bucket) -> bool:
        """Whether the groups of its addresses have room. A peer without any known address is not limited."""
        if not self.diverse:
            return True
        # #ip-diversity-filter: "a peer MUST NOT be added to the routing table if any of its addresses already exceed
        # the allowed representation within the table"
        if any(self._groups[group] >= MAX_PER_GROUP for group in entry.groups):
            return False
        here = Counter(group for one in bucket.members.values() for group in one.groups)
        return all(here[group] < MAX_PER_GROUP_IN_BUCKET for group in entry.groups)

    def _place(self, entry: Contact, bucket: _Bucket) -> None:
        bucket.reserve.pop(entry.peer, None)
        bucket.members[entry.peer] = entry
        self._peers[entry.peer] = entry
        self._groups.update(entry.groups)

    def failed(self, peer: PeerId) -> None:
        """It did not answer. With somebody in reserve it loses its place at once, else after MAX_FAILURES.

        #routing-table-refresh: "Any peer that fails to respond MUST be removed"; a second chance where nobody waits.
        """
        entry = self._peers.get(peer)
        if entry is None:
            self._bucket(position(peer.multihash)).reserve.pop(peer, None)
            return
        entry.failures += 1
        if entry.failures >= MAX_FAILURES or self._bucket(entry.at).reserve:
            self.remove(peer)

    def remove(self, peer: PeerId) -> None:
        """It is no server of this DHT (any more)."""
        entry = self._peers.pop(peer, None)
        bucket = self._bucket(position(peer.multihash))
        bucket.reserve.pop(peer, None)
        if entry is not None:
            del bucket.members[peer]
            self._groups.subtract(entry.groups)
            self._promote(bucket)

    def _promote(self, bucket: _Bucket) -> None:
        """Give the place to the newest of the reserve that fits."""
        for entry in reversed(list(bucket.reserve.values())):
            if len(bucket.members) < K and self._fits(entry, bucket):
                self._place(entry, bucket)
                return

    def _bucket(self, at: int) -> _Bucket:
        shared = min(common_prefix(self.at, at), BITS - 1)
        bucket = self._buckets.get(shared)
        if bucket is None:
            bucket = self._buckets[shared] = _Bucket()
        return bucket

    # --- upkeep

    def looked_up(self, target: int, now: float) -> None:
        """A look-up towards ``target`` went through: its bucket is fresh."""
        self._bucket(target).refreshed_at = now

    def refresh_keys(self, now: float, entropy: Callable[[int], bytes]) -> list[bytes]:
        """Keys to look up now: this node's own first, then one per bucket that no look-up has touched lately.

        Cost: below 10 ms for the deepest bucket; call it now and then, not per message.
        """
        # #routing-table-refresh: "a FIND_NODE request for the local node's Peer ID"
        keys = [self.local.multihash]
        for shared in range(min(self.depth() + 1, MAX_REFRESHED_BUCKETS)):
            bucket = self._buckets.get(shared)
            if bucket is not None and now - bucket.refreshed_at < REFRESH_INTERVAL:
                continue
            # shares ``shared`` bits with our position and differs in the next one
            prefix = (self.at >> (BITS - shared - 1)) ^ 1
            keys.append(preimage(prefix, shared + 1, entropy))
        return keys

    def stale(self, now: float) -> list[PeerInfo]:
        """Peers to ask for a sign of life."""
        return [entry.info for entry in self._peers.values() if now - entry.answered_at >= STALE_AFTER]

    # --- persistence

    def save(self) -> bytes:
        """The peers worth knowing at the next start: those that answered last."""
        best = sorted(self._peers.values(), key=lambda entry: -entry.answered_at)[:MAX_SAVED]
        return json.dumps(
            [[one.peer.multihash.hex(), [addr.hex() for addr in one.info.addrs]] for one in best]
        ).encode()


def restore(saved: bytes) -> Sequence[PeerInfo]:
    """What save() wrote; they have yet to answer. Damaged data gives fewer peers or none, never an error."""
    try:
        rows = json.loads(saved)
    except (ValueError, RecursionError):
        return []
    return list(_restored(rows)) if isinstance(rows, list) else []


def _restored(rows: list[object]) -> Iterable[PeerInfo]:
    for row in rows[:MAX_SAVED]:
        try:
            if not isinstance(row, list) or len(row) != 2:
                continue
            peer, addrs = PeerId.decode(bytes.fromhex(row[0])), row[1][:MAX_ADDRS]
            yield PeerInfo(peer, tuple(bytes.fromhex(addr) for addr in addrs))
        except (ValueError, TypeError, KeyError, PeerIdError):
            continue
