"""Stateless resets: who gets one, how long it is, and how many there are."""

import os

import pytest

from cidery.budgets import QUIC_RESETS
from cidery.libp2p.protocols.quic_reset import LEAST, TOKEN_SIZE, USUAL, Resets

SECRET = b"the node's own"


def resets(secret: bytes = SECRET) -> Resets:
    return Resets(secret, os.urandom, 0.0)


def addressed(size: int, first: int = 0x41) -> bytes:
    return bytes((first,)) + b"8 bytes!" + bytes(size - 9)


@pytest.mark.parametrize(("size", "answer"), [(1200, USUAL), (USUAL + 1, USUAL), (30, 29), (LEAST + 1, LEAST)])
def test_an_answer_is_shorter_than_the_question_and_ends_with_the_token(size: int, answer: int) -> None:
    made = resets().answer(addressed(size), 0.0)
    assert made is not None and len(made) == answer
    assert made[-TOKEN_SIZE:] == resets().token(b"8 bytes!")  # as another process of the same node makes it
    assert made[0] & 0xC0 == 0x40


@pytest.mark.parametrize("datagram", [b"", b"A", addressed(LEAST), addressed(1200, 0xC0), addressed(1200, 0x01)])
def test_what_is_no_packet_of_a_connection_is_not_answered(datagram: bytes) -> None:
    assert resets().answer(datagram, 0.0) is None


def test_another_node_has_other_tokens_and_answers_are_bounded() -> None:
    assert resets(b"other").token(b"8 bytes!") != resets().token(b"8 bytes!")
    node = resets()
    made = [node.answer(addressed(100), 0.0) for _ in range(1000)]
    assert sum(one is not None for one in made) == QUIC_RESETS.burst
    assert node.answer(addressed(100), 1.0) is not None
