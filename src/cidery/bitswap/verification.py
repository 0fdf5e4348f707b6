"""Names received blocks by their hash; completes those whose beginning another peer sent."""

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from cidery.bitswap.message import Payload
from cidery.bitswap.parts import Parts, Senders
from cidery.bitswap.peer import ConnectedPeer
from cidery.multiformats.cid import CID

VERIFY_THREADS = 2
"""Threads that hash received blocks; hashing frees the GIL."""
VERIFY_INLINE = 32 * 1024
"""Bytes below which hashing on the loop is cheaper than a thread."""
VERIFY_ITEMS = 128
"""As above, in blocks however small."""
LONGEST_WAIT = 4.0
"""Seconds that an end waits for the beginning of its block: both were to be here at the same time."""
LOOK = 0.02
"""Seconds between two looks at how far that is."""

Verified = list[tuple[CID, Payload]]
_Sent = tuple[Payload, Senders]
"""A block, and who sent it if several did."""


class Verification:
    """One per node."""

    def __init__(self, peers: Mapping[str, ConnectedPeer] | None = None) -> None:
        """``peers``: all that are connected, by name."""
        self._peers = peers if peers is not None else {}
        self.parts = Parts()
        self._threads = ThreadPoolExecutor(VERIFY_THREADS, "verify")

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def verify(self, peer: ConnectedPeer, payloads: Sequence[Payload]) -> Verified:
        """As verify_now(); large ones are hashed in a thread. An end waits until its beginning is here."""
        for one in payloads:
            if one.rest_of is not None:
                await self._meet(peer, one)
        whole = self._complete(peer, payloads)
        if len(whole) <= VERIFY_ITEMS and sum(len(one.data) for one, _ in whole) < VERIFY_INLINE:
            return self._named(peer, whole, _hash(whole))
        hashing = asyncio.get_running_loop().run_in_executor(self._threads, _hash, whole)
        return self._named(peer, whole, await hashing)

    async def _meet(self, peer: ConnectedPeer, end: Payload) -> None:
        """Keep what another peer is sending of a block, as soon as that reaches the end which this one has sent."""
        clock = asyncio.get_running_loop().time
        until = clock() + LONGEST_WAIT
        while (name := self.parts.giver(peer.name, end)) is not None and clock() < until:
            begun = giver.begun() if (giver := self._peers.get(name)) is not None else None
            if begun is None or begun.rest_of != end.rest_of:
                return  # what has come of it is kept if it was cut
            if begun.start + len(begun.data) >= end.start:
                self.parts.keep(name, begun)
                return
            await asyncio.sleep(LOOK)

    def verify_now(self, peer: ConnectedPeer, payloads: Sequence[Payload]) -> Verified:
        """The blocks that a peer sent, and their CIDs. Raises BitswapError for a hash that is not known.

        A rest that completes nothing is left out, and so are further ones of the same block in one message, each of
        which would be a copy of it. The peer is to be asked for the whole block, if it still is wanted.
        """
        whole = self._complete(peer, payloads)
        return self._named(peer, whole, _hash(whole))

    def _complete(self, peer: ConnectedPeer, payloads: Sequence[Payload]) -> list[_Sent]:
        whole: list[_Sent] = []
        completed: set[CID] = set()
        for one in payloads:
            cid = one.rest_of
            if cid is None:
                whole.append((one, ()))
                continue
            askable = cid not in completed and peer.wantlist.was_asked(cid)
            if askable and (joined := self.parts.join(peer.name, one)) is not None:
                completed.add(cid)
                whole.append(joined)
            else:
                self.parts.unshare(peer.name, (cid,))
                peer.sent_in_vain(cid, len(one.data))
        return whole

    def _named(self, peer: ConnectedPeer, sent: Sequence[_Sent], cids: Sequence[CID]) -> Verified:
        named: Verified = []
        for cid, (one, by) in zip(cids, sent, strict=True):
            if one.rest_of is not None and one.rest_of != cid:
                self.parts.failed(by)
                peer.sent_in_vain(one.rest_of, len(one.data) - one.start)
            else:
                named.append((cid, one))
        return named


def _hash(sent: Sequence[_Sent]) -> list[CID]:
    return [payload.cid() for payload, _ in sent]
