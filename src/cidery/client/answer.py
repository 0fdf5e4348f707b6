"""The meaning of RPC answers: errors to exceptions, lines to values. No IO."""

from __future__ import annotations

from cidery.client.address import Endpoint
from cidery.client.http1 import BadResponse, NoAnswer, ResponseReader
from cidery.errors import (
    CATEGORY_HEADER,
    CideryError,
    IntegrityError,
    InvalidInput,
    LimitExceeded,
    NotFound,
    Unavailable,
)
from cidery.http.authorization import AGENT, MISDIRECTED, TOKEN_HEADER, header_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MAX_LINE = 64 << 20
"""Longest JSON value accepted, in bytes: one ``ls`` of a large directory is one value."""
MAX_ERROR_BODY = 1 << 20
"""Most bytes of an error answer read."""


class RpcError(CideryError):
    """The daemon refused or failed; the message is the daemon's."""

    def __init__(self, message: str, status: int = 200) -> None:
        super().__init__(message, status)
        self.message = message
        self.status = status

    def __str__(self) -> str:
        return self.message


class RpcInvalidInput(RpcError, InvalidInput):
    """An argument or option that the daemon refuses."""


class RpcNotFound(RpcError, NotFound):
    """The daemon does not have it, nor did it find it."""


class RpcIntegrityError(RpcError, IntegrityError):
    """Bytes that do not match their hash, in the daemon."""


class RpcLimitExceeded(RpcError, LimitExceeded):
    """A named bound of the daemon."""


class RpcUnavailable(RpcError, Unavailable):
    """Not possible in the daemon right now."""


_BY_CATEGORY: dict[str, type[RpcError]] = {
    "InvalidInput": RpcInvalidInput,
    "NotFound": RpcNotFound,
    "IntegrityError": RpcIntegrityError,
    "LimitExceeded": RpcLimitExceeded,
    "Unavailable": RpcUnavailable,
}


class DaemonGone(Unavailable):
    """No daemon answers at the address."""

    def __init__(self, address: str, reason: str) -> None:
        super().__init__(address, reason)
        self.address = address
        self.reason = reason

    def __str__(self) -> str:
        return f"no daemon answers at {self.address} ({self.reason}); start it with: cidery daemon"


class WrongDaemon(DaemonGone):
    """The server is not the daemon of this repository: that daemon was killed, and another program has its port."""

    def __init__(self, address: str, who: str) -> None:
        super().__init__(address, who)
        self.who = who

    def __str__(self) -> str:
        return f"{self.address} is answered by {self.who}, not by the daemon of this repository; start it again"


class NoSecureConnection(Unavailable):
    """Something listens there, but TLS with the intended daemon does not come about: nothing was sent to it.

    It is no DaemonGone: who would go on without the daemon then, would do so because somebody is in between.
    """

    def __init__(self, address: str, reason: str) -> None:
        super().__init__(address, reason)
        self.address = address
        self.reason = reason

    def __str__(self) -> str:
        return f"no secure connection to {self.address}: {self.reason}"


def call_headers(endpoint: Endpoint, *, body: bool) -> list[tuple[str, str]]:
    """Headers that identify the caller. A body is held back until the right daemon has answered."""
    headers = [(TOKEN_HEADER, endpoint.token)] if endpoint.token else []
    if endpoint.secret:
        headers.append(("Authorization", header_of(endpoint.secret)))
    if body and endpoint.token:
        headers.append(("Expect", "100-continue"))
    return headers


def check_daemon(endpoint: Endpoint, status: int, headers: dict[str, str]) -> None:
    """Raises WrongDaemon unless a head comes from the intended daemon."""
    if endpoint.token and (status == MISDIRECTED or not headers.get("server", "").startswith(AGENT)):
        another = "the daemon of another repository" if status == MISDIRECTED else "another program"
        raise WrongDaemon(endpoint.name, another)


def gone(endpoint: Endpoint, fault: BadResponse, *, uploads: bool) -> DaemonGone | None:
    """The error if ``fault``, in place of an answer, means that the daemon with this token is gone, and has nothing.

    A daemon that ends closes the connections whose calls it has not begun, so they can be made elsewhere. But when the
    upload of a body has begun, something of the caller's stream is gone, and the call may have been done.
    """
    if uploads or not endpoint.token:
        return None
    if isinstance(fault, NoAnswer):
        return DaemonGone(endpoint.name, "it closed the connection")
    return WrongDaemon(endpoint.name, "a program that does not speak HTTP")


def error_of(status: int, reason: str, body: bytes, category: str = "") -> RpcError:
    """The error in an answer with a status other than 200; of the category that a daemon of Cidery names."""
    import json  # which a call that gives bytes, and no error, does not need

    kind = _BY_CATEGORY.get(category, RpcInvalidInput if status == 400 else RpcError)
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        text = body.decode("utf-8", "replace").strip().partition("\n")[0]
        if text.startswith("<"):  # a page for people
            text = f"what answers is no RPC server: {status} {reason}"
        return kind(text or f"{status} {reason}", status)
    if isinstance(value, dict) and isinstance(value.get("Message"), str):
        return kind(value["Message"], status)
    return RpcError(f"{status} {reason}", status)


def category_in(headers: dict[str, str]) -> str:
    """The category of an error that headers or trailers name, "" for none."""
    return headers.get(CATEGORY_HEADER.lower(), "")


def check_end(reader: ResponseReader) -> None:
    """Raise RpcError if an error came after the first byte."""
    if message := reader.trailers.get("x-stream-error"):
        raise _BY_CATEGORY.get(category_in(reader.trailers), RpcError)(message)


class ValueLines:
    """Splits a body into JSON values, one per line."""

    def __init__(self, *, lists: bool = False) -> None:
        """``lists``: whether a value may be a list, as those of some commands are, which are only printed."""
        self._rest = b""
        self._lists = lists

    def receive_data(self, data: bytes) -> list[dict[str, Any]]:
        """Raises BadResponse."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > MAX_LINE:
            raise BadResponse(f"a value is longer than {MAX_LINE} bytes")
        return [_value(line, self._lists) for line in lines if line.strip()]

    def receive_eof(self) -> list[dict[str, Any]]:
        rest, self._rest = self._rest, b""
        return [_value(rest, self._lists)] if rest.strip() else []


def _value(line: bytes, lists: bool) -> Any:
    import json

    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as exc:
        raise BadResponse("a line is not JSON") from exc
    if isinstance(value, str):
        return {"Message": value}  # `files rm` names what failed by bare texts, as in Kubo
    if not isinstance(value, dict) and not (lists and isinstance(value, list)):
        raise BadResponse("a line is not a JSON object")
    return value
