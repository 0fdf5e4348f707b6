"""When a certificate is asked for and renewed. Pure: times are seconds since 1970, luck is a number from 0 to 1."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cidery.autotls.certificate import Certified

RENEWED_AT, SPREAD = 2 / 3, 1 / 30
"""Share of its life after which a certificate is renewed, and how far around that the nodes of the world spread it."""
FIRST_BACKOFF, MOST_BACKOFF = 300.0, 12 * 3600.0
"""Seconds after the first failure; each further one doubles them, up to this."""
BACKOFF_SPREAD = 0.2
"""Share by which a wait is shorter or longer, so that nodes that failed together do not come back together."""
MAX_FAILURES = 20
"""That are counted: far beyond the longest wait."""


def waited_for(*, public: bool, left: float) -> str:
    """What a first certificate waits for, in words; "": nothing. ``left``: seconds until it may be asked for."""
    if not public:
        return "until others are known to reach this node by TCP"
    return f"{left / 60:.0f} more minutes (AutoTLS.RegistrationDelay)" if left > 0 else ""


def renewal(certificate: Certified, luck: float) -> float:
    """When to renew."""
    share = RENEWED_AT + SPREAD * (luck - 0.5)
    return certificate.begins + share * (certificate.ends - certificate.begins)


def next_try(failures: int, at: float, wanted: float, luck: float) -> float:
    """When to try again, after the last of some failures. ``wanted``: seconds that the server asked for."""
    usual = min(FIRST_BACKOFF * (1 << min(failures - 1, MAX_FAILURES)), MOST_BACKOFF)
    return at + max(usual * (1 + BACKOFF_SPREAD * (2 * luck - 1)), wanted)
