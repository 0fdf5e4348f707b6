"""The HTTP status of each error: one table for the whole gateway."""

import re
from collections.abc import Mapping
from urllib.parse import quote

from cidery.core.getting.tar import OutsideTree
from cidery.core.reading.content_path import PathError
from cidery.core.reading.resolve import InsideBlock
from cidery.core.session import NotStored
from cidery.denylist.denylists import Denied
from cidery.dns.interface import DnsUnavailable, NoResolver, NoSuchDomain
from cidery.errors import CideryError, IntegrityError, InvalidInput, LimitExceeded, NotFound, Unavailable
from cidery.gateway.conditional import NotCached
from cidery.gateway.data import OtherCodec
from cidery.gateway.negotiate import NotTrustless
from cidery.gateway.page import CSP, HTML_TYPE, error_page
from cidery.gateway.redirects_file import BadRedirects
from cidery.gateway.strangers import TooMuchFetched
from cidery.gateway.unixfs_file import TooLargeForRanges
from cidery.http.message import BadRequest, Request, Response, text
from cidery.http.status import REASONS
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
    (NotCached, 412),
    (BadRedirects, 500),
    (OutsideTree, 500),
    (NotStored, 404),
    (NotFound, 404),
    (LimitExceeded, 500),
    (IntegrityError, 500),
    (NoResolver, 501),
    (Unavailable, 504),
    (InvalidInput, 400),
)
_ADVICE = {
    404: "Check the path. If it is right, the one who published it may have left it out or changed it since.",
    406: "Choose another form of it, for example ?format=raw.",
    500: "The content or its name is not valid. Tell the one who published it.",
    429: "Try again in a few seconds.",
    503: "Try again in a few seconds.",
    504: "Nobody who has it could be reached in time. Try again in a minute; `cidery why` says who was asked.",
}
"""By status: what a reader can do."""
_ADVICE_FOR: tuple[tuple[type[CideryError], str], ...] = (
    (NoResolver, "This gateway looks up no such domain. Ask for the content by its CID (/ipfs/CID)."),
    (DnsUnavailable, "The domain's resolver did not answer. Try again in a minute, or ask for the content by its CID."),
    (
        NoSuchDomain,
        "The domain has no DNSLink. Check how it is written, or ask for the content by its CID.",
    ),
    (NoDnsLink, "The domain has no valid DNSLink. Tell the one who owns it, or ask for the content by its CID."),
    (NameNotFound, "Its owner has to publish it again. If you know what it led to, ask for that by its CID."),
)
"""By error, before the status: what a reader can do where the usual would mislead."""
_ESCAPED = re.compile(r"(?<!\\)((?:\\\\)*)\\(x[0-9a-f]{2}|u[0-9a-f]{4}|U[0-9a-f]{8}|[nrt])")
"""What repr() makes of characters that show nothing."""


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
    told, notes = str(error), notes_of(error)
    if notes:
        told = " ".join((told if told.endswith(".") else f"{told}.", *notes))
    return said(status, told, request, retry, html=html, advice=_advice_for(error, status))


def notes_of(error: BaseException) -> list[str]:
    """What the session added to an error, or to what caused it."""
    notes: list[str] = []
    cause: BaseException | None = error
    while cause is not None:
        notes += getattr(cause, "__notes__", ())
        cause = cause.__cause__
    return list(dict.fromkeys(notes))


def said(
    status: int,
    message: str,
    request: Request,
    headers: Mapping[str, str] | None = None,
    *,
    html: bool = False,
    advice: str | None = None,
) -> Response:
    """Something else than content, in words. ``advice``: what a reader can do; None: what is usual for the status."""
    shown = readable(message)
    named = {**(headers or {}), "X-Content-Type-Options": "nosniff"}
    if html and "text/html" in request.headers.get("accept", ""):
        hint = _ADVICE.get(status, "") if advice is None else advice
        body = error_page(status, REASONS.get(status, ""), shown, hint)
        return Response(status, {**named, "Content-Type": HTML_TYPE, "Content-Security-Policy": CSP}, body)
    return text(status, shown, named)


def readable(message: str) -> str:
    """A message without what cannot be read: bytes that are no text, and characters that show nothing, as in a URL."""
    if message.isascii() and "\\" not in message and message.isprintable():
        return message
    shown = _ESCAPED.sub(lambda found: found[1] + _percent(_meant(found[2])), message)
    return "".join(one if one.isprintable() or one == "\n" else _percent(one) for one in shown)


def _meant(escape: str) -> str:
    """The character of an escape, given without its backslash."""
    return {"n": "\n", "r": "\r", "t": "\t"}.get(escape) or chr(int(escape[1:], 16))


def _percent(character: str) -> str:
    try:
        return quote(character, safe="", errors="surrogateescape")
    except UnicodeEncodeError:  # half of a pair of UTF-16
        return "\ufffd"


def _advice_for(error: CideryError, status: int) -> str:
    return next((advice for kind, advice in _ADVICE_FOR if isinstance(error, kind)), _ADVICE.get(status, ""))
