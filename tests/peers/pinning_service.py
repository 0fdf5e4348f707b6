"""A small pinning service: the API of the specification, backed by a Cidery daemon that really fetches and pins.

    python tests/peers/pinning_service.py FOLDER     # prints the arguments of `cidery pin remote service add`

Spec: https://ipfs.github.io/pinning-services-api-spec/ (1.0.0)
"""

import json
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit
from uuid import uuid4

sys.path.insert(0, str(Path(__file__).parent.parent))

from cidery.multiformats.cid import CID, CIDError
from peers.cidery_daemon import CideryDaemon
from peers.line_peer import PeerFailed

STATUSES = ("queued", "pinning", "pinned", "failed")
MATCHES: dict[str, Callable[[str, str], bool]] = {
    "exact": lambda name, wanted: name == wanted,
    "iexact": lambda name, wanted: name.casefold() == wanted.casefold(),
    "partial": lambda name, wanted: wanted in name,
    "ipartial": lambda name, wanted: wanted.casefold() in name.casefold(),
}
MAX_BODY = 64 * 1024
MAX_NAME = 255
MAX_LIMIT = 1000


class Refused(Exception):
    """Becomes an answer with a Failure."""

    def __init__(self, status: int, reason: str, details: str) -> None:
        super().__init__(status, reason, details)
        self.status = status
        self.failure = {"error": {"reason": reason, "details": details}}


@dataclass
class Request:
    """One pin that was asked for."""

    pin: dict[str, Any]
    created: datetime
    delegates: list[str]
    id: str = field(default_factory=lambda: uuid4().hex)
    status: str = "queued"
    details: str = ""
    gone: bool = False

    def shown(self) -> dict[str, Any]:
        """A PinStatus."""
        return {
            "requestid": self.id,
            "status": self.status,
            "created": self.created.isoformat(timespec="microseconds").replace("+00:00", "Z"),
            "pin": self.pin,
            "delegates": self.delegates,
            "info": {"status_details": self.details} if self.details else {},
        }


class PinningService:
    """The service of one daemon, on a free port of this machine, while its context is open."""

    def __init__(self, node: CideryDaemon, key: str = "key-of-the-tests") -> None:
        self.node = node
        self.key = key
        self.requests: list[Request] = []
        """Oldest first."""
        self.heard: list[tuple[str, str, dict[str, str], bytes]] = []
        """Method, target, headers and body of each HTTP request."""
        self.begins = threading.Event()
        """Cleared, what is queued stays so."""
        self.begins.set()
        self._lock = threading.RLock()
        self._working: list[threading.Thread] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, name="pinning-service", daemon=True)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/api/v1"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.begins.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        self.settle()

    def settle(self) -> None:
        """Wait until all that was asked for is pinned or has failed."""
        for thread in self._working:
            thread.join()

    # --- the four operations

    def answer(self, method: str, target: str, body: bytes) -> tuple[int, dict[str, Any] | None]:
        """Status and body of an authorized request. Raises Refused."""
        parts = urlsplit(target)
        words = [unquote(word) for word in parts.path.removeprefix("/api/v1/").split("/")]
        with self._lock:
            match method, words:
                case "GET", ["pins"]:
                    return 200, self._list(parse_qs(parts.query))
                case "POST", ["pins"]:
                    return 202, self._add(_pin(body)).shown()
                case "GET", ["pins", wanted]:
                    return 200, self._request(wanted).shown()
                case "POST", ["pins", wanted]:
                    old = self._request(wanted)
                    new = self._add(_pin(body))
                    self._remove(old)
                    return 202, new.shown()
                case "DELETE", ["pins", wanted]:
                    self._remove(self._request(wanted))
                    return 202, None
        raise Refused(404, "NOT_FOUND", "The specified resource was not found")

    def _request(self, wanted: str) -> Request:
        for request in self.requests:
            if request.id == wanted and not request.gone:
                return request
        raise Refused(404, "NOT_FOUND", "The specified resource was not found")

    def _list(self, query: dict[str, list[str]]) -> dict[str, Any]:
        try:
            limit = int(query.get("limit", ["10"])[0])
            before, after = (
                datetime.fromisoformat(query[name][0].replace("Z", "+00:00")) if name in query else None
                for name in ("before", "after")
            )
            meta = json.loads(query.get("meta", ["{}"])[0])
            matches = MATCHES[query.get("match", ["exact"])[0]]
        except (ValueError, KeyError) as exc:
            raise Refused(400, "BAD_REQUEST", f"cannot be read: {exc}") from exc
        cids = [one for text in query.get("cid", []) for one in text.split(",")]
        statuses = [one for text in query.get("status", ["pinned"]) for one in text.split(",")]
        if not 1 <= limit <= MAX_LIMIT or len(cids) > 10 or not set(statuses) <= set(STATUSES):
            raise Refused(400, "BAD_REQUEST", "limit, cid or status is out of bounds")
        wanted = query.get("name", [""])[0]
        found = [
            request
            for request in reversed(self.requests)
            if not request.gone
            and request.status in statuses
            and (not cids or request.pin["cid"] in cids)
            and (not wanted or matches(request.pin.get("name", ""), wanted))
            and (before is None or request.created < before)
            and (after is None or request.created > after)
            and meta.items() <= request.pin.get("meta", {}).items()
        ]
        return {"count": len(found), "results": [request.shown() for request in found[:limit]]}

    def _add(self, pin: dict[str, Any]) -> Request:
        created = datetime.now(UTC)
        if self.requests:  # each has a time of its own, by which pages go on
            created = max(created, self.requests[-1].created + timedelta(microseconds=1))
        request = Request(pin, created, [self.node.addr])
        self.requests.append(request)
        thread = threading.Thread(target=self._work, args=(request,), name=f"pinning {request.id}")
        self._working.append(thread)
        thread.start()
        return request

    def _remove(self, request: Request) -> None:
        request.gone = True
        others = [one for one in self.requests if not one.gone and one.pin["cid"] == request.pin["cid"]]
        if request.status == "pinned" and not others:
            self.node.run("pin", "rm", request.pin["cid"])

    # --- the work

    def _work(self, request: Request) -> None:
        self.begins.wait()
        with self._lock:
            if request.gone:
                return
            request.status = "pinning"
        for origin in request.pin.get("origins", []):
            with suppress(PeerFailed):  # another one, or the client's own connection, may do
                self.node.run("swarm", "connect", "--timeout=5s", origin)
                request.details = f"connected to {origin}"
        try:
            self.node.run("pin", "add", "--timeout=60s", request.pin["cid"])
            done, details = "pinned", ""
        except PeerFailed as exc:
            done, details = "failed", str(exc)
        with self._lock:
            request.status, request.details = done, details
            if request.gone and done == "pinned":
                request.gone = False
                self._remove(request)

    # --- HTTP

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        service = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _answer(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = self.rfile.read(min(length, MAX_BODY))
                service.heard.append((self.command, self.path, dict(self.headers), body))
                try:
                    if self.headers.get("Authorization") != f"Bearer {service.key}":
                        raise Refused(401, "UNAUTHORIZED", "access denied: the token is missing or invalid")
                    status, value = service.answer(self.command, self.path, body)
                except Refused as exc:
                    status, value = exc.status, exc.failure
                data = b"" if value is None else json.dumps(value).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_DELETE = _answer

            def log_message(self, format: str, *args: object) -> None:
                """Tests look at what was heard instead."""

        return Handler


def _pin(body: bytes) -> dict[str, Any]:
    """A Pin. Raises Refused."""
    try:
        pin = json.loads(body)
        cid, name = str(CID.parse(pin["cid"])), pin.get("name") or ""
        origins, meta = pin.get("origins") or [], pin.get("meta") or {}
        if not isinstance(name, str) or len(name) > MAX_NAME or not isinstance(origins, list) or len(origins) > 20:
            raise ValueError("name or origins")
        if not isinstance(meta, dict) or not all(isinstance(text, str) for text in meta.values()):
            raise ValueError("meta")
    except (ValueError, KeyError, TypeError, AttributeError, CIDError) as exc:
        raise Refused(400, "BAD_REQUEST", f"no Pin: {exc}") from exc
    return {"cid": cid} | ({"name": name} if name else {}) | {"origins": origins, "meta": meta}


if __name__ == "__main__":
    with CideryDaemon(Path(sys.argv[1])) as made, PinningService(made) as served:
        print(f"cidery pin remote service add here {served.endpoint} {served.key}", flush=True)
        with suppress(KeyboardInterrupt):
            threading.Event().wait()
