"""Points in time as IPNS records hold them: RFC 3339 with up to nine decimals, as nanoseconds since 1970 UTC."""

import re
from datetime import UTC, datetime, timedelta

NANOSECONDS = 1_000_000_000
_FORM = re.compile(rb"(\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?([Zz]|[+-]\d\d:\d\d)")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def parse_moment(raw: bytes) -> int:
    """Nanoseconds since 1970-01-01 UTC, negative before. Raises ValueError."""
    match = _FORM.fullmatch(raw)
    if match is None:
        raise ValueError(f"{raw[:40]!r} is not a time such as 2026-01-31T12:00:00Z")
    zone = match[3].decode().upper().replace("Z", "+00:00")
    try:
        whole = datetime.fromisoformat(match[1].decode().upper() + zone)
        seconds = (whole - _EPOCH) // timedelta(seconds=1)
    except (ValueError, OverflowError) as exc:
        raise ValueError(f"{raw[:40]!r} is no point in time") from exc
    return seconds * NANOSECONDS + int((match[2] or b"0").ljust(9, b"0"))


def format_moment(nanoseconds: int) -> bytes:
    """The shortest form, in UTC. Raises ValueError outside of the years 1 to 9999."""
    seconds, rest = divmod(nanoseconds, NANOSECONDS)
    try:
        whole = _EPOCH + timedelta(seconds=seconds)
    except OverflowError as exc:
        raise ValueError("a point in time beyond the year 9999") from exc
    text = whole.strftime("%Y-%m-%dT%H:%M:%S").rjust(19, "0")
    decimals = f".{rest:09}".rstrip("0") if rest else ""
    return f"{text}{decimals}Z".encode()
