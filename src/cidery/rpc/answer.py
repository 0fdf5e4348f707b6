"""Answers of the RPC: single errors, plain texts, and the trailer that reports an error after the first byte."""

import json
from typing import Any

from cidery.errors import CideryError, InvalidInput, LimitExceeded, Unavailable
from cidery.http.message import Response

_EXPOSED = "X-Stream-Output, X-Chunked-Output, X-Content-Length"
COMMON_HEADERS = {
    "Vary": "Origin",
    "Access-Control-Allow-Headers": _EXPOSED,
    "Access-Control-Expose-Headers": _EXPOSED,
}
ERROR_TRAILER = "X-Stream-Error"

CODE_NORMAL, CODE_CLIENT, CODE_LIMITED = 0, 1, 3
"""``Code`` in error answers, as Kubo numbers them."""
_BY_CATEGORY: tuple[tuple[type[BaseException], int, int], ...] = (
    (InvalidInput, 400, CODE_CLIENT),
    (LimitExceeded, 500, CODE_LIMITED),
    (Unavailable, 500, CODE_NORMAL),
    (CideryError, 500, CODE_NORMAL),
)
"""Category -> (status, code); the first that fits."""


def one_line(error: BaseException) -> str:
    """The message of an error on one line."""
    return " ".join(str(error).split()) or type(error).__name__


def error_answer(error: BaseException) -> Response:
    """The answer for an error before the first byte of a result."""
    status, code = next(((s, c) for kind, s, c in _BY_CATEGORY if isinstance(error, kind)), (500, CODE_NORMAL))
    return Response(
        status,
        {**COMMON_HEADERS, "Content-Type": "application/json"},
        value_line({"Message": one_line(error), "Code": code, "Type": "error"}),
    )


def text_answer(status: int, text: str, headers: tuple[tuple[str, str], ...] = ()) -> Response:
    """A plain answer for a request that is no call."""
    named = {"Content-Type": "text/plain; charset=utf-8"} if text else {}
    return Response(status, {**COMMON_HEADERS, **named, **dict(headers)}, f"{text}\n".encode() if text else b"")


def stream_error(error: BaseException) -> tuple[str, str]:
    """The trailer for an error after the first byte."""
    return ERROR_TRAILER, one_line(error)


def value_line(value: Any) -> bytes:
    """One JSON value of a stream."""
    return json.dumps(value, separators=(",", ":")).encode() + b"\n"
