"""The HTTP status of each error: one table for the whole gateway."""

from cidery.core.getting.tar import OutsideTree
from cidery.core.reading.content_path import PathError
from cidery.core.reading.resolve import InsideBlock
from cidery.core.session import NotStored
from cidery.denylist.denylists import Denied
from cidery.errors import CideryError, IntegrityError, InvalidInput, LimitExceeded, NotFound, Unavailable
from cidery.gateway.data import OtherCodec
from cidery.gateway.negotiate import NotTrustless
from cidery.gateway.page import CSP, HTML_TYPE, error_page
from cidery.gateway.redirects_file import BadRedirects
from cidery.gateway.strangers import TooMuchFetched
from cidery.gateway.unixfs_file import TooLargeForRanges
from cidery.http.connection import REASONS
from cidery.http.message import BadRequest, Request, Response, text
from cidery.ipns.record import IpnsRecordError
from cidery.namesys.dnslink import NoDnsLink
from cidery.namesys.resolver import NameNotFound, TooManyNames
from cidery.unixfs.directory_reader import NotADirectory
from cidery.unixfs.node import NotUnixFS

RETRY_AFTER = {"Retry-After": "30"}
"""Seconds after which content that was not found in time may be available."""
_STATUS: tuple[tuple[type[CideryError], int], ...] = (
    (TooMuchFetched, 429),
    (NotTrustless, 406),
    (OtherCodec, 406),
    (NotUnixFS, 406),
    (BadRequest, 400),
    (PathError, 400),
    (TooManyNames, 400),
    (NameNotFound, 500),
    (NoDnsLink, 500),
    (IpnsRecordError, 400),
    (InsideBlock, 501),
    (TooLargeForRanges, 501),
    (NotADirectory, 404),
    (BadRedirects, 500),
    (OutsideTree, 500),
    (NotStored, 404),
    (NotFound, 404),
    (LimitExceeded, 500),
    (IntegrityError, 500),
    (Unavailable, 504),
    (InvalidInput, 400),
)
_ADVICE = {
    404: "Check the path. If it is right, the one who published it may have left it out or changed it since.",
    406: "Choose another form of it, for example ?format=raw.",
    500: "The content or its name is not valid. Tell the one who published it.",
    504: "Nobody who has it could be reached in time. Try again in a minute; `cidery why` says who was asked.",
}
"""By status: what a reader can do."""


def status_of(error: CideryError) -> int:
    """The first matching row."""
    if isinstance(error, Denied):
        return error.status
    return next((status for kind, status in _STATUS if isinstance(error, kind)), 500)


def failed(error: CideryError, request: Request, *, html: bool = False) -> Response:
    """The error as an answer: a line for programs, and with ``html`` a page for people."""
    status = status_of(error)
    retry = RETRY_AFTER if status == 504 else {}
    if isinstance(error, TooMuchFetched):
        retry = {"Retry-After": str(error.retry_after)}
    headers = {**retry, "X-Content-Type-Options": "nosniff"}
    said = " ".join((str(error), *notes_of(error)))
    if html and "text/html" in request.headers.get("accept", ""):
        body = error_page(status, REASONS.get(status, ""), said, _ADVICE.get(status, ""))
        return Response(status, {**headers, "Content-Type": HTML_TYPE, "Content-Security-Policy": CSP}, body)
    return text(status, said, headers)


def notes_of(error: BaseException) -> list[str]:
    """What the session added to an error, or to what caused it."""
    notes: list[str] = []
    cause: BaseException | None = error
    while cause is not None:
        notes += getattr(cause, "__notes__", ())
        cause = cause.__cause__
    return list(dict.fromkeys(notes))
