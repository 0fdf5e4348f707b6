"""The WebSocket machine alone: the upgrade, frames in any pieces, and what breaks the rules or the bounds."""

import random

import pytest

from cidery.libp2p.protocols.websocket import (
    IDLE_FRAMES,
    LARGEST_CONTROL,
    LARGEST_UPGRADE,
    PROTOCOL_ERROR,
    WebSocket,
    WebSocketError,
)

ENTROPY = random.Random(7).randbytes
REQUEST = (
    b"GET /any?path HTTP/1.1\r\nHost: elsewhere.example\r\nOrigin: https://page.example\r\nUpgrade: websocket\r\n"
    b"Connection: keep-alive, Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    b"Sec-WebSocket-Version: 13\r\n\r\n"
)
HELLO_MASKED = bytes.fromhex("818537fa213d7f9f4d5158")
"""RFC 6455, 5.7: "Hello" of a client, which is text there."""


def joined(parts: object) -> bytes:
    return b"".join(map(bytes, parts))  # type: ignore[call-overload,no-any-return]


def received(socket: WebSocket, data: bytes) -> bytes:
    """A copy of what the payloads hold."""
    return joined(socket.receive_data(memoryview(bytearray(data))))


def pair() -> tuple[WebSocket, WebSocket]:
    """(client, server), both open."""
    client, server = WebSocket.client(ENTROPY, "host:80"), WebSocket.server(ENTROPY)
    assert received(server, joined(client.data_to_send())) == b""
    assert received(client, joined(server.data_to_send())) == b""
    assert client.open and server.open
    return client, server


def frame(first: int, body: bytes, mask: bytes | None = bytes(4)) -> bytes:
    """Of a client, whose mask changes nothing, or of a server without one; at most 125 bytes."""
    return bytes([first, len(body) | (0x80 if mask is not None else 0)]) + (mask or b"") + body


def test_any_host_path_and_origin_is_welcome_and_the_answer_is_that_of_the_specification():
    server = WebSocket.server(ENTROPY)
    assert received(server, REQUEST) == b""
    answer = joined(server.data_to_send())
    assert answer.startswith(b"HTTP/1.1 101 ") and b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in answer  # RFC 6455, 1.3
    assert server.open


@pytest.mark.parametrize("size", [0, 1, 3, 125, 126, 65535, 65536, 300_001])
def test_what_goes_in_comes_out_in_both_directions_whatever_the_pieces(size: int):
    data = random.Random(size).randbytes(size)
    for one, other in (pair(), reversed(pair())):
        wire = joined(one.send(data)) + joined(one.send(b"end"))
        for piece in (1, 2, 7, 4099, len(wire)) if size < 1000 else (4099, 65536):
            got = b""
            for at in range(0, len(wire), piece):
                got += received(other, wire[at : at + piece])
            assert got == data + b"end"


def test_frames_of_the_request_in_one_read_are_not_lost():
    server = WebSocket.server(ENTROPY)
    assert received(server, REQUEST + frame(0x82, b"at once")) == b"at once"


def test_a_mask_is_taken_off_and_text_is_refused():
    _, server = pair()
    assert received(server, b"\x82" + HELLO_MASKED[1:]) == b"Hello"
    with pytest.raises(WebSocketError, match="kind 1"):
        received(server, HELLO_MASKED)


def test_fragments_are_a_stream_with_pings_between_them():
    _, server = pair()
    wire = frame(0x02, b"a") + frame(0x89, b"ping") + frame(0x00, b"b") + frame(0x00, b"") + frame(0x80, b"c")
    assert received(server, wire) == b"abc"
    assert joined(server.data_to_send()) == b"\x8a\x04ping"


def test_a_close_is_answered_and_ends_it():
    client, server = pair()
    client.close()
    assert received(server, joined(client.data_to_send())) == b"" and server.ended
    answer = joined(server.data_to_send())
    assert answer == b"\x88\x02\x03\xe8"
    assert received(client, answer) == b"" and client.ended and not client.data_to_send()


@pytest.mark.parametrize(
    "wire, words",
    [
        (frame(0xC2, b"x"), "extension"),
        (frame(0x82, b"a few bytes", None), "not masked"),
        (frame(0x83, b"x"), "kind 3"),
        (frame(0x09, b"x"), "control frame"),
        (b"\x89\xfe\x00\x7e" + bytes(4), "control frame"),
        (frame(0x80, b"x"), "continuation of nothing"),
        (frame(0x02, b"x") + frame(0x82, b"y"), "within a message"),
        (b"\x82\xff" + b"\xff" * 8 + bytes(4), "first bit"),
        (frame(0x8A, b"") * (IDLE_FRAMES + 1), "without data"),
        (frame(0x02, b"") + frame(0x00, b"") * IDLE_FRAMES, "without data"),
    ],
    ids=range(10),
)
def test_what_breaks_the_rules_or_the_bounds_is_refused(wire: bytes, words: str):
    _, server = pair()
    with pytest.raises(WebSocketError, match=words):
        received(server, wire)


def test_a_frame_as_long_as_can_be_is_a_stream_and_holds_no_memory():
    _, server = pair()
    assert received(server, b"\x82\xff" + (2**63 - 1).to_bytes(8, "big") + bytes(4)) == b""
    for _ in range(20):
        assert received(server, b"x" * 1000) == b"x" * 1000
    assert len(server._head) == 0 and len(server._control) == 0


def test_pings_of_a_peer_that_sends_data_have_no_bound():
    _, server = pair()
    for _ in range(3):
        received(server, frame(0x89, bytes(LARGEST_CONTROL)) * (IDLE_FRAMES - 1) + frame(0x82, b"x"))


@pytest.mark.parametrize(
    "request_",
    [
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\n\r\n",
        REQUEST.replace(b"Version: 13", b"Version: 12"),
        REQUEST.replace(b"dGhlIHNhbXBsZSBub25jZQ==", b"short"),
        REQUEST.replace(b"HTTP/1.1", b"HTTP/2"),
        b"\x00\xff\r\n\r\n",
    ],
    ids=range(6),
)
def test_other_requests_are_answered_and_refused(request_: bytes):
    server = WebSocket.server(ENTROPY)
    with pytest.raises(WebSocketError):
        received(server, request_)
    assert not server.open


def test_an_upgrade_without_end_is_refused():
    server = WebSocket.server(ENTROPY)
    with pytest.raises(WebSocketError, match="bytes of HTTP"):
        for _ in range(LARGEST_UPGRADE // 100 + 1):
            received(server, b"GET /" + b"x" * 95)
    assert len(server._head) <= LARGEST_UPGRADE + 1


@pytest.mark.parametrize(
    "answer, words",
    [
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\n\r\n", "404"),
        (b"SSH-2.0-OpenSSH_9\r\n\r\n", "SSH"),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
         b"Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n", "Accept"),
    ],
    ids=range(3),
)  # fmt: skip
def test_an_answer_that_is_no_agreement_is_said(answer: bytes, words: str):
    client = WebSocket.client(ENTROPY, "host:80")
    client.data_to_send()
    with pytest.raises(WebSocketError, match=words):
        received(client, answer)


def test_an_address_that_makes_no_url_is_refused():
    with pytest.raises(WebSocketError, match="makes no URL"):
        WebSocket.client(ENTROPY, "[nonsense", "/")


def test_a_farewell_names_the_fault():
    _, server = pair()
    server.close(PROTOCOL_ERROR)
    assert joined(server.data_to_send()) == b"\x88\x02\x03\xea"
