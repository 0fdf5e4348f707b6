"""The HTTP status of each error: one table for the whole gateway."""

from cidery.core.reading.content_path import PathError
from cidery.core.reading.resolve import InsideBlock
from cidery.core.session import NotStored
from cidery.denylist.denylists import Denied
from cidery.errors import CideryError, IntegrityError, InvalidInput, LimitExceeded, NotFound, Unavailable
from cidery.gateway.negotiate import NotTrustless
from cidery.http.message import BadRequest, Response, text
from cidery.ipns.record import IpnsRecordError
from cidery.namesys.resolver import NameNotFound, TooManyNames

RETRY_AFTER = {"Retry-After": "30"}
"""Seconds after which content that was not found in time may be available."""
_STATUS: tuple[tuple[type[CideryError], int], ...] = (
    (NotTrustless, 406),
    (BadRequest, 400),
    (PathError, 400),
    (TooManyNames, 400),
    (NameNotFound, 500),
    (IpnsRecordError, 400),
    (InsideBlock, 501),
    (NotStored, 404),
    (NotFound, 404),
    (LimitExceeded, 500),
    (IntegrityError, 500),
    (Unavailable, 504),
    (InvalidInput, 400),
)


def status_of(error: CideryError) -> int:
    """The first matching row."""
    if isinstance(error, Denied):
        return error.status
    return next((status for kind, status in _STATUS if isinstance(error, kind)), 500)


def failed(error: CideryError) -> Response:
    """The error as an answer, one line."""
    status = status_of(error)
    return text(status, str(error), RETRY_AFTER if status == 504 else None)
