"""What we want of one peer: the union over sessions, sent as changes."""

from cidery.bitswap.message import Entry, WantType
from cidery.bitswap.wantlist import MAX_MESSAGE_ENTRIES, PeerWantlist
from cidery.multiformats.cid import CID

A, B, C = (CID.of(letter) for letter in (b"a", b"b", b"c"))
BLOCK = {"send_dont_have": True}
HAVE = {"send_dont_have": True, "want_type": WantType.HAVE}


def test_a_want_of_two_sessions_is_sent_once_and_cancelled_with_the_last():
    wants = PeerWantlist()
    wants.ask("one", [A], [])
    wants.ask("two", [A], [])
    assert wants.next_entries() == [Entry(A, **BLOCK)] and wants.wants == [A]
    wants.cancel("one", [A])
    assert wants.next_entries() == []
    wants.cancel("two", [A])
    assert wants.next_entries() == [Entry(A, cancel=True)] and wants.wants == []


def test_a_want_that_was_never_sent_needs_no_cancel():
    wants = PeerWantlist()
    wants.ask("one", [A], [B])
    wants.cancel("one", [A, B, C])
    assert wants.next_entries() == [] and not wants.has_pending


def test_a_want_have_that_became_a_want_block_is_cancelled_although_the_block_was_never_asked():
    wants = PeerWantlist()
    wants.ask("one", [], [A])
    assert wants.next_entries() == [Entry(A, **HAVE)]
    wants.ask("one", [A], [])
    wants.cancel("one", [A])
    assert wants.next_entries() == [Entry(A, cancel=True)]


def test_a_cancel_that_was_not_sent_is_undone_by_asking_again():
    wants = PeerWantlist()
    wants.ask("one", [A], [])
    wants.next_entries()
    wants.cancel("one", [A])
    wants.ask("one", [A], [])
    assert wants.next_entries() == [Entry(A, **BLOCK)]


def test_a_want_have_is_not_sent_for_what_is_asked_as_a_block():
    wants = PeerWantlist()
    wants.ask("one", [A], [])
    wants.ask("two", [], [A])
    assert wants.next_entries() == [Entry(A, **BLOCK)]


def test_a_satisfied_want_is_forgotten_by_both_sides():
    wants = PeerWantlist()
    wants.ask("one", [A], [A])
    wants.next_entries()
    wants.satisfied(A)
    wants.cancel("one", [A])
    assert wants.next_entries() == []


def test_a_denied_want_is_asked_again_by_the_next_session():
    wants = PeerWantlist()
    wants.ask("one", [A], [])
    wants.next_entries()
    wants.denied(A)
    wants.ask("two", [A], [])
    assert wants.next_entries() == [Entry(A, **BLOCK)]


def test_a_session_that_ends_takes_all_its_wants_with_it():
    wants = PeerWantlist()
    wants.ask("one", [A], [B])
    wants.ask("two", [C], [])
    wants.next_entries()
    wants.cancel_all("one")
    assert sorted(e.cid for e in wants.next_entries() if e.cancel) == sorted([A, B])
    assert wants.wants == [C]


def test_after_a_lost_stream_every_block_is_asked_once_more():
    wants = PeerWantlist()
    wants.ask("one", [A, B], [C])
    wants.next_entries()
    wants.ask_again()
    assert wants.next_entries() == [Entry(A, **BLOCK), Entry(B, **BLOCK)]


def test_a_message_has_a_bounded_number_of_entries():
    wants = PeerWantlist()
    wants.ask("one", [CID.of(str(at).encode()) for at in range(MAX_MESSAGE_ENTRIES + 5)], [])
    assert len(wants.next_entries()) == MAX_MESSAGE_ENTRIES and len(wants.next_entries()) == 5


def test_what_was_denied_is_asked_for_by_want_have_so_that_the_block_does_not_come_unasked_later():
    wants = PeerWantlist()
    wants.ask("one", [A], [])
    wants.next_entries()
    wants.denied(A)
    assert wants.next_entries() == [Entry(A, want_type=WantType.HAVE)] and not wants.wants_any
    wants.denied(A)
    assert not wants.has_pending, "a want-have that is denied stands as it is"


def test_what_was_denied_is_still_cancelled_by_who_wanted_it():
    wants = PeerWantlist()
    wants.ask("one", [A], [])
    wants.ask("two", [A], [])
    wants.next_entries()
    wants.denied(A)
    wants.next_entries()
    wants.cancel("one", [A])
    assert not wants.has_pending
    wants.cancel_all("two")
    assert wants.next_entries() == [Entry(A, cancel=True)]


def test_what_the_peer_said_to_have_needs_no_cancel():
    wants = PeerWantlist()
    wants.ask("one", [], [A])
    wants.next_entries()
    wants.confirmed(A)
    wants.cancel("one", [A])
    assert not wants.has_pending
    wants.ask("one", [], [A])
    assert wants.next_entries() == [Entry(A, **HAVE)], "and it may be asked again"


def test_a_want_for_the_block_stands_although_the_peer_said_to_have_it():
    wants = PeerWantlist()
    wants.ask("one", [], [A])
    wants.next_entries()
    wants.ask("one", [A], [])
    wants.next_entries()
    wants.confirmed(A)
    assert wants.wants == [A]
    wants.cancel("one", [A])
    assert wants.next_entries() == [Entry(A, cancel=True)]


def test_a_question_that_waits_to_be_sent_is_sent_although_an_older_one_was_answered():
    wants = PeerWantlist()
    wants.ask("one", [], [A])
    wants.next_entries()
    wants.ask("two", [], [A])
    wants.confirmed(A)
    assert wants.next_entries() == [Entry(A, **HAVE)]


def test_what_was_asked_on_an_earlier_connection_may_still_be_answered():
    earlier, wants = PeerWantlist(), PeerWantlist()
    earlier.ask("one", [A], [])
    earlier.next_entries()
    assert not wants.was_asked(A)
    wants.asked_before(earlier)
    assert wants.was_asked(A) and not wants.was_asked(B)


def test_an_offer_of_what_nobody_wants_is_declined_by_a_cancel():
    wants = PeerWantlist()
    wants.ask("session", [A], [])
    wants.next_entries()
    wants.cancel_all("session")
    wants.next_entries()
    wants.unwanted(A)
    assert wants.next_entries() == [Entry(A, cancel=True)]
    wants.ask("session", [B], [])
    wants.next_entries()
    wants.unwanted(B)
    assert not wants.next_entries(), "it is wanted after all"


def test_offers_of_what_was_never_asked_for_are_not_answered():
    wants = PeerWantlist()
    for cid in (A, B):
        wants.unwanted(cid)
    assert not wants.has_pending


def test_a_block_that_came_to_no_use_is_asked_for_again_if_it_still_is_wanted():
    wants = PeerWantlist()
    wants.ask("one", [A, B], [])
    wants.next_entries()
    wants.cancel("one", [B])
    wants.next_entries()
    for cid in (A, B, C):
        wants.want_whole(cid)
    assert wants.next_entries() == [Entry(A, **BLOCK)]


def test_who_is_spared_the_end_of_a_block_is_told_so_once_and_not_asked_for_it_again():
    wants = PeerWantlist()
    wants.ask("one", [A, B, C], [])
    wants.spare("one", C, 5)
    assert wants.next_entries() == [Entry(cid, **BLOCK) for cid in (A, B, C)], "it was not told of the want yet"
    wants.ask("two", [B], [])
    wants.spare("one", A, 5)
    wants.spare("one", B, 5)
    assert wants.next_entries() == [Entry(A, cancel=True, spared=5)], "another wants all of B"
    wants.ask_again()
    wants.cancel("one", [A])
    assert [one.cid for one in wants.next_entries()] == [B, C]
