"""What a muxer sends, sealed: long frames from where the content lies to where it belongs."""

import random

import pytest

from cidery.libp2p.io.sealing import WHOLE, WRITE_BATCH, Sealer
from cidery.libp2p.protocols.muxer import StreamOpened
from cidery.libp2p.protocols.noise import MAX_PLAIN, TAG, NoiseChannel
from cidery.libp2p.protocols.timeouts import RoundTrip, Timeouts
from cidery.libp2p.protocols.yamux import HEADER_SIZE, LEAST_BULK, Yamux
from cidery.libp2p.protocols.yamux_stream import YamuxStream
from cidery.multiformats.varint import encode_uvarint

PIECES = 1 << 20
LIMIT = 4 << 20
WINDOW = 16 << 20


class Line:
    """A sender and a receiver of messages on one stream, over Noise. ``opened``: sizes of the plaintext, in order."""

    def __init__(self, *, placing: bool = True) -> None:
        self.sender = Yamux(initiator=True, now=0.0, round_trip=RoundTrip(0.1), timeouts=Timeouts())
        self.receiver = Yamux(initiator=False, now=0.0, round_trip=RoundTrip(0.1), timeouts=Timeouts())
        keys = bytes(32), bytes(range(32))
        self.near, self.far = NoiseChannel(*keys), NoiseChannel(*reversed(keys))
        self.sealer = Sealer(self.near, memoryview(bytearray(MAX_PLAIN)))
        self.placing = placing
        self.opened: list[int] = []
        self.copied = 0
        self.stream = self.sender.open_stream(0.0)
        self.stream.send_window = WINDOW
        self.carry()
        while not isinstance(event := self.receiver.next_event(), StreamOpened):
            assert event is not None
        self.accepted: YamuxStream = event.stream
        self.accepted.credit = self.accepted.window = WINDOW
        self.receiver.frame(self.accepted, LIMIT, 0.0)
        self.opened.clear()

    def batch(self) -> bytes:
        out = self.sealer.batch(self.sender, 1 << 40)
        sealed = bytes(out)
        self.sealer.reuse(out)
        return sealed

    def carry(self) -> None:
        while sealed := self.batch():
            assert len(sealed) <= WRITE_BATCH
            assert self.take(sealed) == len(sealed)

    def take(self, sealed: bytes) -> int:
        placed: list[memoryview | None] = []

        def place(size: int) -> memoryview | None:
            placed.append(self.receiver.place(size))
            return placed[-1]

        def deliver(view: memoryview) -> None:
            self.opened.append(len(view))
            if not placed or view is not placed[-1]:
                self.copied += len(view)
            self.receiver.receive_data(view, 0.0)

        return self.far.receive(memoryview(sealed), deliver, place if self.placing else None)

    def send(self, *pieces: bytes) -> None:
        self.sender.send(self.stream, encode_uvarint(sum(map(len, pieces))), *pieces)

    def messages(self) -> list[bytes]:
        found = []
        while (message := self.receiver.next_message(self.accepted, 0.0)) is not None:
            found.append(bytes(message))
        return found


def test_a_long_message_is_sealed_in_messages_of_content_alone_and_opened_where_it_belongs():
    line = Line()
    block = random.Random(1).randbytes(PIECES)
    line.send(b"prefix", block)
    line.carry()
    assert line.messages() == [b"prefix" + block]
    size = 3 + len(b"prefix")
    # a header with what is short; whole messages of content; a frame's last content is as long as what is left
    assert line.opened[:4] == [HEADER_SIZE + size, MAX_PLAIN, MAX_PLAIN, MAX_PLAIN]
    assert line.copied < PIECES / 100


def test_what_waits_in_a_queue_is_not_copied_before_it_is_sealed():
    sender = Line().sender
    block = bytes(PIECES)
    stream = sender.open_stream(0.0)
    stream.send_window = WINDOW
    while sender.data_into(memoryview(bytearray(100))):
        pass
    sender.send(stream, block)
    pieces = sender.bulk(memoryview(bytearray(HEADER_SIZE)), LEAST_BULK)
    assert [piece.obj is block for piece in pieces] == [True]
    assert sum(map(len, pieces)) == LEAST_BULK and stream.out_bytes == PIECES - LEAST_BULK
    assert stream.send_window == WINDOW - LEAST_BULK


@pytest.mark.parametrize("why", ["an answer waits", "a short stream waits", "the window is small", "little is left"])
def test_no_long_frame_is_begun_when(why):
    mux = Line().sender
    stream = mux.open_stream(0.0)
    stream.send_window = WINDOW
    while mux.data_into(memoryview(bytearray(100))):
        pass
    mux.send(stream, bytes(LEAST_BULK - 1 if why == "little is left" else PIECES))
    if why == "an answer waits":
        mux.go_away(0)
    elif why == "a short stream waits":
        mux.send(mux.open_stream(0.0), b"?")
    elif why == "the window is small":
        stream.send_window = LEAST_BULK - 1
    assert mux.bulk(memoryview(bytearray(HEADER_SIZE)), PIECES) == []


def test_two_transfers_take_turns_by_long_frames():
    line = Line()
    other = line.sender.open_stream(0.0)
    other.send_window = WINDOW
    line.carry()
    line.sender.send(line.stream, bytes(PIECES))
    line.sender.send(other, bytes(PIECES))
    first = line.stream.out_bytes, other.out_bytes
    line.batch()
    second = line.stream.out_bytes, other.out_bytes
    line.batch()
    third = line.stream.out_bytes, other.out_bytes
    assert second[0] < first[0] and second[1] == first[1]
    assert third[0] == second[0] and third[1] < second[1]


@pytest.mark.parametrize("seed", range(20))
def test_messages_of_all_sizes_in_pieces_of_all_sizes_arrive_whether_placed_or_not(seed):
    draw = random.Random(seed)
    wanted = []
    lines = Line(placing=True), Line(placing=False)
    for _ in range(draw.randint(1, 12)):
        pieces = [
            draw.randbytes(draw.choice([1, 40, WHOLE - 1, WHOLE, 70_000, 300_000])) for _ in range(draw.randint(1, 5))
        ]
        wanted.append(b"".join(pieces))
        for line in lines:
            line.send(*pieces)
        if draw.random() < 0.5:
            continue
        for line in lines:
            line.carry()
    for line in lines:
        got = []
        line.carry()
        while found := line.messages():
            got += found
        assert got == wanted
        assert line.accepted.credit == lines[0].accepted.credit


def test_a_forged_message_for_a_place_gives_no_message():
    line = Line()
    line.send(bytes(PIECES))
    first = bytearray(line.batch())
    first[-1] ^= 1
    with pytest.raises(Exception, match="does not authenticate"):
        line.take(bytes(first))
    assert line.messages() == []


def test_no_place_is_given_beyond_the_frame_or_the_message_or_while_much_waits():
    line = Line()
    assert line.receiver.place(1) is None  # no frame has begun
    line.send(bytes(PIECES))
    sealed = line.batch()
    line.take(sealed[: 2 + HEADER_SIZE + 3 + TAG])
    inside = line.sealer._bulk - 3
    assert line.receiver.place(inside + 1) is None
    assert line.receiver.place(PIECES) is None
    line.accepted.messages_bytes += 1 << 30
    assert line.receiver.place(1000) is None
    line.accepted.messages_bytes -= 1 << 30
    assert line.receiver.place(inside) is not None
    # another piece than the one that a place was made for is taken as any other
    line.receiver.receive_data(memoryview(b"\1" * inside), 0.0)
    assert line.accepted.target is not None
    assert line.accepted.target_at == inside and bytes(line.accepted.target[:inside]) == b"\1" * inside
