"""Conditions of requests: entity tags and dates, and that the content is here. Pure.

Spec: https://www.rfc-editor.org/rfc/rfc9110#section-13
"""

from collections.abc import Mapping
from datetime import UTC, datetime

from cidery.errors import NotFound
from cidery.http.message import Request
from cidery.multiformats.cid import CID


class NotCached(NotFound):
    """Content that is not here, for a request that takes nothing else."""

    def __init__(self, cid: CID) -> None:
        super().__init__(cid)
        self.cid = cid

    def __str__(self) -> str:
        return f"{self.cid} is not stored here"


_DATE = "%a, %d %b %Y %H:%M:%S GMT"


def only_if_cached(request: Request) -> bool:
    """Whether the client takes only what is here: else "the gateway MUST return" 412 (path gateway, Cache-Control).

    Names of directives have no case (RFC 9111, 5.2).
    """
    return "only-if-cached" in request.headers.get("cache-control", "").lower()


def holds(asked: Mapping[str, str], found: Mapping[str, str]) -> bool:
    """Whether If-Match and If-Unmodified-Since hold: the headers of a request, and of the answer that it would get.

    "MUST NOT perform the requested method if the condition evaluates to false" (13.1.1). Bad dates, and dates of
    content that has none, are ignored.
    """
    if (wanted := asked.get("if-match")) is not None:
        tag = found.get("Etag", "")
        return wanted.strip() == "*" or any(matches_strongly(one, tag) for one in wanted.split(","))
    limit, changed = _seconds(asked.get("if-unmodified-since")), _seconds(found.get("Last-Modified"))
    return limit is None or changed is None or changed <= limit


def matches_tag(header: str, tags: tuple[str, ...]) -> bool:
    """Whether If-None-Match names one of the tags, compared weakly, or ``*``."""
    if header in tags:
        return True
    given = [item.strip().removeprefix("W/") for item in header.split(",")]
    return "*" in given or any(tag.removeprefix("W/") in given for tag in tags)


def matches_strongly(header: str, tag: str) -> bool:
    """Whether If-Range is exactly this strong tag; dates never match, as none is strong enough."""
    return header.strip() == tag and not tag.startswith("W/")


def not_modified_since(header: str, modified: int) -> bool:
    """Whether content of ``modified`` (seconds since 1970) is no newer than the header; a bad date is ignored."""
    since = _seconds(header)
    return since is not None and modified <= since


def _seconds(date: str | None) -> float | None:
    """Since 1970; None: it is no date."""
    try:
        return None if date is None else datetime.strptime(date.strip(), _DATE).replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None
