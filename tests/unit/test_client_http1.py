"""The response reader of the RPC client."""

import pytest

from cidery.client.answer import MAX_LINE, RpcError, ValueLines, check_end, error_of
from cidery.client.http1 import BadResponse, ResponseReader, request_head

CHUNKED = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Stream-Error\r\nA: 1\r\nA: 2\r\n\r\n"
    b"5\r\nhello\r\n6;ext=1\r\n world\r\n0\r\nX-Stream-Error: it broke\r\n\r\n"
)


def _read(data: bytes, step: int) -> tuple[ResponseReader, bytes]:
    reader, body = ResponseReader(), b""
    for at in range(0, len(data), step):
        reader.receive_data(data[at : at + step])
        body += b"".join(reader.body())
    reader.receive_eof()
    return reader, body


@pytest.mark.parametrize("step", [1, 2, 7, 1000])
def test_a_chunked_answer_reads_the_same_however_it_is_cut(step: int) -> None:
    reader, body = _read(CHUNKED, step)
    assert (reader.status, body, reader.done) == (200, b"hello world", True)
    assert reader.headers["a"] == "1, 2"
    with pytest.raises(RpcError, match="it broke"):
        check_end(reader)


def test_a_body_of_known_length_ends_where_it_says() -> None:
    reader, body = _read(b"HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\n\r\nabc", 4)
    assert (reader.status, reader.reason, body) == (404, "Not Found", b"abc")


def test_a_body_without_length_ends_with_the_connection() -> None:
    reader, body = _read(b"HTTP/1.0 200 OK\r\n\r\nabc", 5)
    assert body == b"abc" and reader.done


def test_an_interim_answer_is_passed_over() -> None:
    reader, body = _read(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n", 100)
    assert reader.status == 204 and body == b""


@pytest.mark.parametrize("cut", range(1, len(CHUNKED)))
def test_an_answer_cut_anywhere_is_no_success(cut: int) -> None:
    with pytest.raises(BadResponse):
        _read(CHUNKED[:cut], 50)


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 2\xb20 superscript\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: \xb2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1_0\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"x" * 70_000,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1" * 2000,
    ],
)
def test_what_is_not_http_is_refused(data: bytes) -> None:
    with pytest.raises(BadResponse):
        _read(data, 10_000)


def test_a_request_cannot_be_broken_out_of_by_its_arguments() -> None:
    head = request_head("127.0.0.1:5001", ["a\r\nb"], [("arg", "x y&z\r\nHost: evil"), ("o", "é")])
    assert head.count(b"\r\n") == head[: head.index(b"\r\n\r\n")].count(b"\r\n") + 2
    assert b"arg=x%20y%26z%0D%0AHost%3A%20evil&o=%C3%A9" in head


def test_errors_are_taken_from_json_or_plain_text() -> None:
    assert str(error_of(500, "x", b'{"Message":"no link","Code":0,"Type":"error"}')) == "no link"
    assert str(error_of(403, "x", b"403 - Forbidden\n")) == "403 - Forbidden"
    assert str(error_of(500, "Oops", b"")) == "500 Oops"
    assert str(error_of(500, "Oops", b"[1]")) == "500 Oops"


def test_values_are_read_over_any_cuts_and_bounded() -> None:
    lines = ValueLines()
    got = [value for byte in b'{"a":1}\n\n{"b":2}\n{"c":3}' for value in lines.receive_data(bytes([byte]))]
    assert [*got, *lines.receive_eof()] == [{"a": 1}, {"b": 2}, {"c": 3}]
    with pytest.raises(BadResponse):
        ValueLines().receive_data(b"x" * (MAX_LINE + 1))
    for line in (b"nonsense\n", b"[1]\n", b"1\n"):
        with pytest.raises(BadResponse):
            ValueLines().receive_data(line)
