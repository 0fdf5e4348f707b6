"""Names received blocks by their hash; completes those whose beginning another peer sent."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from cidery.bitswap.message import Payload
from cidery.bitswap.parts import Parts
from cidery.bitswap.peer import ConnectedPeer
from cidery.multiformats.cid import CID

VERIFY_THREADS = 2
"""Threads that hash received blocks; hashing frees the GIL."""
VERIFY_INLINE = 32 * 1024
"""Bytes below which hashing on the loop is cheaper than a thread."""
VERIFY_ITEMS = 128
"""As above, in blocks however small."""

Verified = list[tuple[CID, Payload]]


class Verification:
    """One per node."""

    def __init__(self) -> None:
        self.parts = Parts()
        self._threads = ThreadPoolExecutor(VERIFY_THREADS, "verify")

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def verify(self, peer: ConnectedPeer, payloads: Sequence[Payload]) -> Verified:
        """As verify_now(); large ones are hashed in a thread."""
        whole = self._complete(peer, payloads)
        if len(whole) <= VERIFY_ITEMS and sum(len(one.data) for one in whole) < VERIFY_INLINE:
            return self._named(peer, whole, _hash(whole))
        hashing = asyncio.get_running_loop().run_in_executor(self._threads, _hash, whole)
        return self._named(peer, whole, await hashing)

    def verify_now(self, peer: ConnectedPeer, payloads: Sequence[Payload]) -> Verified:
        """The blocks that a peer sent, and their CIDs. Raises BitswapError for a hash that is not known.

        A rest that completes nothing is left out; the peer is to be asked for the whole block, if it still is wanted.
        """
        whole = self._complete(peer, payloads)
        return self._named(peer, whole, _hash(whole))

    def _complete(self, peer: ConnectedPeer, payloads: Sequence[Payload]) -> list[Payload]:
        whole: list[Payload] = []
        for one in payloads:
            joined = self.parts.join(one) if one.rest_of is not None else one
            if joined is not None:
                whole.append(joined)
            elif one.rest_of is not None:
                peer.wantlist.want_whole(one.rest_of)
        return whole

    def _named(self, peer: ConnectedPeer, payloads: Sequence[Payload], cids: Sequence[CID]) -> Verified:
        named: Verified = []
        for cid, one in zip(cids, payloads, strict=True):
            if one.rest_of is not None and one.rest_of != cid:
                self.parts.failed(peer.name, one.rest_of)
                peer.wantlist.want_whole(one.rest_of)
            else:
                named.append((cid, one))
        return named


def _hash(payloads: Sequence[Payload]) -> list[CID]:
    return [payload.cid() for payload in payloads]
