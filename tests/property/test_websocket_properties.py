"""Any bytes, in any pieces, are a stream to a WebSocket or its own error; what is sent arrives, whatever the pieces."""

import asyncio
import random

from hypothesis import given, settings
from hypothesis import strategies as st

from cidery.libp2p.io.first_bytes import PLAIN, WS, WSS, told
from cidery.libp2p.io.websocket import WebSocketLayer
from cidery.libp2p.protocols.websocket import WebSocket, WebSocketError, xor

ENTROPY = random.Random(9).randbytes
many = settings(derandomize=True, max_examples=300, deadline=None)
heads = st.builds(
    lambda first, second, rest: bytes([first, second]) + rest,
    st.sampled_from([0x00, 0x02, 0x80, 0x82, 0x88, 0x89, 0x8A, 0xC2, 0x81]),
    st.integers(0, 255),
    st.binary(max_size=300),
)
hostile = st.lists(st.one_of(heads, st.binary(max_size=50)), max_size=10).map(b"".join)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[one:other] for one, other in zip(edges, edges[1:], strict=False)]


def feed(socket: WebSocket, pieces: list[bytes]) -> bytes:
    got = b""
    for piece in pieces:
        got += b"".join(map(bytes, socket.receive_data(memoryview(bytearray(piece)))))
        socket.data_to_send()
    return got


def opened() -> tuple[WebSocket, WebSocket]:
    client, server = WebSocket.client(ENTROPY, "host:80"), WebSocket.server(ENTROPY)
    feed_into(server, client)
    feed_into(client, server)
    return client, server


def feed_into(one: WebSocket, other: WebSocket) -> None:
    one.receive_data(memoryview(bytearray(b"".join(other.data_to_send()))))


@many
@given(st.booleans(), st.booleans(), hostile, st.lists(st.integers(0, 1 << 16), max_size=6))
def test_any_bytes_are_a_stream_or_its_own_error(open_: bool, serving: bool, data: bytes, places: list[int]) -> None:
    client, server = opened() if open_ else (WebSocket.client(ENTROPY, "host:80"), WebSocket.server(ENTROPY))
    try:
        feed(server if serving else client, cut(data, places))
    except WebSocketError:
        pass


@many
@given(st.integers(0, 1 << 16), st.integers(1, 255), st.lists(st.integers(0, 1 << 16), max_size=6))
def test_a_wrong_byte_anywhere_in_an_upgrade_and_what_follows_is_a_stream_or_its_own_error(
    at: int, by: int, places: list[int]
) -> None:
    client, _ = opened()
    asking = WebSocket.client(ENTROPY, "host:80")
    wire = bytearray(b"".join(asking.data_to_send()) + b"".join(map(bytes, client.send(bytes(200)))))
    wire[at % len(wire)] ^= by
    try:
        feed(WebSocket.server(ENTROPY), cut(bytes(wire), places))
    except WebSocketError:
        pass


@many
@given(st.booleans(), st.lists(st.binary(max_size=400), max_size=8), st.lists(st.integers(0, 1 << 16), max_size=12))
def test_what_is_sent_arrives(from_client: bool, sent: list[bytes], places: list[int]) -> None:
    client, server = opened()
    one, other = (client, server) if from_client else (server, client)
    wire = b"".join(b"".join(map(bytes, one.send(data))) for data in sent)
    assert feed(other, cut(wire, places)) == b"".join(sent)


class Reader(asyncio.BufferedProtocol):
    """What a layer feeds: with room for some bytes at a time, as a connection that is partly filled."""

    def __init__(self, room: int) -> None:
        self.got = bytearray()
        self._buffer = memoryview(bytearray(room))

    def get_buffer(self, _sizehint: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, count: int) -> None:
        assert 0 < count <= len(self._buffer)
        self.got += self._buffer[:count]


class Sunk(asyncio.Transport):
    """Takes whatever is written."""

    def __init__(self) -> None:
        super().__init__()
        self.closed = False

    def get_write_buffer_size(self) -> int:
        return 0

    def write(self, data: bytes | bytearray | memoryview) -> None:
        pass

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True


@many
@given(
    st.booleans(),
    st.lists(st.integers(0, 300), max_size=8),
    st.integers(1, 400),
    st.lists(st.integers(1, 500), min_size=1, max_size=9),
)
def test_what_frames_carry_is_closed_up_in_the_buffer_above_whatever_the_reads(
    serving: bool, sizes: list[int], room: int, reads: list[int]
) -> None:
    client, server = WebSocket.client(ENTROPY, "host:80"), WebSocket.server(ENTROPY)
    request = b"".join(client.data_to_send())
    other = client if serving else server
    above = Reader(room)
    layer = WebSocketLayer(above, server if serving else client)
    layer.connection_made(Sunk())
    if serving:
        wire = request
    else:
        server.receive_data(memoryview(bytearray(request)))
        wire = b"".join(server.data_to_send())
    other.open = True
    sent = [ENTROPY(size) for size in sizes]
    wire += b"".join(b"".join(map(bytes, other.send(payload))) for payload in sent)
    at, turn = 0, 0
    while at < len(wire):
        into = layer.get_buffer(-1)
        count = min(len(into), reads[turn % len(reads)], len(wire) - at)
        into[:count] = wire[at : at + count]
        layer.buffer_updated(count)
        at, turn = at + count, turn + 1
    assert above.got == b"".join(sent)


@many
@given(st.binary(max_size=200), st.integers(0, 8), st.binary(min_size=4, max_size=4))
def test_a_mask_is_put_on_at_any_place_of_a_buffer(data: bytes, offset: int, mask: bytes) -> None:
    whole = bytearray(bytes(offset) + data + bytes(8))
    xor(memoryview(whole)[offset : offset + len(data)], mask)
    assert whole == bytes(offset) + bytes(one ^ mask[at % 4] for at, one in enumerate(data)) + bytes(8)


@many
@given(st.binary(max_size=8))
def test_first_bytes_tell_one_form_and_more_of_them_change_nothing(data: bytes) -> None:
    form = told(data[:3])
    if len(data) >= 3:
        assert form is not None
    if form is not None:
        assert told(data) == form
    assert told(b"GET /") == WS and told(b"\x16\x03\x01\x02") == WSS and told(b"\x13/multistream") == PLAIN
