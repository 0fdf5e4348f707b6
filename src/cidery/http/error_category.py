"""The header, or trailer, that says of which category of cidery.errors an error of the RPC is.

Kubo's answers have only a text. A client that knows the category can raise an error that programs catch by what it
means, as they do without a daemon.
"""

from cidery.errors import (
    IntegrityError,
    InvalidInput,
    LimitExceeded,
    NotFound,
    Unavailable,
)

HEADER = "X-Error-Category"
CATEGORIES = (InvalidInput, NotFound, IntegrityError, LimitExceeded, Unavailable)
"""Those that mean something to a caller: a broken protocol between others is no news that it can act on."""


def category_of(error: BaseException) -> str:
    """Name of the category, "" for none."""
    return next((one.__name__ for one in CATEGORIES if isinstance(error, one)), "")
