"""The frame of the pages made here: one style, no script, nothing from elsewhere. Pure.

Pages are read with and without a mouse, on phones, in the dark, and by programs that look for text.
"""

from __future__ import annotations

import hashlib
from html import escape
from urllib.parse import quote

HTML_TYPE = "text/html; charset=utf-8"
SAFE = "!$&'()*+,;=:@-._~"
"""Characters that stay as they are in a name of a path (RFC 3986, pchar)."""
CSP = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src 'self' data:; media-src 'self'; "
    "base-uri 'none'; form-action 'none'"
)
"""Of pages made here: no script, and no form; pictures come from the content shown."""
_DRAWINGS = {
    "folder": "M2 5h6l2 2h8v9H2z",
    "file": "M5 2h7l4 4v12H5zM12 2v4h4",
    "link": "M8 12l4-4M7 9l-2 2a3 3 0 0 0 4 4l2-2M13 11l2-2a3 3 0 0 0-4-4L9 7",
    "image": "M3 4h14v12H3zM3 14l4-4 3 3 3-4 4 5",
    "audio": "M8 15V5l8-2v10M8 15a2 2 0 1 1-4 0 2 2 0 0 1 4 0zM16 13a2 2 0 1 1-4 0 2 2 0 0 1 4 0z",
    "video": "M3 4h14v12H3zM8 7l5 3-5 3z",
}
"""By what they stand for: paths of SVG on 20 x 20."""


def _icon(name: str, path: str) -> str:
    svg = "%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 20 20' fill='none' stroke='%23000' stroke-width='1.4'"
    url = f"url(\"data:image/svg+xml,{svg}%3E%3Cpath d='{path}'/%3E%3C/svg%3E\")"
    return f".{name}{{-webkit-mask-image:{url};mask-image:{url}}}"


_STYLE = """
:root{color-scheme:light dark;--ink:#1c2128;--soft:#667;--line:#e3e5ea;--back:#fff;--over:#f3f6fa;--link:#0b62c4}
@media(prefers-color-scheme:dark){:root{--ink:#e4e7ec;--soft:#99a2b0;--line:#2d333d;--back:#14171c;--over:#1d222a;
--link:#7ab8ff}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:68rem;padding:1.5rem 1rem 3rem;background:var(--back);color:var(--ink);
font:16px/1.5 system-ui,sans-serif}
a{color:var(--link);text-decoration:none}a:hover{text-decoration:underline}
h1{font-size:1.15rem;font-weight:600;overflow-wrap:anywhere;margin:0 0 .25rem}
.soft{color:var(--soft);font-size:.875rem;overflow-wrap:anywhere}
table{border-collapse:collapse;width:100%;margin-top:1rem}
i{display:inline-block;width:1.25rem;height:1.25rem;background:var(--soft);vertical-align:middle}
i.folder{background:var(--link)}
td{padding:.4rem .5rem;border-top:1px solid var(--line);vertical-align:middle}
tr:hover{background:var(--over)}
.icon{width:2.5rem;text-align:center}.icon img{width:2rem;height:2rem;object-fit:cover;border-radius:4px;display:block}
.name{overflow-wrap:anywhere}.size,.date{text-align:right;white-space:nowrap;color:var(--soft);font-size:.875rem}
.ipfs-hash{font:.8125rem ui-monospace,monospace;color:var(--soft)}
.hash{max-width:11rem;overflow:hidden;text-overflow:ellipsis;white-space:nowrap}
summary{cursor:pointer;display:inline;color:var(--soft);font-size:.875rem;margin-left:.5rem}
video,audio{width:100%;max-height:70vh;margin-top:.5rem}
pre{background:var(--over);padding:1rem;border-radius:6px;overflow:auto;font-size:.875rem}
@media(max-width:40rem){.hash,.date{display:none}}
""" + "\n".join(_icon(name, path) for name, path in _DRAWINGS.items())
STYLE_TAG = hashlib.sha256(_STYLE.encode()).hexdigest()[:8]
"""Changes with the looks: part of the Etag of generated pages."""


def begin(title: str) -> str:
    """A page up to its body. ``title``: plain text."""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<link rel="icon" href="data:,">\n'
        f"<title>{shown(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
    )


END = "</body>\n</html>\n"


def shown(text: str) -> str:
    """Text for a page: names may hold bytes that are no text."""
    return escape(text.encode("utf-8", "replace").decode() if not text.isascii() else text)


def escaped(name: str) -> str:
    """A name as one segment of a path."""
    return quote(name, safe=SAFE, errors="surrogateescape")


def link(href: str, text: str) -> str:
    """``href``: escaped; ``text``: plain."""
    return f'<a href="{escape(href)}">{shown(text)}</a>'


def error_page(status: int, reason: str, message: str, advice: str) -> bytes:
    """What happened and what to try. ``message`` and ``advice``: plain text."""
    more = f"<p>{shown(advice)}</p>\n" if advice else ""
    title = f"{status} {reason}".strip()
    return f"{begin(title)}<h1>{shown(title)}</h1>\n<pre>{shown(message)}</pre>\n{more}{END}".encode()
