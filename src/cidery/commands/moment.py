"""Times as results show them."""


def moment(seconds: float) -> str:
    """As 2026-01-31T12:00:00Z."""
    from datetime import UTC, datetime

    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
