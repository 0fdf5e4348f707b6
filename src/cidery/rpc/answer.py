"""Answers of the RPC: single errors, plain texts, and the trailer that reports an error after the first byte."""

import json
from typing import Any

from cidery.errors import CATEGORY_HEADER, category_of
from cidery.http.message import Response
from cidery.ipld.dag_pb import readable_name

_EXPOSED = "X-Stream-Output, X-Chunked-Output, X-Content-Length"
COMMON_HEADERS = {
    "Vary": "Origin",
    "Access-Control-Allow-Headers": _EXPOSED,
    "Access-Control-Expose-Headers": _EXPOSED,
}
ERROR_TRAILER = "X-Stream-Error"
TRAILERS = f"{ERROR_TRAILER}, {CATEGORY_HEADER}"

PREFLIGHT = (
    ("Access-Control-Allow-Methods", "POST"),
    ("Access-Control-Allow-Headers", f"Authorization, Content-Type, X-Requested-With, {_EXPOSED}"),
)
"""For permitted pages: the only method, and the headers they may send."""


def one_line(error: BaseException) -> str:
    """The message of an error on one line."""
    return " ".join(str(error).split()) or type(error).__name__


def error_answer(error: BaseException) -> Response:
    """The answer to a command's error before the first byte of a result: always 500 and Code 0, as in Kubo."""
    return Response(
        500,
        {**COMMON_HEADERS, **_category(error), "Content-Type": "application/json"},
        value_line({"Message": one_line(error), "Code": 0, "Type": "error"}),
    )


def text_answer(status: int, text: str, headers: tuple[tuple[str, str], ...] = ()) -> Response:
    """A plain answer to a request that is no call."""
    named = {"Content-Type": "text/plain; charset=utf-8"} if text else {}
    return Response(status, {**COMMON_HEADERS, **named, **dict(headers)}, f"{text}\n".encode() if text else b"")


def stream_error(error: BaseException) -> dict[str, str]:
    """The trailers for an error after the first byte."""
    return {ERROR_TRAILER: one_line(error), **_category(error)}


def _category(error: BaseException) -> dict[str, str]:
    category = category_of(error)
    return {CATEGORY_HEADER: category} if category else {}


def value_line(value: Any, *, exact: bool = False) -> bytes:
    """One JSON value of a stream.

    ``exact``: names that are not UTF-8 keep the form of os.fsdecode(), with lone surrogates, which many
    readers of JSON refuse; else each odd byte becomes U+FFFD.
    """
    line = json.dumps(value, separators=(",", ":"))
    if "\\udc" in line and not exact:
        line = json.dumps(_readable(value), separators=(",", ":"))
    return line.encode() + b"\n"


def _readable(value: Any) -> Any:
    if isinstance(value, str):
        return readable_name(value)
    if isinstance(value, dict):
        return {_readable(name): _readable(one) for name, one in value.items()}
    return [_readable(one) for one in value] if isinstance(value, list | tuple) else value
