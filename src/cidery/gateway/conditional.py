"""Conditions of requests: entity tags and dates. Pure.

Spec: https://www.rfc-editor.org/rfc/rfc9110#section-13
"""

from datetime import UTC, datetime

_DATE = "%a, %d %b %Y %H:%M:%S GMT"


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
    try:
        since = datetime.strptime(header.strip(), _DATE).replace(tzinfo=UTC)
    except ValueError:
        return False
    return modified <= since.timestamp()
