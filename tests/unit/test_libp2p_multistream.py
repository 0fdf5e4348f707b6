"""multistream-select and the handshake runner: bytes in, bytes out."""

import pytest

from cidery.libp2p.protocols.multistream import (
    HEADER,
    MAX_LINE,
    MAX_PROPOSALS,
    MultistreamError,
    ProtocolNotSupported,
    confirm,
    encode_line,
    optimistic_opening,
    propose,
    read_line,
    respond,
)
from cidery.libp2p.protocols.steps import Handshake, Read, Send, Steps


def converse(left: Handshake[str], right: Handshake[str]) -> tuple[str | None, str | None]:
    while (a := left.data_to_send()) + (b := right.data_to_send()):
        right.receive_data(a)
        left.receive_data(b)
    return left.result, right.result


def test_the_first_proposal_goes_out_with_the_header_and_is_echoed():
    left = Handshake(propose(["/noise"]))
    assert left.data_to_send() == encode_line(HEADER) + encode_line("/noise")
    right = Handshake(respond(["/noise", "/tls/1.0.0"]))
    right.receive_data(optimistic_opening("/noise"))
    left.receive_data(right.data_to_send())
    assert left.done and left.result == right.result == "/noise"


def test_a_refused_proposal_is_followed_by_the_next():
    assert converse(Handshake(propose(["/x", "/y", "/z"])), Handshake(respond(["/z", "/y"]))) == ("/y", "/y")


def test_no_common_protocol_is_said_by_name():
    with pytest.raises(ProtocolNotSupported, match="supports none of /x, /y"):
        converse(Handshake(propose(["/x", "/y"])), Handshake(respond(["/z"])))


def test_the_refusal_is_the_bytes_of_the_specification():
    assert encode_line("na") == bytes.fromhex("036e610a")


def test_every_split_of_the_input_gives_the_same_agreement():
    data = encode_line(HEADER) + encode_line("/a") + encode_line("/b") + b"payload"
    for cut in range(len(data)):
        right = Handshake(respond(["/b"]))
        right.receive_data(data[:cut])
        right.receive_data(data[cut:])
        assert right.result == "/b" and bytes(right.rest) == b"payload"


def test_an_optimistic_opening_is_confirmed_later_or_refused():
    late = Handshake(confirm("/p"))
    late.receive_data(encode_line(HEADER) + encode_line("/p") + b"answer")
    assert late.result == "/p" and bytes(late.rest) == b"answer"
    with pytest.raises(ProtocolNotSupported):
        Handshake(confirm("/p")).receive_data(encode_line(HEADER) + encode_line("na"))


@pytest.mark.parametrize(
    "data, reason",
    [
        (b"\x00", "message of 0 bytes"),
        (b"\xff\xff\xff\xff", "more than 3 bytes"),
        (b"\x81\x08" + bytes(1025), f"1 to {MAX_LINE}"),
        (b"\x03abc", "newline"),
        (b"\x03\xff\xfe\n", "UTF-8"),
    ],
)
def test_what_is_no_message_is_refused(data, reason):
    with pytest.raises(MultistreamError, match=reason):
        Handshake(respond(["/x"])).receive_data(encode_line(HEADER) + data)


@pytest.mark.parametrize("data", [b"G", b"\xff", b"\x13/multistream/2.0.0\n", b"\x13GET / HTTP/1.1, so\n"])
def test_what_does_not_begin_with_the_header_is_refused_at_its_first_wrong_byte(data):
    with pytest.raises(MultistreamError, match="the peer begins with"):
        Handshake(respond(["/x"])).receive_data(data)


@pytest.mark.parametrize(("data", "hinted"), [(b"\x97", True), (b"G", False)])
def test_what_begins_as_noise_may_be_a_private_network(data, hinted):
    with pytest.raises(MultistreamError) as caught:
        Handshake(respond(["/x"])).receive_data(data)
    assert ("swarm.key" in str(caught.value)) is hinted


def test_the_longest_line_is_accepted():
    line = Handshake(read_line())
    line.receive_data(encode_line("x" * (MAX_LINE - 1)))
    assert line.result == "x" * (MAX_LINE - 1)


def test_an_answer_that_was_not_proposed_is_refused():
    with pytest.raises(MultistreamError, match="is no answer to /x"):
        Handshake(propose(["/x"])).receive_data(encode_line(HEADER) + encode_line("/y"))


def test_a_peer_that_proposes_without_end_is_given_up():
    right = Handshake(respond(["/x"]))
    right.receive_data(encode_line(HEADER) + encode_line("/no") * (MAX_PROPOSALS - 1))
    with pytest.raises(MultistreamError, match=f"after {MAX_PROPOSALS}"):
        right.receive_data(encode_line("/no"))


def test_a_handshake_reads_exactly_what_it_asks_for_and_leaves_the_rest():
    def steps() -> Steps[bytes]:
        yield Send(b"one")
        first = yield Read(2)
        yield Send(b"two")
        return first + (yield Read(3))

    run = Handshake(steps())
    assert run.data_to_send() == b"one" and run.data_to_send() == b""
    run.receive_data(b"a")
    assert not run.done
    run.receive_data(b"bcdeXY")
    assert run.data_to_send() == b"two" and run.result == b"abcde" and bytes(run.rest) == b"XY"
    run.receive_data(b"Z")
    assert bytes(run.rest) == b"XYZ"
