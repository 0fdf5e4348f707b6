"""Types of content by name and by looks."""

import pytest

from cidery.gateway.media_type import BINARY, PLAIN, by_content, by_name


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("index.html", "text/html; charset=utf-8"),
        ("a.b.CSS", "text/css; charset=utf-8"),
        ("app.mjs", "text/javascript; charset=utf-8"),
        ("a.json", "application/json"),
        ("a.svg", "image/svg+xml"),
        ("a.wasm", "application/wasm"),
        ("film.mp4", "video/mp4"),
        ("README", None),
        ("a.unheardof", None),
        ("", None),
    ],
)
def test_a_name_suggests_a_type(name: str, expected: str | None) -> None:
    assert by_name(name) == expected


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (b"", PLAIN),
        (b"hello", PLAIN),
        ("źdźbło".encode(), PLAIN),
        (b'{"a": [1, 2]}', "application/json"),
        (b" [1]\n", "application/json"),
        (b"{not json", PLAIN),
        (b"[" * 3000, PLAIN),
        (b"\x89PNG\r\n\x1a\n....", "image/png"),
        (b"....ftypisom", "video/mp4"),
        (b"RIFF....WEBPVP8 ", "image/webp"),
        (b"%PDF-1.7", "application/pdf"),
        (b"\x00\x01\x02", BINARY),
        (b"text\xff\xfe", BINARY),
        (b"<!DOCTYPE html><p>", PLAIN),
        (b"<svg onload=alert(1)>", PLAIN),
    ],
)
def test_content_has_a_type_by_its_looks(head: bytes, expected: str) -> None:
    assert by_content(head, whole=True, isolated=False) == expected


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (b"<!doctype HTML><p>", "text/html; charset=utf-8"),
        (b"  <!-- a --><!-- b -->\n<html>", "text/html; charset=utf-8"),
        (b"<?xml version='1.0'?>\n<svg>", "image/svg+xml"),
        (b"<!--" * 700, PLAIN),
        (b"<!---->" * 400 + b"<html>", PLAIN),
        (b"a <p> b", PLAIN),
    ],
)
def test_pages_are_pages_by_their_looks_only_where_they_are_alone(head: bytes, expected: str) -> None:
    assert by_content(head, whole=True, isolated=True) == expected


def test_the_beginning_of_a_long_text_may_end_inside_a_letter() -> None:
    text = ("ł" * 2000).encode()
    assert by_content(text, whole=False, isolated=False) == PLAIN
    assert by_content(b"x" + text, whole=False, isolated=False) == PLAIN


def test_the_beginning_of_a_long_json_text_is_json() -> None:
    text = b"[" + b",".join(b'{"name": "value"}' for _ in range(1000))
    assert by_content(text, whole=False, isolated=False) == "application/json"
    assert by_content(b"[this is prose]" + b" and so on" * 400, whole=False, isolated=False) == PLAIN
