"""Sources that have sent nothing show by a small block that they send what they are asked for; liars are left."""

from session_commands import asks, cancels, probes

from cidery.exchange.proofs import FREE, LARGEST, SHARE, Proofs
from cidery.exchange.session import FetchSession
from cidery.exchange.source import LEAST_WANTS, WRONG_COSTS
from cidery.exchange.waits import SessionWaits
from cidery.multiformats.cid import CID

ROOM = 64 * 1024 * 1024
BLOCK = 1024 * 1024
ROOT = 800


def cids(count: int) -> list[CID]:
    return [CID.of(str(at).encode()) for at in range(count)]


def with_a_root(*others: str, round_trip: float = 0.01) -> tuple[FetchSession, list[CID]]:
    """Of ``first`` the root has come; the others have said that they have a leaf. The leaves are wanted."""
    machine, (root, *leaves) = FetchSession(SessionWaits(), 0.0), cids(40)
    for name in ("first", *others):
        machine.add_source(name, round_trip, 0.0)
    machine.want([root], 0.0)
    machine.on_have("first", root, 0.0)
    assert asks(machine.poll(0.0, ROOM), "first") == [root]
    machine.on_block("first", root, ROOT, 0.1)
    machine.want(leaves, 0.1)
    for name in others:
        machine.on_have(name, leaves[0], 0.1)
    return machine, [root, *leaves]


def test_a_further_source_is_asked_for_a_small_block_that_is_here_before_it_is_asked_for_a_large_one():
    machine, (root, *_) = with_a_root("second")
    commands = machine.poll(0.1, ROOM)
    assert asks(commands, "second") == [root] and len(asks(commands, "first")) == 1
    assert not machine.on_block("second", root, ROOT, 0.2) and machine.duplicates == 0
    assert len(asks(machine.poll(0.2, ROOM), "second")) == 1, "a large one is another proof"
    (leaf,) = machine.sources["first"].outstanding
    machine.on_block("first", leaf, BLOCK, 0.3)
    commands = machine.poll(0.3, ROOM)
    assert len(asks(commands, "first")) >= LEAST_WANTS and not asks(commands, "second")


def test_over_a_long_line_a_large_block_is_asked_for_with_the_small_one_until_somebody_lies():
    machine, (root, *leaves) = with_a_root("second", "liar", round_trip=0.2)
    commands = machine.poll(0.1, ROOM)
    proof, leaf = asks(commands, "second")
    assert proof == root and leaf in leaves, "the small one first"
    assert not asks(machine.poll(0.2, ROOM), "second"), "and no more until it has sent that"
    withdrawn = list(machine.sources["liar"].outstanding)
    machine.on_wrong("liar", ROOT, 0.3)
    assert cancels(machine.poll(0.3, ROOM), "liar") == withdrawn and len(withdrawn) == 1
    machine.add_source("third", 0.2, 0.3)
    machine.on_have("third", leaves[0], 0.3)
    assert asks(machine.poll(0.3, ROOM), "third") == [root]


def test_in_a_crowd_the_small_block_comes_first_over_a_long_line_too():
    machine, (root, *leaves) = with_a_root("second", "reader", round_trip=0.2)
    machine.on_dont_have("reader", leaves[1], 0.1)
    assert asks(machine.poll(0.1, ROOM), "second") == [root]


def test_a_source_that_answers_with_other_bytes_is_never_asked_for_a_large_block():
    machine, wanted = with_a_root("liar")
    machine.poll(0.1, ROOM)
    machine.on_wrong("liar", ROOT, 0.2)
    now = 0.2
    while machine.wanted:
        commands = machine.poll(now, ROOM)
        assert not asks(commands, "liar") and not probes(commands, "liar")
        now += 0.1
        for cid in list(machine.sources["first"].outstanding):
            machine.on_block("first", cid, BLOCK, now)
    assert all(map(machine.has_had, wanted))


def test_one_that_does_not_answer_holds_no_want_and_one_that_denies_it_is_asked_what_it_has():
    machine, (root, *leaves) = with_a_root("silent", "partial")
    machine.poll(0.1, ROOM)
    machine.on_dont_have("partial", root, 0.2)
    commands = machine.poll(0.2, ROOM)
    assert not asks(commands, "silent") and not machine.sources["silent"].outstanding
    assert machine.sources["partial"].partial and set(probes(commands, "partial")) <= set(leaves)
    machine.on_have("partial", leaves[20], 0.3)
    machine.on_have("partial", leaves[21], 0.3)
    assert len(asks(machine.poll(0.3, ROOM), "partial")) == 1, "which is the proof, then"


def test_without_a_small_block_a_single_want_is_the_proof():
    machine, wanted = FetchSession(SessionWaits(), 0.0), cids(40)
    for name in ("first", "second"):
        machine.add_source(name, 0.01, 0.0)
    machine.want(wanted, 0.0)
    machine.on_have("first", wanted[0], 0.0)
    sent = asks(machine.poll(0.0, ROOM), "first")[0]
    machine.on_block("first", sent, BLOCK, 0.1)
    machine.on_have("second", wanted[30], 0.1)
    (asked,) = asks(machine.poll(0.1, ROOM), "second")
    machine.on_block("second", asked, BLOCK, 0.2)
    assert len(asks(machine.poll(0.2, ROOM), "second")) >= LEAST_WANTS


def test_a_liars_wants_are_withdrawn_at_once_and_what_it_sent_rightly_counts():
    machine, _ = with_a_root("second")
    machine.poll(0.1, ROOM)
    machine.on_block("second", CID.of(b"0"), ROOT, 0.2)
    right = 0
    while right < WRONG_COSTS * BLOCK:
        for cid in asks(machine.poll(0.2, ROOM), "second"):
            machine.on_block("second", cid, BLOCK, 0.2)
            right += BLOCK
    machine.poll(0.2, ROOM)
    held = set(machine.sources["second"].outstanding)
    assert len(held) >= LEAST_WANTS
    machine.on_wrong("second", right // WRONG_COSTS, 0.3)
    assert not machine.sources["second"].outstanding and not machine.sources["second"].lies, "it sent much rightly"
    assert set(cancels(machine.poll(0.3, 0), "second")) == held
    machine.on_wrong("second", ROOT, 0.4)
    assert machine.sources["second"].lies


def test_a_liar_is_asked_when_nobody_else_is_there():
    machine, (wanted,) = FetchSession(SessionWaits(), 0.0), cids(1)
    machine.add_source("only", 0.01, 0.0)
    machine.on_wrong("only", BLOCK, 0.0)
    machine.want([wanted], 0.0)
    assert asks(machine.poll(0.0, ROOM), "only") == [wanted]


def test_what_is_spent_on_proofs_is_bounded_by_what_came():
    proofs, (small, large) = Proofs(), cids(2)
    proofs.came(large, LARGEST + 1)
    assert proofs.take() is None
    proofs.came(small, LARGEST)
    taken = 0
    while proofs.take() == small:
        taken += 1
    assert taken == FREE // LARGEST
    proofs.came(large, int(LARGEST / SHARE))
    assert proofs.take() == small and proofs.take() is None
