"""Any bytes give an answer or BadResponse, however they are cut."""

from hypothesis import given, settings
from hypothesis import strategies as st

from cidery.client.http1 import BadResponse, ResponseReader

PIECES = st.sampled_from(
    [
        b"HTTP/1.1 200 OK\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Content-Length: 4\r\n",
        b"\r\n",
        b"4\r\nabcd\r\n",
        b"0\r\n",
        b"X-Stream-Error: e\r\n",
    ]
)


def _outcome(data: bytes, cuts: list[int]) -> tuple[object, ...]:
    reader, body, at = ResponseReader(), b"", 0
    try:
        for cut in [*sorted(cut % (len(data) + 1) for cut in cuts), len(data)]:
            reader.receive_data(data[at:cut])
            body += b"".join(reader.body())
            at = cut
        reader.receive_eof()
    except BadResponse:
        return ("refused",)
    return reader.status, body + b"".join(reader.body()), reader.headers, reader.trailers


@settings(max_examples=300, derandomize=True, deadline=None)
@given(st.lists(PIECES | st.binary(max_size=20), max_size=12), st.lists(st.integers(0, 200), max_size=6))
def test_any_cut_of_any_bytes_gives_the_same_answer_or_the_same_refusal(pieces: list[bytes], cuts: list[int]) -> None:
    data = b"".join(pieces)
    assert _outcome(data, cuts) == _outcome(data, [])
