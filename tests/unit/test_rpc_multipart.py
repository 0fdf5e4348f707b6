"""The reader of multipart bodies."""

from urllib.parse import unquote_plus

import pytest

from cidery.rpc.multipart import MAX_PREAMBLE, BadMultipart, Data, Mark, MultipartReader, Part, boundary_of

BODY = (
    b"ignored preamble\r\n--B\r\n"
    b'Content-Disposition: form-data; name="file"; filename="a%2Fb"\r\nContent-Type: Text/Plain; charset=x\r\n\r\n'
    b"first\r\n-B\r\n--not\r\n"
    b"\r\n--B  \r\n"
    b"\r\n"  # no headers at all
    b"second"
    b'\r\n--B\r\ncontent-disposition: form-data; filename="q\\"uo;te"\r\n\r\n\r\n--B--\r\nignored epilogue'
)


def _read(body: bytes, step: int) -> list[tuple[Part, bytes]]:
    reader, parts, data, ended = MultipartReader("B"), [], b"", False
    for at in range(0, len(body), step):
        reader.receive_data(body[at : at + step])
        while event := reader.next_event() if not ended else None:
            match event:
                case Part():
                    part, data = event, b""
                case Data(piece):
                    data += piece
                case Mark.PART_END:
                    parts.append((part, data))
                case Mark.END:
                    ended = True
    reader.receive_eof()
    return parts


@pytest.mark.parametrize("step", [1, 2, 3, 7, 64, 10_000])
def test_a_body_reads_the_same_however_it_is_cut(step: int) -> None:
    assert _read(BODY, step) == [
        (Part("a%2Fb", "text/plain", "file"), b"first\r\n-B\r\n--not\r\n"),
        (Part("", ""), b"second"),
        (Part('q"uo;te', "", ""), b""),
    ]


def test_a_name_may_be_in_the_extended_form() -> None:
    body = b"--B\r\nContent-Disposition: form-data; filename=plain; filename*=UTF-8''%C3%A9%20\r\n\r\nx\r\n--B--"
    assert _read(body, 100)[0][0].filename == "é "


@pytest.mark.parametrize("cut", range(0, BODY.index(b"--B--") + 4))
def test_a_body_cut_anywhere_is_refused(cut: int) -> None:
    with pytest.raises(BadMultipart):
        _read(BODY[:cut], 50)


@pytest.mark.parametrize(
    "body",
    [
        bytes(MAX_PREAMBLE + 100),
        b"--B garbage\r\n\r\n",
        b"--B\r\n" + b"x" * 70_000,
        b"--B" + b" " * 1000,
        b"--Bx\r\n\r\n\r\n--B--",
    ],
)
def test_what_is_not_multipart_is_refused(body: bytes) -> None:
    with pytest.raises(BadMultipart):
        _read(body, 10_000)


def test_the_boundary_is_taken_from_the_content_type() -> None:
    assert boundary_of("multipart/form-data; boundary=abc") == "abc"
    assert boundary_of('multipart/form-data; charset=x; BOUNDARY="a b"; y=z') == "a b"
    for text in ("multipart/form-data", "multipart/form-data; boundary=", f"x; boundary={'b' * 71}"):
        with pytest.raises(BadMultipart):
            boundary_of(text)


@pytest.mark.parametrize(
    ("headers", "path"),
    [
        (b"Abspath-Encoded: %2Fa%20b", "/a b"),
        (b"Abspath: /a%20b", "/a%20b"),
        (b"Abspath: /old\r\nAbspath-Encoded: %2Fnew", "/new"),
        (b"Abspath-Encoded: %2Fnew\r\nAbspath: /old", "/new"),
    ],
)
def test_where_a_file_is_may_be_stated_by_older_clients_too(headers: bytes, path: str) -> None:
    body = b'--B\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n' + headers + b"\r\n\r\nx\r\n--B--\r\n"
    [(part, data)] = _read(body, len(body))
    assert (unquote_plus(part.abspath), data) == (path, b"x")
