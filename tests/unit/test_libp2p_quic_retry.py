"""Tokens of Retry packets: good for one address, one id, and ten seconds."""

import pytest

from cidery.libp2p.protocols.quic_retry import GOOD_FOR, KEY_SIZE, RetryTokens

TOKENS = RetryTokens(bytes(range(KEY_SIZE)))
HERE = ("192.0.2.1", 4001)


def test_a_token_gives_the_first_id_back_to_who_has_the_address() -> None:
    token = TOKENS.make(HERE, b"original", b"retry-id", 5.0)
    assert TOKENS.original_id(token, HERE, b"retry-id", 5.0 + GOOD_FOR - 0.01) == b"original"


@pytest.mark.parametrize(
    ("source", "retry_id", "now"),
    [
        (("192.0.2.2", 4001), b"retry-id", 5.0),
        (("192.0.2.1", 4002), b"retry-id", 5.0),
        (HERE, b"other-id", 5.0),
        (HERE, b"retry-id", 5.0 + GOOD_FOR + 0.01),
    ],
)
def test_a_token_of_somebody_else_or_of_long_ago_is_worth_nothing(
    source: tuple[str, int], retry_id: bytes, now: float
) -> None:
    assert TOKENS.original_id(TOKENS.make(HERE, b"original", b"retry-id", 5.0), source, retry_id, now) is None


def test_a_token_that_was_altered_anywhere_or_made_by_another_node_is_worth_nothing() -> None:
    token = TOKENS.make(HERE, b"original", b"retry-id", 5.0)
    for at in range(len(token)):
        broken = token[:at] + bytes((token[at] ^ 1,)) + token[at + 1 :]
        assert TOKENS.original_id(broken, HERE, b"retry-id", 5.0) is None
        assert TOKENS.original_id(token[:at], HERE, b"retry-id", 5.0) is None
    assert RetryTokens(bytes(KEY_SIZE)).original_id(token, HERE, b"retry-id", 5.0) is None
