"""What a remote pinning service is asked and answers, as values and bytes. Pure.

A service is trusted with content, not with this node: each field is checked, and bounded by the size of the answer.

Spec: https://ipfs.github.io/pinning-services-api-spec/ (1.0.0)
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from cidery.errors import RemoteProtocolError
from cidery.multiformats.cid import CID, CIDError
from cidery.multiformats.multiaddr import Multiaddr
from cidery.multiformats.multiaddr_protocols import MultiaddrError

STATUSES = ("queued", "pinning", "pinned", "failed")
OTHER_STATUS = "unknown"
"""Stands for every word that is none of them, as in Kubo."""
MAX_CIDS = 10
"""Most CIDs of one query."""
MAX_HINTS = 20
"""Most origins and delegates."""
MAX_RESULTS = 1000
"""Most pins of one answer."""
MAX_REQUEST_ID = 1024
"""Longest id of a request, in characters: it becomes a part of a URL."""
MAX_DETAILS = 500
"""Characters kept of what a service says in words."""
_TIME = re.compile(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d{1,12}))?([Zz]|[+-]\d\d:\d\d)")
_UNSAFE = re.compile(r"[\x00-\x20\x7f]")


class BadAnswer(RemoteProtocolError):
    """An answer that is not what the specification says."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"invalid pinning service response: {self.reason}"


class Moment(NamedTuple):
    """A time as a service writes it, and in a form that can be compared."""

    seconds: int
    picoseconds: int
    text: str


class RemotePin(NamedTuple):
    """A PinStatus."""

    request_id: str
    status: str
    """One of STATUSES, or OTHER_STATUS."""
    created: Moment
    cid: CID
    name: str
    delegates: tuple[Multiaddr, ...]
    """Peers of the service that take data; those that are no addresses are left out."""
    details: str
    """``info.status_details``, "" without it."""


class Results(NamedTuple):
    """PinResults: the newest pins that match a query."""

    matching: int
    """All that match: the field ``count``."""
    pins: tuple[RemotePin, ...]


class Failure(NamedTuple):
    """Why a service refuses."""

    reason: str
    details: str


class Query(NamedTuple):
    """Which pins. "" and () leave out a condition; without ``statuses`` a service lists those that are pinned."""

    name: str = ""
    """The whole name, as it is written."""
    cids: tuple[CID, ...] = ()
    statuses: tuple[str, ...] = ()

    def parameters(self, *, limit: int, before: str = "") -> list[tuple[str, str]]:
        """The query of GET /pins. ``before``: only pins created earlier. At most MAX_CIDS CIDs."""
        assert len(self.cids) <= MAX_CIDS  # parts() sees to it
        given = {
            "cid": ",".join(map(str, self.cids)),
            "name": self.name,
            "status": ",".join(self.statuses),
            "before": before,
            "limit": str(limit),
        }
        return [(name, text) for name, text in given.items() if text]

    def parts(self) -> list[Query]:
        """The same as queries of at most MAX_CIDS CIDs each, which share no pin."""
        cids = tuple(dict.fromkeys(self.cids))
        if not cids:
            return [self]
        return [self._replace(cids=cids[start : start + MAX_CIDS]) for start in range(0, len(cids), MAX_CIDS)]


def encode_pin(cid: CID, name: str = "", origins: Sequence[str] = ()) -> bytes:
    """A Pin. ``origins``: addresses that have the content; the first MAX_HINTS are sent."""
    pin: dict[str, Any] = {"cid": str(cid)}
    if name:
        pin["name"] = name
    if origins:
        pin["origins"] = list(dict.fromkeys(origins))[:MAX_HINTS]
    return json.dumps(pin).encode()


def decode_status(data: bytes) -> RemotePin:
    """A PinStatus. Raises BadAnswer, nothing else (fuzzed)."""
    return _status(_json(data))


def decode_results(data: bytes) -> Results:
    """PinResults. Raises BadAnswer, nothing else (fuzzed)."""
    value = _json(data)
    count, results = value.get("count"), value.get("results")
    if results is None and count == 0:
        results = []  # what Go makes of an empty list that was never made
    if not isinstance(results, list) or len(results) > MAX_RESULTS:
        raise BadAnswer(f"PinResults.results is no list of at most {MAX_RESULTS} pins")
    if isinstance(count, bool) or not isinstance(count, int) or not len(results) <= count < 1 << 31:
        raise BadAnswer(f"PinResults.count={str(count)[:20]} with {len(results)} results")
    if count and not results:
        raise BadAnswer(f"PinResults.count={count} but no PinResults.results")
    return Results(count, tuple(map(_status, results)))


def decode_failure(data: bytes) -> Failure | None:
    """The reason of a refusal; None if there is none to be read."""
    try:
        error = _json(data).get("error")
    except BadAnswer:
        return None
    if not isinstance(error, dict) or not isinstance(error.get("reason"), str):
        return None
    details = error.get("details")
    return Failure(error["reason"][:MAX_DETAILS], details[:MAX_DETAILS] if isinstance(details, str) else "")


def _json(data: bytes) -> dict[str, Any]:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as exc:
        raise BadAnswer("it is not JSON") from exc
    if not isinstance(value, dict):
        raise BadAnswer("it is no object")
    return value


def _status(value: Any) -> RemotePin:
    if not isinstance(value, dict):
        raise BadAnswer("a PinStatus is no object")
    pin = value.get("pin")
    if not isinstance(pin, dict):
        raise BadAnswer("PinStatus.pin is no object")
    status, name, info = value.get("status"), pin.get("name"), value.get("info")
    if not isinstance(status, str) or not isinstance(name, str | None):
        raise BadAnswer("PinStatus.status or Pin.name is no text")
    details = info.get("status_details") if isinstance(info, dict) else None
    return RemotePin(
        _request_id(value.get("requestid")),
        status if status in STATUSES else OTHER_STATUS,
        _moment(value.get("created")),
        _cid(pin.get("cid")),
        name or "",
        _addresses(value.get("delegates")),
        details[:MAX_DETAILS] if isinstance(details, str) else "",
    )


def _request_id(value: Any) -> str:
    # "." and ".." would lead to another resource, and deleting that is not what was asked for
    if not isinstance(value, str) or not 0 < len(value) <= MAX_REQUEST_ID or value in (".", ".."):
        raise BadAnswer("PinStatus.requestid is no id")
    if _UNSAFE.search(value) or not value.isprintable():
        raise BadAnswer("PinStatus.requestid has characters that are not printed")
    return value


def _cid(value: Any) -> CID:
    try:
        return CID.parse(value if isinstance(value, str) else "")
    except CIDError as exc:
        raise BadAnswer(f"Pin.cid is no CID: {str(value)[:80]!r}") from exc


def _moment(value: Any) -> Moment:
    match = _TIME.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise BadAnswer("PinStatus.created is no time such as 2020-07-27T17:32:28Z")
    day, clock, fraction, zone = match.groups()
    try:
        at = datetime.fromisoformat(f"{day}T{clock}{'+00:00' if zone in 'Zz' else zone}")
        seconds = int((at - datetime.fromtimestamp(0, UTC)).total_seconds())
    except (ValueError, OverflowError) as exc:
        raise BadAnswer("PinStatus.created is no time of the calendar") from exc
    return Moment(seconds, int((fraction or "").ljust(12, "0")), match[0])


def _addresses(value: Any) -> tuple[Multiaddr, ...]:
    found: list[Multiaddr] = []
    for text in (value if isinstance(value, list) else [])[:MAX_HINTS]:
        try:
            found.append(Multiaddr.parse(text if isinstance(text, str) else ""))
        except MultiaddrError:
            continue  # one of a kind that this node does not know yet
    return tuple(found)
