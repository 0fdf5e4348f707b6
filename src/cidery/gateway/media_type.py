"""The media type of content: by its name, then by its first bytes. Pure.

Spec: https://mimesniff.spec.whatwg.org/ (signatures), https://specs.ipfs.tech/http-gateways/path-gateway/#content-type-response-header
"""

import json
import re
from mimetypes import MimeTypes

from cidery.multiformats.varint import Buffer

HEAD_BYTES = 3072
"""First bytes that are looked at."""
BINARY = "application/octet-stream"
PLAIN = "text/plain; charset=utf-8"
_BY_ENDING = MimeTypes(strict=True)
_BETTER = {
    ".avif": "image/avif", ".bz2": "application/x-bzip2", ".car": "application/vnd.ipld.car",
    ".cbor": "application/cbor", ".cjs": "text/javascript", ".epub": "application/epub+zip",
    ".flac": "audio/flac", ".geojson": "application/geo+json", ".gz": "application/gzip", ".heic": "image/heic",
    ".ico": "image/x-icon", ".ipynb": "application/json", ".jsonld": "application/ld+json", ".jxl": "image/jxl",
    ".js": "text/javascript", ".m4a": "audio/mp4", ".m4v": "video/mp4", ".map": "application/json",
    ".md": "text/markdown", ".mjs": "text/javascript", ".mkv": "video/x-matroska", ".mpd": "application/dash+xml",
    ".m3u8": "application/vnd.apple.mpegurl", ".oga": "audio/ogg", ".ogg": "audio/ogg", ".ogv": "video/ogg",
    ".opus": "audio/ogg", ".otf": "font/otf", ".parquet": "application/vnd.apache.parquet", ".toml": "application/toml",
    ".ts": "video/mp2t", ".ttf": "font/ttf", ".vtt": "text/vtt", ".wasm": "application/wasm", ".wav": "audio/wav",
    ".webm": "video/webm", ".webmanifest": "application/manifest+json", ".webp": "image/webp",
    ".woff": "font/woff", ".woff2": "font/woff2", ".xhtml": "application/xhtml+xml", ".xml": "text/xml",
    ".xz": "application/x-xz", ".yaml": "application/yaml", ".yml": "application/yaml", ".zst": "application/zstd",
}  # fmt: skip
"""Types that the standard library lacks, or names otherwise than browsers expect."""
_SIGNATURES: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\x89PNG\r\n\x1a\n", "image/png"),
    (0, b"\xff\xd8\xff", "image/jpeg"),
    (0, b"GIF87a", "image/gif"),
    (0, b"GIF89a", "image/gif"),
    (8, b"WEBP", "image/webp"),
    (0, b"\x00\x00\x01\x00", "image/x-icon"),
    (0, b"BM", "image/bmp"),
    (0, b"II*\x00", "image/tiff"),
    (0, b"MM\x00*", "image/tiff"),
    (4, b"ftypavif", "image/avif"),
    (4, b"ftypheic", "image/heic"),
    (4, b"ftypM4A", "audio/mp4"),
    (4, b"ftypqt", "video/quicktime"),
    (4, b"ftyp", "video/mp4"),
    (0, b"\x1aE\xdf\xa3", "video/webm"),
    (0, b"OggS", "application/ogg"),
    (0, b"ID3", "audio/mpeg"),
    (0, b"\xff\xfb", "audio/mpeg"),
    (0, b"\xff\xf3", "audio/mpeg"),
    (0, b"fLaC", "audio/flac"),
    (8, b"WAVE", "audio/wav"),
    (8, b"AVI ", "video/x-msvideo"),
    (0, b"%PDF-", "application/pdf"),
    (0, b"PK\x03\x04", "application/zip"),
    (0, b"PK\x05\x06", "application/zip"),
    (0, b"\x1f\x8b", "application/gzip"),
    (0, b"BZh", "application/x-bzip2"),
    (0, b"\xfd7zXZ\x00", "application/x-xz"),
    (0, b"\x28\xb5\x2f\xfd", "application/zstd"),
    (0, b"7z\xbc\xaf\x27\x1c", "application/x-7z-compressed"),
    (257, b"ustar", "application/x-tar"),
    (0, b"\x00asm", "application/wasm"),
    (0, b"wOFF", "font/woff"),
    (0, b"wOF2", "font/woff2"),
    (0, b"\x00\x01\x00\x00\x00", "font/ttf"),
    (0, b"OTTO", "font/otf"),
    (0, b"SQLite format 3\x00", "application/vnd.sqlite3"),
    (0, b"PAR1", "application/vnd.apache.parquet"),
)
"""Where, what, and what it means."""
_AT_START = [[one for one in _SIGNATURES if not one[0] and one[1][0] == first] for first in range(256)]
"""Those at the start, by their first byte."""
_LATER = [one for one in _SIGNATURES if one[0]]
_HAS_LATER = re.compile(b"|".join(b".{%d}%s" % (at, re.escape(signature)) for at, signature, _ in _LATER), re.DOTALL)
_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")
_PAGE = re.compile(
    rb"<(?:!doctype\s+html|html|head|body|title|script|iframe|h1|div|p|a|br|table|style|meta)[\s>/]", re.IGNORECASE
)
_DRAWING = re.compile(rb"<(?:!doctype\s+svg|svg)[\s>]", re.IGNORECASE)
MAX_COMMENTS = 16
"""Comments and declarations of a page or drawing that are skipped to find its first element."""


def by_name(name: str) -> str | None:
    """The type that a file's name suggests; None: none."""
    dot = name.rfind(".")
    if dot < 0:
        return None
    ending = name[dot:].lower()
    kind = _BETTER.get(ending) or _BY_ENDING.types_map[True].get(ending)
    # as Kubo: text without a charset would be guessed, and is UTF-8 nearly always
    return f"{kind}; charset=utf-8" if kind is not None and kind.startswith("text/") else kind


def by_content(head: Buffer, *, whole: bool, isolated: bool) -> str:
    """The type of content that begins with ``head``.

    Args:
        whole: whether that is all of it.
        isolated: whether it is served from an origin of its own. Elsewhere nothing becomes a page by its looks: a
            script of one author would have the storage of all others.
    """
    data = bytes(head[:HEAD_BYTES])
    if not data:
        return PLAIN
    for _, signature, kind in _AT_START[data[0]]:
        if data.startswith(signature):
            return kind
    if _HAS_LATER.match(data) is not None:
        return next(kind for at, signature, kind in _LATER if data.startswith(signature, at))
    if _CONTROL.search(data) is not None or not _is_text(data, whole=whole and len(head) <= HEAD_BYTES):
        return BINARY
    if _is_json(data, whole=whole and len(head) <= HEAD_BYTES):
        return "application/json"
    if isolated:
        first = _first_element(data)
        if _PAGE.match(first):
            return "text/html; charset=utf-8"
        if _DRAWING.match(first):
            return "image/svg+xml"
    return PLAIN


def _first_element(data: bytes) -> bytes:
    for _ in range(MAX_COMMENTS):
        data = data.lstrip()
        if data.startswith(b"<!--"):
            data = data.partition(b"-->")[2]
        elif data.startswith(b"<?xml"):
            data = data.partition(b"?>")[2]
        else:
            break
    return data


def _is_text(data: bytes, *, whole: bool) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError as exc:
        return not whole and exc.start >= len(data) - 3 and exc.reason == "unexpected end of data"
    return True


def _is_json(data: bytes, *, whole: bool) -> bool:
    """Whether it is an object or a list; of a longer text, whether it may be the beginning of one."""
    if data.lstrip()[:1] not in (b"{", b"["):
        return False
    text = data.decode("utf-8", "ignore")
    try:
        json.loads(text)
    except json.JSONDecodeError as exc:
        return not whole and (exc.pos >= len(text.rstrip()) - 6 or exc.msg.startswith("Unterminated string"))
    except RecursionError:
        return False
    return True
