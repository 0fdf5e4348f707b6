"""The serving side under any order of wants, cancels, turns and failures: its queues and counts stay right."""

from hypothesis import given, settings
from hypothesis import strategies as st

from cidery.bitswap.engine import Engine, Envelope
from cidery.bitswap.message import COMING, Entry, Message, WantType, foretold, read_cut
from cidery.bitswap.slots import LEAST_SLOTS, MOST_SLOTS
from cidery.bitswap.turns import SMALL, SMALL_FREE, Turns
from cidery.ipld.block import Block
from cidery.multiformats.cid import CID
from cidery.multiformats.protobuf import bytes_field

PEERS = ("p", "q", "r", "s")
CIDS = [CID.of(str(at).encode()) for at in range(10)]
SIZES = (1, 2000, 256 * 1024, 2 * 1024 * 1024)
EVENTS = (
    "comes",
    "goes",
    "wants",
    "asks whether",
    "wants all",
    "cancels",
    "wants what is absent",
    "block stored",
    "turn begins",
    "turn ends",
    "turn fails",
    "presences go out",
    "gives",
    "moves",
)
STEPS = st.tuples(
    st.sampled_from(EVENTS),
    st.sampled_from(PEERS),
    st.integers(0, len(CIDS) - 1),
    st.sampled_from((0.0, 0.1, 1.0, 9.0)),
)


class Server:
    """An engine, and what its driver holds: one envelope a peer that is on its way."""

    def __init__(self) -> None:
        self.engine = Engine(0.0)
        self.now = 0.0
        self.under_way: dict[str, Envelope] = {}
        for peer in PEERS[:2]:
            self.engine.add_peer(peer, 0.0)

    def asks(self, peer: str, cids: list[CID], size: int | None, *, full: bool = False, **kind: object) -> None:
        lookups = self.engine.on_wantlist(peer, [Entry(cid, **kind) for cid in cids], full)
        self.engine.on_sizes(peer, lookups, [size] * len(lookups))

    def happens(self, event: str, peer: str, at: int) -> None:
        engine, cids, size = self.engine, CIDS[at : at + 4], SIZES[at % 4]
        match event:
            case "comes":
                engine.add_peer(peer, self.now)
            case "goes":
                engine.remove_peer(peer)
                self.under_way.pop(peer, None)
            case "wants":
                self.asks(peer, cids, size)
            case "asks whether":
                self.asks(peer, cids, size, want_type=WantType.HAVE, send_dont_have=True)
            case "wants all":
                self.asks(peer, cids, size, full=True)
            case "cancels":
                self.asks(peer, cids, size, cancel=True)
            case "wants what is absent":
                self.asks(peer, cids, None, send_dont_have=True)
            case "block stored":
                engine.on_new_blocks([(cid.multihash, size) for cid in cids])
            case "turn begins":
                begun = engine.begin_turn(self.now)
                if begun is not None:
                    envelope = engine.next_envelope(begun)
                    assert envelope.blocks, "a turn for a peer that nothing is queued for"
                    self.under_way[begun] = envelope
            case "turn ends":
                if (envelope := self.under_way.pop(peer, None)) is not None:
                    engine.end_turn(peer, sum(envelope.sizes), self.now)
            case "turn fails":
                if (envelope := self.under_way.pop(peer, None)) is not None:
                    engine.put_back(peer, envelope)
                    engine.end_turn(peer, 0, self.now)
            case "presences go out":
                if peer not in self.under_way:
                    sizes = engine.next_envelope(peer).sizes
                    assert all(size <= SMALL for size in sizes) and sum(sizes) <= SMALL_FREE, "blocks without a turn"
            case "gives":
                engine.received(peer, [CIDS[at % len(CIDS)]], size, self.now)
            case "moves":
                engine.turns.progress(peer, at, self.now, blocked=bool(at % 2))

    def check(self) -> None:
        engine = self.engine
        for peer, queue in engine._peers.items():
            assert queue.queued_bytes == sum(queue.blocks.values()) >= 0
            assert (peer in engine._waiting) == bool(queue.blocks)
            assert not any(queue.presences.get(cid) for cid in queue.blocks), "HAVE is said of what is sent"
            assert all((peer, cid) in engine.wanted_by[cid.multihash] for cid in queue.wants)
        assert engine._waiting.keys() <= engine._peers.keys() == engine.ledgers.keys()
        assert sum(map(len, engine.wanted_by.values())) == sum(len(queue.wants) for queue in engine._peers.values())
        assert set(engine.turns.served()) == self.under_way.keys()
        assert LEAST_SLOTS <= engine.turns.slots <= MOST_SLOTS
        assert engine.waiting == any(peer not in self.under_way for peer in engine._waiting)
        assert all(engine.turns.sent_to(cid.multihash) >= 0 for cid in CIDS)


@settings(max_examples=200)
@given(st.lists(STEPS, max_size=100))
def test_queues_and_turns_agree_whatever_peers_do(steps):
    server = Server()
    for event, peer, at, pause in steps:
        server.now += pause
        server.happens(event, peer, at)
        server.check()


@settings(max_examples=60)
@given(st.lists(st.integers(1, 12), min_size=1, max_size=4), st.sampled_from((0.0, 0.01, 3.0)))
def test_everything_that_is_wanted_is_sent_and_once(amounts, turn_seconds):
    """Whoever asks for how much, over a line of any speed."""
    server, engine = Server(), Engine(0.0)
    server.engine = engine
    got: dict[str, list[CID]] = {}
    for peer, amount in zip(PEERS, amounts, strict=False):
        engine.add_peer(peer, 0.0)
        server.asks(peer, CIDS[:amount], SIZES[2])
        got[peer] = []
    for _ in range(sum(amounts)):
        began = []
        while (peer := engine.begin_turn(server.now)) is not None:
            envelope = engine.next_envelope(peer)
            got[peer] += envelope.blocks
            began.append((peer, sum(envelope.sizes)))
        server.now += turn_seconds
        for peer, size in began:
            engine.end_turn(peer, size, server.now)
    assert {peer: sorted(cids) for peer, cids in got.items()} == {
        peer: sorted(CIDS[:amount]) for peer, amount in zip(PEERS, amounts, strict=False)
    }


@settings(max_examples=200)
@given(st.lists(st.tuples(st.sampled_from(PEERS), st.integers(0, 1 << 20), st.booleans()), max_size=60))
def test_a_turn_goes_to_one_of_those_who_wait_and_never_to_more_than_there_are_slots(steps):
    turns, now = Turns(0.0), 0.0
    running: dict[str, int] = {}
    for peer in PEERS:
        turns.add(peer, now)
    for peer, size, begins in steps:
        now += 0.2
        if begins:
            waiting = {name: [b"block"] for name in PEERS if name not in running}
            free = len(running) < turns.slots
            begun = turns.begin(waiting, now)
            assert (begun is not None) == (free and bool(waiting))
            if begun is not None:
                assert begun in waiting
                running[begun] = size
        elif peer in running:
            turns.end(peer, running.pop(peer), now, others_wait=True)
        for name in running:
            turns.progress(name, int(now * 10), now, blocked=False)  # bytes leave: none of them is stuck
        assert set(turns.served()) == running.keys()


@settings(max_examples=200)
@given(st.binary(max_size=300), st.integers(0, 4), st.integers(0, 400))
def test_what_is_foretold_is_read_from_any_bytes_without_an_error(garbage, count, cut):
    whole = b"".join(bytes_field(COMING, cid.encode()) for cid in CIDS[:count])
    assert foretold(memoryview(garbage)) is None or foretold(memoryview(garbage)) <= set(CIDS)
    for data in ((whole + garbage)[:cut], whole[:cut], bytes_field(COMING, garbage) + whole):
        found = foretold(memoryview(data))
        assert found is None or found


@settings(max_examples=100)
@given(st.integers(1, 10), st.integers(0, 2000))
def test_of_a_message_that_has_come_in_part_the_blocks_named_so_far_are_known(count, cut):
    blocks = [Block(CID.of(bytes([at]) * 200), bytes([at]) * 200) for at in range(count)]
    message = Message(blocks=blocks, coming=[cid for cid, _ in blocks])
    data = b"".join(map(bytes, message.encode()))
    names = [bytes_field(COMING, cid.encode()) for cid in message.coming]
    whole = sum(1 for at in range(count) if sum(map(len, names[: at + 1])) <= cut)
    assert foretold(memoryview(data[:cut])) == (frozenset(message.coming[:whole]) or None)


@settings(max_examples=300)
@given(st.binary(max_size=300), st.lists(st.integers(0, 60_000), max_size=4), st.data())
def test_a_message_cut_anywhere_gives_blocks_that_were_sent_and_any_bytes_give_no_error(garbage, sizes, data):
    blocks = [Block(CID.of(bytes([at]) * size), bytes([at]) * size) for at, size in enumerate(sizes)]
    starts = {cid: data.draw(st.integers(0, len(block) - 1)) for cid, block in blocks if block}
    message = Message(blocks=blocks, coming=[cid for cid, block in blocks if len(block) >= 16 * 1024], starts=starts)
    sent = b"".join(map(bytes, message.encode()))
    whole, begun = read_cut(memoryview(sent)[: data.draw(st.integers(0, len(sent)))])
    assert len(whole) <= len(blocks)
    for (cid, block), one in zip(blocks, [*whole, *([begun] if begun else [])], strict=False):
        assert one.rest_of == cid if one.start or one is begun else one.cid() == cid
        assert bytes(one.data) == block[one.start : one.start + len(one.data)]
    at = data.draw(st.integers(0, len(sent)))
    read_cut(memoryview(sent[:at] + garbage + sent[at:]))
