"""The RPC client of the CLI: one blocking socket per call, no event loop, so that it starts in milliseconds.

A body is sent from a thread while the answer is read, because ``add`` answers while it is still receiving.
"""

from __future__ import annotations

import _socket  # `socket` adds names of constants and selectors, which take longer than a call

from cidery.client.address import Endpoint
from cidery.client.answer import (
    MAX_ERROR_BODY,
    DaemonGone,
    ValueLines,
    call_headers,
    category_in,
    check_daemon,
    check_end,
    error_of,
    gone,
)
from cidery.client.http1 import BadResponse, ResponseReader, chunk_frame, request_head
from cidery.errors import CideryError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, Self

    from cidery.client.secure import Connection

RECEIVE_SIZE = 1 << 20
"""Bytes requested from the socket at a time."""
SMALL_BODY = 16 * 1024
"""Longest body that needs no thread, in bytes: the system takes it whatever the daemon does."""
CONNECT_TIMEOUT = 5.0
"""Seconds to connect to this machine: if it takes longer, nothing accepts there."""
FAR_CONNECT_TIMEOUT = 130.0
"""Seconds to connect to another machine, which may be far away: Linux itself gives up after 127."""


class Answer:
    """One call: status and headers are read on construction, the body as it is iterated. Close it, or use ``with``."""

    def __init__(
        self, connection: Connection, endpoint: Endpoint, body: Iterator[bytes] | None, *, at_once: bool = False
    ) -> None:
        """``body``: sent from a thread, or ``at_once``."""
        self._socket = connection
        self._name = endpoint.name
        self._upload: _Upload | None = None
        self._reader = ResponseReader()
        try:
            if body is not None:
                self._begin_upload(endpoint, body, at_once=at_once)
            while self._reader.status == 0:
                self._receive_head(endpoint)
            check_daemon(endpoint, self._reader.status, self._reader.headers)
            if self._reader.status != 200:
                raise self._error()
        except BaseException:
            self.close()
            raise

    @property
    def headers(self) -> dict[str, str]:
        return self._reader.headers

    def _begin_upload(self, endpoint: Endpoint, body: Iterator[bytes], *, at_once: bool) -> None:
        """Send the body; if a particular daemon is meant, only after it has asked for it."""
        while endpoint.token and self._reader.interim is None:
            self._receive_head(endpoint)
            if self._reader.status:
                return  # it wants no body
        if self._reader.interim is not None:
            check_daemon(endpoint, 100, self._reader.interim)
        self._upload = _Upload(self._socket, body, at_once=at_once)

    def _receive_head(self, endpoint: Endpoint) -> None:
        try:
            self._receive()
        except BadResponse as exc:
            if (error := gone(endpoint, exc, uploads=self._upload is not None)) is None:
                raise
            raise error from exc

    def _receive(self) -> None:
        try:
            data = self._socket.recv(RECEIVE_SIZE)
        except ConnectionError:
            data = b""
        if self._upload is not None and self._upload.failure is not None:
            raise self._upload.failure
        if data:
            self._reader.receive_data(data)
        else:
            self._reader.receive_eof()

    def _error(self) -> CideryError:
        body = bytearray()
        while not self._reader.done and len(body) < MAX_ERROR_BODY:
            self._receive()
            body += b"".join(self._reader.body())
        body += b"".join(self._reader.body())
        return error_of(self._reader.status, self._reader.reason, bytes(body), category_in(self._reader.headers))

    def chunks(self) -> Iterator[bytes]:
        """The body. Raises RpcError for an error after the first byte, BadResponse for a cut one."""
        while True:
            yield from self._reader.body()
            if self._reader.done:
                break
            self._receive()
        check_end(self._reader)

    def values(self, *, lists: bool = False) -> Iterator[dict[str, Any]]:
        """The body as JSON values, one per line; raises as chunks(). ``lists``: see ValueLines."""
        lines = ValueLines(lists=lists)
        for chunk in self.chunks():
            yield from lines.receive_data(chunk)
        yield from lines.receive_eof()

    def texts(self) -> Iterator[str]:
        """The body as text, in whole lines; bytes that are not UTF-8 as in file names. Raises as chunks()."""
        rest = b""
        for chunk in self.chunks():
            whole, end, rest = (rest + chunk).rpartition(b"\n")
            if end:
                yield (whole + end).decode("utf-8", "surrogateescape")
        if rest:
            yield rest.decode("utf-8", "surrogateescape")

    def say(self, data: bytes) -> None:
        """Send more of the body of a call that has a content type alone, and no end. Raises DaemonGone."""
        try:
            self._socket.sendall(chunk_frame(len(data)) + data + b"\r\n")
        except OSError as exc:
            raise DaemonGone(self._name, exc.strerror or str(exc)) from exc

    def abort(self) -> None:
        """End the connection from another thread: a waiting reader gets an error."""
        try:
            self._socket.shutdown(_socket.SHUT_RDWR)
        except OSError:
            return  # closed already

    def close(self) -> None:
        """End the connection; the daemon cancels a call that is still running."""
        self._socket.close()
        if self._upload is not None:
            self._upload.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Upload:
    """Sends a body in chunks; ``failure`` is the error that stopped it, if it was ours."""

    def __init__(self, connection: Connection, body: Iterator[bytes], *, at_once: bool) -> None:
        """``at_once``: on return all of it is sent; else a thread sends it."""
        self.failure: CideryError | None = None
        self._socket = connection
        self._body = body
        self._stopped = False
        if at_once:
            self._run()
            return
        import threading

        threading.Thread(target=self._run, name="cidery-upload", daemon=True).start()

    def _run(self) -> None:
        try:
            for data in self._body:
                if self._stopped:
                    return
                if data:
                    self._socket.sendall(chunk_frame(len(data)) + data + b"\r\n")
            self._socket.sendall(chunk_frame(0) + b"\r\n")
        except CideryError as exc:
            self.failure = exc
            self._shutdown()
        except OSError:
            # The daemon stopped reading: it has answered, or is gone. The answer, or its end, says which.
            self._stopped = True

    def _shutdown(self) -> None:
        try:
            self._socket.shutdown(_socket.SHUT_RDWR)  # wakes the reader, which raises ``failure``
        except OSError:
            self._stopped = True  # closed already: there is no reader to wake

    def stop(self) -> None:
        self._stopped = True


def connect_timeout(endpoint: Endpoint) -> float:
    """Seconds to wait for a connection."""
    here = endpoint.path or endpoint.host in ("localhost", "::1") or endpoint.host.startswith("127.")
    return CONNECT_TIMEOUT if here else FAR_CONNECT_TIMEOUT


def _connect(endpoint: Endpoint) -> Connection:
    """Raises OSError, NoSecureConnection, BadAuthorities."""
    connection = _connect_plain(endpoint)
    if not endpoint.secure:
        return connection
    try:
        from cidery.client.secure import secured

        return secured(connection, endpoint)
    except BaseException:
        connection.close()
        raise


def _connect_plain(endpoint: Endpoint) -> _socket.socket:
    """Raises OSError."""
    if not endpoint.path and not endpoint.host.replace(".", "").isdigit():
        import socket

        return socket.create_connection((endpoint.host, endpoint.port), connect_timeout(endpoint))
    # an address needs no look-up, which would import the codec of host names
    connection = _socket.socket(_socket.AF_UNIX if endpoint.path else _socket.AF_INET)
    try:
        connection.settimeout(connect_timeout(endpoint))
        connection.connect(endpoint.path or (endpoint.host, endpoint.port))
        if not endpoint.path:
            # otherwise the small pieces of an upload would each wait 40 ms
            connection.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY, 1)
    except BaseException:
        connection.close()
        raise
    return connection


def call(
    endpoint: Endpoint,
    path: list[str],
    query: list[tuple[str, str]],
    *,
    body: Iterator[bytes] | None = None,
    content_type: str = "",
    at_once: bool = False,
) -> Answer:
    """Make one call.

    Args:
        body: sent in chunks with ``content_type``, while the answer is read.
        at_once: the body has at most SMALL_BODY bytes, which are at hand: it is sent first, without a thread.
        content_type: without a ``body``, what Answer.say() sends is the body.
    Raises:
        DaemonGone: nothing listens there, or (WrongDaemon) another program.
        NoSecureConnection: what listens there is not the daemon of that name, as far as its certificate shows.
        RpcError: the daemon answered with an error.
        BadResponse: it does not speak HTTP.
    """
    headers = call_headers(endpoint, body=body is not None)
    head = request_head(endpoint.authority, path, query, content_type=content_type, headers=headers)
    try:
        connection = _connect(endpoint)
    except OSError as exc:
        raise DaemonGone(endpoint.name, exc.strerror or str(exc)) from exc
    connection.settimeout(None)
    try:
        connection.sendall(head)
    except OSError as exc:
        connection.close()
        raise DaemonGone(endpoint.name, exc.strerror or str(exc)) from exc
    return Answer(connection, endpoint, body, at_once=at_once)
