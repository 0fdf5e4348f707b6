"""The web page at ``/webui``: its files, and who gets in.

The files are no secret and hold no data: without a session the page only says how to get in. `cidery ui`, which can
read the repository, gets a ticket that opens the page once; the page trades it for a session. A session is signed with
a key in the repository and not kept by the daemon, so that pages go on after its restart; removing the key ends all.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import hmac
import json
import os
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from cidery.http.message import Request, Response, text
from cidery.plain_files import read_plain
from cidery.repo.places import gateway_url

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

PREFIX = "/webui"
OFFICIAL = "/webui-official"
"""Leads to the official page; see rpc/official.py."""
LINK = "/api/v0/ui/link"
"""Answers the owner of the repository with a ticket; not a command."""
KEY_FILE = "webui-key"
"""File in the repository that signs sessions, readable by the user alone."""
KEY_BYTES = 32
TICKET_SECONDS = 600.0
"""Time in which a link must be opened."""
MAX_TICKETS = 16
"""Links that wait to be opened; the oldest is forgotten."""
SESSION_SECONDS = 7 * 86400
"""Life of a session: a tab left open over a week needs a new link."""
SESSION_SCHEME = "Bearer cidery-ui-"
"""Start of the header Authorization with a session, so that it is not taken for a secret of API.Authorizations."""
TICKET_SCHEME = "Ticket "
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".webmanifest": "application/manifest+json",
}
"""Files of other kinds, such as licences, are served as plain text."""
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",
    "Vary": "Accept-Encoding",
}


class _Asset(NamedTuple):
    body: bytes
    packed: bytes
    """The same, compressed by gzip."""
    media_type: str
    etag: str


class WebUi:
    """The page of one daemon."""

    def __init__(self, repo: Path, clock: Callable[[], float] = time.time, official: tuple[str, ...] = ()) -> None:
        """``clock``: seconds since 1970. ``official``: CIDs of the official page, newest first."""
        self._official = official
        self._repo = repo
        self._clock = clock
        self._tickets: dict[str, float] = {}
        self._assets: dict[str, _Asset] = {}

    def ticket(self) -> Response:
        """For the owner: what a link needs to open the page once."""
        now = self._clock()
        self._tickets = {one: end for one, end in self._tickets.items() if end > now}
        while len(self._tickets) >= MAX_TICKETS:
            del self._tickets[next(iter(self._tickets))]
        made = secrets.token_urlsafe(24)
        self._tickets[made] = now + TICKET_SECONDS
        return _json({"Ticket": made})

    def is_session(self, authorization: str) -> bool:
        """Whether the header holds a session that is valid now."""
        if not authorization.startswith(SESSION_SCHEME):
            return False
        end, _, given = authorization.removeprefix(SESSION_SCHEME).partition("-")
        if not (end.isascii() and end.isdigit() and len(end) < 16) or int(end) <= self._clock():
            return False
        key = self._key(make=False)
        return bool(key) and hmac.compare_digest(_signature(key, end).encode(), given.encode("utf-8", "replace"))

    async def answer(self, request: Request) -> Response:
        """A file of the page; or, for a ticket, a session."""
        name = "official.html" if request.path == OFFICIAL else request.path.removeprefix(PREFIX).strip("/")
        if name == "session":
            return self._session(request)
        if request.method not in ("GET", "HEAD"):
            return text(405, "405 - Method Not Allowed", {"Allow": "GET, HEAD"})
        if not self._assets:
            self._assets = await asyncio.to_thread(_read_assets)
            self._assets["official.json"] = _asset("official.json", json.dumps(self._official).encode())
        asset = self._assets.get(name or "index.html")
        if asset is None:
            return text(404, "404 page not found")
        headers = {**_HEADERS, "Content-Type": asset.media_type, "ETag": asset.etag}
        if asset.media_type.startswith("text/html"):
            headers["Content-Security-Policy"] = self._policy()
        if request.header("if-none-match") == asset.etag:
            return Response(304, headers)
        if "gzip" in request.header("accept-encoding"):
            return Response(200, {**headers, "Content-Encoding": "gzip"}, asset.packed)
        return Response(200, headers, asset.body)

    def _session(self, request: Request) -> Response:
        if request.method != "POST":
            return text(405, "405 - Method Not Allowed", {"Allow": "POST"})
        given = request.header("authorization")
        known = next((one for one in self._tickets if hmac.compare_digest(f"{TICKET_SCHEME}{one}", given)), None)
        if known is None or self._tickets.pop(known) <= self._clock():
            return text(401, "this link was opened already, or is too old: get a new one with: cidery ui")
        end = str(int(self._clock()) + SESSION_SECONDS)
        return _json({"Authorization": f"{SESSION_SCHEME}{end}-{_signature(self._key(make=True), end)}"})

    def _policy(self) -> str:
        """Scripts from here alone; pictures, films and papers from this daemon's gateway, too, and nothing else."""
        gateway = gateway_url(self._repo)
        parts = {
            "default-src": "'none'",
            "script-src": "'self'",
            "style-src": "'self'",
            "connect-src": "'self'",
            "manifest-src": "'self'",
            "img-src": f"'self' {gateway}".strip(),
            "media-src": gateway or "'none'",
            "frame-src": gateway or "'none'",  # papers: the browser's own reader, in the gateway's origin
            "form-action": "'none'",
            "base-uri": "'none'",
            "frame-ancestors": "'none'",
            "require-trusted-types-for": "'script'",
        }
        return "; ".join(f"{name} {value}" for name, value in parts.items())

    def _key(self, *, make: bool) -> bytes:
        """The key that signs sessions; b"" if there is none and none is to be made."""
        path = self._repo / KEY_FILE
        try:
            return read_plain(path, KEY_BYTES)
        except FileNotFoundError:
            if not make:
                return b""
        made = secrets.token_bytes(KEY_BYTES)
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(made)
        return made


def _signature(key: bytes, end: str) -> str:
    return hmac.new(key, end.encode(), hashlib.sha256).hexdigest()


def _json(value: dict[str, str]) -> Response:
    return Response(200, {**_HEADERS, "Content-Type": "application/json"}, json.dumps(value).encode())


def _read_assets() -> dict[str, _Asset]:
    """All files of the package data, by their path below ``/webui/``."""
    from importlib.resources import files  # 5 ms, and most starts show no page

    found: dict[str, _Asset] = {}
    below: list[tuple[str, Traversable]] = [("", files("cidery") / "webui")]
    while below:
        prefix, folder = below.pop()
        for entry in folder.iterdir():
            name = prefix + entry.name
            if entry.is_dir():
                below.append((f"{name}/", entry))
                continue
            found[name] = _asset(name, entry.read_bytes())
    found["settings.json"] = _asset("settings.json", _settings())
    return found


def _asset(name: str, body: bytes) -> _Asset:
    suffix = os.path.splitext(name)[1]
    media_type = "application/json" if suffix == ".json" else _TYPES.get(suffix, "text/plain; charset=utf-8")
    etag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
    return _Asset(body, gzip.compress(body, mtime=0), media_type, etag)


def _settings() -> bytes:
    """What each key of the config means and takes, as docs/settings.md has it."""
    from cidery.repo.config_keys import KEYS
    from cidery.repo.config_meaning import MEANING

    rows = {name: {"Meaning": MEANING[name].text, "Takes": KEYS[name].words} for name in sorted(KEYS)}
    return json.dumps(rows).encode()
