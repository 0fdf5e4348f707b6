"""Conditions of requests: entity tags and dates. Pure.

Spec: https://www.rfc-editor.org/rfc/rfc9110#section-13
"""

from collections.abc import Mapping
from datetime import UTC, datetime

_DATE = "%a, %d %b %Y %H:%M:%S GMT"


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
