"""Any bytes give parts or BadMultipart, however they are cut; what the client writes is what the server reads."""

from hypothesis import given, settings
from hypothesis import strategies as st

from cidery.client.multipart import FILE, encode_parts
from cidery.client.multipart import Part as Sent
from cidery.rpc.multipart import BadMultipart, Data, MultipartReader, Part

PIECES = st.sampled_from(
    [b"--B", b"\r\n--B\r\n", b"\r\n\r\n", b"\r\n", b"--", b"abc", b'content-disposition: x; filename="f"']
)


def _outcome(body: bytes, cuts: list[int]) -> object:
    reader, out, at = MultipartReader("B"), [], 0
    try:
        for cut in [*sorted(cut % (len(body) + 1) for cut in cuts), len(body)]:
            reader.receive_data(body[at:cut])
            at = cut
            while event := reader.next_event():
                if isinstance(event, Part):
                    out.append([event, b""])
                elif isinstance(event, Data):
                    out[-1][1] += event.data
        reader.receive_eof()
    except BadMultipart:
        return "refused"
    return out


@settings(max_examples=300, derandomize=True, deadline=None)
@given(st.lists(PIECES | st.binary(max_size=10), max_size=14).map(b"".join), st.lists(st.integers(0, 300), max_size=8))
def test_any_cut_of_any_bytes_gives_the_same_parts_or_the_same_refusal(body: bytes, cuts: list[int]) -> None:
    assert _outcome(body, cuts) == _outcome(body, [])


@settings(max_examples=150, derandomize=True, deadline=None)
@given(st.lists(st.tuples(st.text(max_size=8).filter(lambda t: "\0" not in t), st.binary(max_size=50)), max_size=5))
def test_what_the_client_sends_is_what_is_read(files: list[tuple[str, bytes]]) -> None:
    names = [name.encode("utf-8", "replace").decode() for name, _ in files]
    # The real boundary is random; one that no generated data can hold stands for it.
    boundary = "x" * 60
    sent = [Sent(name, FILE, data, len(data)) for name, (_, data) in zip(names, files, strict=True)]
    body = b"".join(encode_parts(iter(sent), boundary))
    reader = MultipartReader(boundary)
    reader.receive_data(body)
    got: list[bytes] = []
    while event := reader.next_event():
        if isinstance(event, Part):
            got.append(b"")
        elif isinstance(event, Data):
            got[-1] += event.data
    reader.receive_eof()
    assert got == [data for _, data in files]
