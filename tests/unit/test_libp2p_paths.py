"""Paths below a connection: what comes over several TCP connections is read in the order in which it was sent."""

import random

import pytest

from cidery.budgets import PATHS
from cidery.libp2p.io.paths import paths_for
from cidery.libp2p.protocols.multistream import ProtocolNotSupported, encode_line
from cidery.libp2p.protocols.noise import NoiseChannel, NoiseError
from cidery.libp2p.protocols.paths import (
    ACCEPTED,
    JOIN_SIZE,
    MAX_AHEAD,
    MAX_PIECE,
    PROTOCOL,
    RECORD_SIZE,
    TOKEN_SIZE,
    Join,
    Order,
    PathError,
    propose,
    record,
    token,
)
from cidery.libp2p.protocols.steps import Handshake


def two_ends() -> tuple[NoiseChannel, NoiseChannel]:
    sender, receiver = NoiseChannel(b"a" * 32, b"b" * 32), NoiseChannel(b"b" * 32, b"a" * 32)
    receiver.stops_at_records = True
    return sender, receiver


def sealed(channel: NoiseChannel, plain: bytes) -> bytes:
    out = memoryview(bytearray(channel.sealed_size))
    return bytes(out[: channel.seal_into(memoryview(plain), out)])


def read(channel: NoiseChannel, order: Order, main: bytearray, plain: bytearray) -> None:
    """As a connection does, with whatever is here."""
    used = 0 if order.waits else channel.receive(memoryview(bytes(main)), plain.extend)
    while True:
        taken, piece = order.next(memoryview(bytes(main))[used:])
        used += taken
        if not piece:
            break
        assert channel.receive(memoryview(piece), plain.extend) == len(piece)
        used += channel.receive(memoryview(bytes(main))[used:], plain.extend)
    del main[:used]


@pytest.mark.parametrize("seed", range(20))
def test_what_comes_in_any_order_over_any_path_is_read_in_the_order_in_which_it_was_sent(seed: int):
    chance = random.Random(seed)
    sender, receiver = two_ends()
    lines: list[bytearray] = [bytearray() for _ in range(4)]
    said = b""
    for _ in range(60):
        plain = chance.randbytes(chance.randrange(1, 3000))
        said += plain
        piece, over = sealed(sender, plain), chance.randrange(4)
        if over:
            lines[0] += record(over, len(piece))
        lines[over] += piece
    order, main, got = Order(), bytearray(), bytearray()
    for number in (1, 2, 3):
        order.add(number)
    while any(lines):
        over = chance.choice([at for at, line in enumerate(lines) if line])
        size = chance.randrange(1, 5000)
        piece, lines[over] = lines[over][:size], lines[over][size:]
        if over:
            order.received(over, memoryview(piece))
        else:
            main += piece
        read(receiver, order, main, got)
        assert said.startswith(got)
    assert got == said and not main and not order.waits


@pytest.mark.parametrize(
    "wrong", [record(2, 100), record(0, 100), record(200, 100), record(1, 0), record(1, MAX_PIECE + 1)]
)
def test_a_record_of_no_path_or_of_no_size_is_refused(wrong: bytes):
    order = Order()
    order.add(1)
    with pytest.raises(PathError):
        order.next(memoryview(wrong))


def test_a_record_that_is_not_whole_is_waited_for():
    order = Order()
    order.add(1)
    for size in range(RECORD_SIZE):
        assert order.next(memoryview(record(1, 9)[:size])) == (0, b"") and not order.waits
    assert order.next(memoryview(record(1, 9))) == (RECORD_SIZE, b"") and order.waits
    order.received(1, memoryview(b"123456789abc"))
    assert order.next(memoryview(b"")) == (0, b"123456789") and not order.waits


def test_a_path_that_is_gone_brings_nothing_more():
    order = Order()
    order.add(1)
    assert order.next(memoryview(record(1, 9))) == (RECORD_SIZE, b"")
    order.remove(1)
    with pytest.raises(PathError, match="has ended"):
        order.next(memoryview(b""))


@pytest.mark.parametrize("number", [0, 1, PATHS.amount + 1])
def test_a_path_has_a_number_of_its_own(number: int):
    order = Order()
    order.add(1)
    with pytest.raises(PathError):
        order.add(number)


def test_what_comes_before_its_turn_is_bounded():
    order = Order()
    order.add(1)
    order.received(1, memoryview(bytes(MAX_AHEAD - 1)))
    assert order.has_room(1)
    order.received(1, memoryview(b"1"))
    assert not order.has_room(1)
    assert order.next(memoryview(record(1, 1)))[1] and order.has_room(1)


def test_an_empty_message_is_refused_where_there_are_no_paths():
    with pytest.raises(NoiseError):
        NoiseChannel(bytes(32), bytes(32)).receive(memoryview(record(1, 9)), lambda _: None)


def test_a_path_is_proposed_and_joined_with_the_token_of_its_connection():
    secret = token(b"what the handshake came to")
    assert len(secret) == TOKEN_SIZE and secret != token(b"another handshake")
    opening = Handshake(propose())
    assert opening.data_to_send() == encode_line("/multistream/1.0.0") + encode_line(PROTOCOL)
    said = Join(secret, 7).said
    assert len(said) == JOIN_SIZE and Join.of(said) == (secret, 7)
    opening.receive_data(encode_line("/multistream/1.0.0") + encode_line(PROTOCOL))
    assert not opening.done, "it may not have joined yet"
    opening.receive_data(ACCEPTED + b"sealed")
    assert opening.done and opening.rest == b"sealed"


def test_another_answer_than_that_it_has_joined_is_none():
    opening = Handshake(propose())
    with pytest.raises(PathError):
        opening.receive_data(encode_line("/multistream/1.0.0") + encode_line(PROTOCOL) + b"\2")


def test_a_peer_that_knows_no_paths_says_so():
    opening = Handshake(propose())
    with pytest.raises(ProtocolNotSupported):
        opening.receive_data(encode_line("/multistream/1.0.0") + encode_line("na"))


def test_the_longer_the_line_the_more_paths_and_none_where_it_is_short():
    assert [paths_for(seconds) for seconds in (0.01, 0.9, 1.0, 2.0, 10.0, 2640.0)] == [0, 0, 2, 4, 22, PATHS.amount]
