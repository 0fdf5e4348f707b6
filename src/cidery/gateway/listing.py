"""Listings of directories: rows as they are found, so that a million entries take no memory. Pure.

Spec: https://specs.ipfs.tech/http-gateways/path-gateway/#generated-html-with-directory-index
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape
from typing import NamedTuple
from urllib.parse import quote

from cidery.commands.byte_size import human_size
from cidery.gateway.media_type import by_name
from cidery.gateway.page import END, STYLE_TAG, begin, escaped, link, shown
from cidery.multiformats.cid import CID
from cidery.unixfs.metadata import Mtime
from cidery.unixfs.node import Kind

MAX_THUMBNAIL = 1024 * 1024
"""Largest picture that is shown in its row, in bytes."""
_SIMPLE = re.compile(r"[A-Za-z0-9._~-]*")
"""Names that need no escaping of any kind, as most; also several in one text."""
EXPLORER = "https://cid.ipfs.tech/#"
"""Where the CIDs of a DNSLink's page lead, which has no address of its own for them."""
_FOLDER = '<i class="folder"></i>'
_ICONS = {kind: f'<i class="{kind}"></i>' for kind in ("image", "audio", "video", "link", "file")}
_FILE = _ICONS["file"]


class Crumbs(NamedTuple):
    """Where a listing stands: what its address bar says."""

    namespace: str
    root: str
    """CID, key or domain, as in the address."""
    below: tuple[str, ...]
    """Names below the root."""
    host: str = ""
    """Of a subdomain gateway; of a DNSLink, its own. "": a path gateway."""
    dnslink: bool = False
    """Whether the host is the root itself."""

    def title(self) -> str:
        return "/".join(("", self.namespace, self.root, *self.below))

    def html(self) -> str:
        base = f"//{self.host}" if self.host else ""
        at = f"{base}/" if self.dnslink else f"{base}/{self.namespace}/{escaped(self.root)}"
        parts = [link(at, self.root)]
        at = at.rstrip("/")
        for name in self.below:
            at = f"{at}/{escaped(name)}"
            parts.append(link(at, name))
        return f"/{self.namespace}/" + "/".join(parts)

    def of_content(self) -> tuple[str, str, str]:
        """The attributes of a link to an entry's CID: before it, between it and the name, after that.

        The name is a value in a query of a URL, escaped for both; "" in the middle: there is none.
        """
        if self.dnslink:
            return f'href="{EXPLORER}', "", '" target="_blank" rel="noreferrer noopener"'
        base = escape(f"//{self.host}") if self.host else ""
        return f'href="{base}/ipfs/', "?filename=", '"'


class Row(NamedTuple):
    """One entry."""

    name: str
    cid: CID
    size: int | None
    """Bytes; None: unknown."""
    kind: Kind | None = None
    """None: its block is not here."""
    mtime: Mtime | None = None


def tag_of(cid: str) -> str:
    """Etag of the listing of a directory."""
    return f'"DirIndex-{STYLE_TAG}_CID-{cid}"'


def beginning(crumbs: Crumbs, cid: str, path: str, size: int | None) -> str:
    """The page up to the first row. ``path``: that of the request, escaped, with its final slash."""
    total = f" · {human_size(size)}" if size is not None else ""
    head = (
        f"{begin(crumbs.title())}<h1>Index of {crumbs.html()}</h1>\n"
        f'<div class="soft"><span class="ipfs-hash" translate="no">{cid}</span>{total}</div>\n<table>\n'
    )
    if not crumbs.below:
        return head
    return f'{head}<tr><td class="icon">{_FOLDER}</td><td class="name"><a href="{escape(path)}..">..</a></td></tr>\n'


def rows(crumbs: Crumbs, path: str, entries: Sequence[Row]) -> str:
    """Rows of the table."""
    path = escape(path)
    before, between, after = crumbs.of_content()
    cids = CID.texts([entry.cid for entry in entries])
    names = "".join([entry.name for entry in entries])
    if _SIMPLE.fullmatch(names) is None:
        parts = [_names(entry.name, between) for entry in entries]
    else:
        parts = [(name, name, name if between else "") for name, _, _, _, _ in entries]
    dotted = "." in names
    found: list[str] = []
    for (name, _, size, kind, mtime), cid, (segment, text, query) in zip(entries, cids, parts, strict=True):
        icon, shows = _FILE, ""
        if kind is Kind.DIRECTORY:
            icon = _FOLDER
        elif dotted or kind is Kind.SYMLINK:
            icon, shows = _looks(name, f"{path}{segment}", size, kind)
        found.append(
            f'<tr><td class="icon">{icon}</td><td class="name"><a href="{path}{segment}">{text}</a>{shows}</td>'
            f'<td class="hash"><a class="ipfs-hash" translate="no" {before}{cid}{between}{query}{after}>'
            f"{cid if len(cid) <= 9 else f'{cid[:4]}…{cid[-4:]}'}</a></td>"
            f'<td class="date">{_date(mtime) if mtime is not None else ""}</td>'
            f'<td class="size">{human_size(size) if size is not None else ""}</td></tr>\n'
        )
    return "".join(found)


def _names(name: str, between: str) -> tuple[str, str, str]:
    """A name as a segment of a path in an attribute, as text, and as the value of a query in an attribute."""
    segment = escaped(name)
    return escape(segment), shown(name), quote(segment) if between else ""


def _looks(name: str, href: str, size: int | None, kind: Kind | None) -> tuple[str, str]:
    """The icon of an entry that is no directory, and what plays it."""
    media = (by_name(name) or "").partition("/")[0]
    if media == "image" and size is not None and size <= MAX_THUMBNAIL:
        return f'<img src="{href}" alt="" loading="lazy">', ""
    icon = _ICONS.get("link" if kind is Kind.SYMLINK else media, _FILE)
    if media not in ("video", "audio"):
        return icon, ""
    return icon, f'<details><summary>play</summary><{media} controls preload="none" src="{href}"></{media}></details>'


ENDING = f"</table>\n{END}"
"""After the last row."""
CUT = f'</table>\n<p class="soft">The rest of this directory could not be read.</p>\n{END}'


def _date(mtime: Mtime) -> str:
    try:
        return datetime.fromtimestamp(mtime.seconds, UTC).strftime("%Y-%m-%d %H:%M")
    except (ValueError, OverflowError, OSError):
        return ""
