"""Peers are asked whether they have what they were sent, or withdrew: then they pass it on."""

from cidery.bitswap.loop_line import LoopLine
from cidery.bitswap.peer import MAX_WONDERED, ConnectedPeer
from cidery.identity.peer_id import PeerId
from cidery.multiformats.cid import CID

WITHDRAWN = [CID.of(b"withdrawn %d" % at) for at in range(MAX_WONDERED + 1)]
SENT = CID.of(b"sent")


def wondered_about() -> ConnectedPeer:
    """It withdrew as much as may be asked about at a time, and has answered nothing."""
    peer = ConnectedPeer(PeerId(CID.of(b"peer").multihash), "peer", 0.0, LoopLine(lambda: 0.0))
    assert [peer.wonder(cid) for cid in WITHDRAWN] == [True] * MAX_WONDERED + [False]
    return peer


def test_what_a_peer_was_sent_is_asked_about_though_it_withdrew_much_that_it_does_not_have():
    peer = wondered_about()
    peer.wantlist.next_entries()
    assert peer.wonder(SENT, sent=True)
    assert list(peer.wondered) == [*WITHDRAWN[1:MAX_WONDERED], SENT]
    assert {(one.cid, one.cancel) for one in peer.wantlist.next_entries()} == {(WITHDRAWN[0], True), (SENT, False)}


def test_the_questions_to_one_peer_are_bounded():
    peer = wondered_about()
    for at in range(100):
        assert peer.wonder(CID.of(b"sent %d" % at), sent=True)
    assert len(peer.wondered) == MAX_WONDERED
