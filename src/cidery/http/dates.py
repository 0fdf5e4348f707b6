"""Dates of HTTP, in English whatever the locale.

Written out: importing email.utils would take 5 ms of a start.
Spec: https://www.rfc-editor.org/rfc/rfc9110#section-5.6.7
"""

from time import gmtime

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
MAX_YEAR = 9999
"""The last year of four digits."""


def imf_fixdate(seconds: int) -> str | None:
    """``Sun, 06 Nov 1994 08:49:37 GMT`` of seconds since 1970; None outside of the years 1 to MAX_YEAR."""
    try:
        at = gmtime(seconds)
    except (ValueError, OverflowError, OSError):
        return None
    if not 1 <= at.tm_year <= MAX_YEAR:
        return None
    return (
        f"{DAYS[at.tm_wday]}, {at.tm_mday:02} {MONTHS[at.tm_mon - 1]} {at.tm_year} "
        f"{at.tm_hour:02}:{at.tm_min:02}:{at.tm_sec:02} GMT"
    )
