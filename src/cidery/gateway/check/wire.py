"""One request over a connection of its own: HTTP/1.1 with the request target exactly as given, nothing followed."""

from __future__ import annotations

import asyncio
import os
import ssl
from typing import NamedTuple
from urllib.parse import urlsplit

import h11

from cidery.errors import InvalidInput, LimitExceeded, RemoteProtocolError, Unavailable
from cidery.gateway.check.model import Answer, Ask
from cidery.http.authorization import AGENT
from cidery.version import __version__

CONNECT_SECONDS = 10.0
"""Longest wait for a connection."""
ANSWER_SECONDS = 60.0
"""Longest wait for an answer with its body: a gateway may search the network before it says 404."""
MAX_HEAD = 64 * 1024
"""Most bytes of a response head."""
MAX_BODY = 8 * 1024 * 1024
"""Most bytes of a body; the largest expected one has some 100 KiB."""
READ_SIZE = 64 * 1024
"""Bytes asked of the socket at a time."""


class BadUrl(InvalidInput):
    """No URL of a gateway."""

    def __init__(self, given: str) -> None:
        super().__init__(given)
        self.given = given

    def __str__(self) -> str:
        return f"{self.given[:120]!r} is no URL of a gateway, such as http://127.0.0.1:8080"


class Unreachable(Unavailable):
    """No connection to the gateway."""

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(url, reason)
        self.url = url
        self.reason = reason

    def __str__(self) -> str:
        return f"no gateway answers at {self.url}: {self.reason}"


class BadAnswer(RemoteProtocolError):
    """What came back is not HTTP."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"the answer is not HTTP: {self.reason}"


class TooLong(LimitExceeded):
    """A body above MAX_BODY."""

    def __str__(self) -> str:
        return f"the body has more than {MAX_BODY} bytes"


class Place(NamedTuple):
    """The gateway under test."""

    scheme: str
    host: str
    port: int

    @property
    def authority(self) -> str:
        """``host:port``, without the port that the scheme implies."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.authority}"


_PORTS = {"http": 80, "https": 443}


def parse_url(text: str) -> Place:
    """``http://host[:port]``, without a path. Raises BadUrl."""
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError as exc:
        raise BadUrl(text) from exc
    beyond = parts.path.strip("/") or parts.query or parts.fragment or parts.username
    if parts.scheme not in _PORTS or not host or beyond:
        raise BadUrl(text)
    return Place(parts.scheme, host, port or _PORTS[parts.scheme])


async def send(place: Place, asked: Ask, seconds: float = ANSWER_SECONDS) -> Answer:
    """The answer to one request. A body that breaks off is noted in it.

    Raises Unreachable, BadAnswer and TooLong; TimeoutError after ``seconds``. Cancellation closes the connection.
    """
    reader, writer = await _open(place)
    try:
        async with asyncio.timeout(seconds):
            early = b""
            if asked.tunnel:
                early = await _tunnel(reader, writer, asked.tunnel.replace("{gateway}", f"{place.host}:{place.port}"))
            return await _exchange(reader, writer, asked, place.authority, early)
    except (h11.ProtocolError, ConnectionError) as exc:
        raise BadAnswer(str(exc) or type(exc).__name__) from exc
    finally:
        writer.close()


async def _open(place: Place) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    tls = ssl.create_default_context() if place.scheme == "https" else None
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            return await asyncio.open_connection(place.host, place.port, ssl=tls)
    except TimeoutError as exc:
        raise Unreachable(place.url, f"no connection within {CONNECT_SECONDS:.0f} s") from exc
    except OSError as exc:
        said = os.strerror(exc.errno) if isinstance(exc, ConnectionError) and exc.errno else exc.strerror
        raise Unreachable(place.url, (said or str(exc)).lower()) from exc


async def _tunnel(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, authority: str) -> bytes:
    """Ask for a tunnel; returns what came after the answer. Raises BadAnswer if that is no success."""
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD)
    headers = [("Host", authority), ("User-Agent", f"{AGENT}{__version__}")]
    request = h11.Request(method="CONNECT", target=authority, headers=headers)
    writer.write((connection.send(request) or b"") + (connection.send(h11.EndOfMessage()) or b""))
    event = await _next(connection, reader)
    if not isinstance(event, h11.Response) or not 200 <= event.status_code < 300:
        status = event.status_code if isinstance(event, h11.Response) else "nothing"
        raise BadAnswer(f"CONNECT {authority} is answered with {status}")
    return connection.trailing_data[0]


async def _exchange(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, asked: Ask, host: str, early: bytes
) -> Answer:
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD)
    headers = [("Host", asked.host or host), ("User-Agent", f"{AGENT}{__version__}"), *asked.headers]
    headers.append(("Connection", "close"))
    request = h11.Request(method=asked.method, target=asked.target, headers=headers)
    writer.write((connection.send(request) or b"") + (connection.send(h11.EndOfMessage()) or b""))
    if early:
        connection.receive_data(early)
    event = await _next(connection, reader)
    while isinstance(event, h11.InformationalResponse):
        event = await _next(connection, reader)
    if not isinstance(event, h11.Response):
        raise BadAnswer("the connection ends before the head of the answer does")
    given = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in event.headers)
    body, broken = await _body(connection, reader)
    return Answer(event.status_code, given, body, broken)


async def _body(connection: h11.Connection, reader: asyncio.StreamReader) -> tuple[bytes, str]:
    """The body, and why it broke off."""
    body = bytearray()
    while True:
        try:
            event = await _next(connection, reader)
        except (h11.RemoteProtocolError, ConnectionError) as exc:
            return bytes(body), str(exc) or type(exc).__name__
        if not isinstance(event, h11.Data):
            return bytes(body), ""
        body += event.data
        if len(body) > MAX_BODY:
            raise TooLong(MAX_BODY)


async def _next(connection: h11.Connection, reader: asyncio.StreamReader) -> object:
    while (event := connection.next_event()) is h11.NEED_DATA:
        connection.receive_data(await reader.read(READ_SIZE))
    return event
