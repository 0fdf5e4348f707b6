"""Listings of directories: rows as they are found, so that a million entries take no memory. Pure.

Spec: https://specs.ipfs.tech/http-gateways/path-gateway/#generated-html-with-directory-index
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from html import escape
from typing import NamedTuple
from urllib.parse import quote

from cidery.gateway.media_type import by_name
from cidery.gateway.page import END, STYLE_TAG, begin, escaped, link, shown
from cidery.multiformats.cid import CID
from cidery.unixfs.metadata import Mtime
from cidery.unixfs.node import Kind

MAX_THUMBNAIL = 1024 * 1024
"""Largest picture that is shown in its row, in bytes."""
_SIMPLE = re.compile(r"[A-Za-z0-9._~-]+")
EXPLORER = "https://cid.ipfs.tech/#"
"""Where the CIDs of a DNSLink's page lead, which has no address of its own for them."""
_UNITS = ("B", "kB", "MB", "GB", "TB", "PB", "EB")
_FOLDER = '<i class="folder"></i>'
_ICONS = {kind: f'<i class="{kind}"></i>' for kind in ("image", "audio", "video", "link", "file")}


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

    def of_content(self, cid: str, name: str) -> str:
        """The attributes of a link to an entry's CID. ``name``: as one segment of a path, escaped."""
        if self.dnslink:
            return f'href="{EXPLORER}{cid}" target="_blank" rel="noreferrer noopener"'
        base = escape(f"//{self.host}") if self.host else ""
        # the name is a value in a query of a URL: it is escaped for both
        return f'href="{base}/ipfs/{cid}?filename={name if _SIMPLE.fullmatch(name) else quote(name)}"'


class Row(NamedTuple):
    """One entry."""

    name: str
    cid: CID
    size: int | None
    """Bytes; None: unknown."""
    kind: Kind | None = None
    """None: its block is not here."""
    mtime: Mtime | None = None


def tag_of(cid: CID) -> str:
    """Etag of the listing of a directory."""
    return f'"DirIndex-{STYLE_TAG}_CID-{cid}"'


def beginning(crumbs: Crumbs, cid: CID, path: str, size: int | None) -> str:
    """The page up to the first row. ``path``: that of the request, escaped, with its final slash."""
    total = f" · {human(size)}" if size is not None else ""
    head = (
        f"{begin(crumbs.title())}<h1>Index of {crumbs.html()}</h1>\n"
        f'<div class="soft"><span class="ipfs-hash" translate="no">{cid}</span>{total}</div>\n<table>\n'
    )
    if not crumbs.below:
        return head
    return f'{head}<tr><td class="icon">{_FOLDER}</td><td class="name"><a href="{escape(path)}..">..</a></td></tr>\n'


def rows(crumbs: Crumbs, path: str, entries: Iterable[Row]) -> str:
    """Rows of the table."""
    path = escape(path)
    return "".join([_row(crumbs, path, entry) for entry in entries])


ENDING = f"</table>\n{END}"
"""After the last row."""
CUT = f'</table>\n<p class="soft">The rest of this directory could not be read.</p>\n{END}'


def _row(crumbs: Crumbs, path: str, entry: Row) -> str:
    if _SIMPLE.fullmatch(entry.name):  # most names need no escaping, of no kind
        segment = name = entry.name
    else:
        segment, name = escaped(entry.name), shown(entry.name)
    href = path + (segment if segment is entry.name else escape(segment))
    cid = str(entry.cid)
    is_directory = entry.kind is Kind.DIRECTORY
    media = (by_name(entry.name) or "").partition("/")[0] if not is_directory else ""
    if is_directory:
        icon = _FOLDER
    else:
        icon = _ICONS.get("link" if entry.kind is Kind.SYMLINK else media, _ICONS["file"])
    if media == "image" and entry.size is not None and entry.size <= MAX_THUMBNAIL:
        icon = f'<img src="{href}" alt="" loading="lazy">'
    shows = ""
    if media in ("video", "audio"):
        shows = f'<details><summary>play</summary><{media} controls preload="none" src="{href}"></{media}></details>'
    size = human(entry.size) if entry.size is not None else ""
    return (
        f'<tr><td class="icon">{icon}</td><td class="name"><a href="{href}">{name}</a>{shows}</td>'
        f'<td class="hash"><a class="ipfs-hash" translate="no" {crumbs.of_content(cid, segment)}>'
        f'{_short(cid)}</a></td><td class="date">{_date(entry.mtime)}</td><td class="size">{size}</td></tr>\n'
    )


def _short(text: str) -> str:
    return text if len(text) <= 9 else f"{text[:4]}…{text[-4:]}"


def _date(mtime: Mtime | None) -> str:
    if mtime is None:
        return ""
    try:
        return datetime.fromtimestamp(mtime.seconds, UTC).strftime("%Y-%m-%d %H:%M")
    except (ValueError, OverflowError, OSError):
        return ""


def human(size: int) -> str:
    """Bytes in a unit that people read."""
    if size < 1000:
        return f"{size} B"
    amount = float(size)
    for unit in _UNITS:
        if amount < 1000 or unit == _UNITS[-1]:
            break
        amount /= 1000
    return f"{size} B" if unit == "B" else f"{amount:.1f} {unit}"
