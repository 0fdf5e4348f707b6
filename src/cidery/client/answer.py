"""What an RPC answer means: errors to exceptions, lines to values. No IO."""

import json
from typing import Any

from cidery.client.http1 import BadResponse, ResponseReader
from cidery.errors import CideryError, Unavailable

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


class DaemonGone(Unavailable):
    """No daemon answers at the address."""

    def __init__(self, address: str, reason: str) -> None:
        super().__init__(address, reason)
        self.address = address
        self.reason = reason

    def __str__(self) -> str:
        return f"no daemon answers at {self.address} ({self.reason}); start it with: cidery daemon"


def error_of(status: int, reason: str, body: bytes) -> RpcError:
    """The error that an answer with a status other than 200 carries."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        text = body.decode("utf-8", "replace").strip().partition("\n")[0]
        return RpcError(text or f"{status} {reason}", status)
    if isinstance(value, dict) and isinstance(value.get("Message"), str):
        return RpcError(value["Message"], status)
    return RpcError(f"{status} {reason}", status)


def check_end(reader: ResponseReader) -> None:
    """Raise RpcError if an error came after the first byte."""
    if message := reader.trailers.get("x-stream-error"):
        raise RpcError(message)


class ValueLines:
    """Splits a body into JSON values, one a line."""

    def __init__(self) -> None:
        self._rest = b""

    def receive_data(self, data: bytes) -> list[dict[str, Any]]:
        """Raises BadResponse."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > MAX_LINE:
            raise BadResponse(f"a value is longer than {MAX_LINE} bytes")
        return [_value(line) for line in lines if line.strip()]

    def receive_eof(self) -> list[dict[str, Any]]:
        rest, self._rest = self._rest, b""
        return [_value(rest)] if rest.strip() else []


def _value(line: bytes) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as exc:
        raise BadResponse("a line is not JSON") from exc
    if not isinstance(value, dict):
        raise BadResponse("a line is not a JSON object")
    return value
