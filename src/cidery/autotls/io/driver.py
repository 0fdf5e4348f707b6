"""Drives the generators of AutoTLS: requests by aiohttp, look-ups by whatever answers TXT, waits by the loop."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

import aiohttp

from cidery.autotls.steps import MAX_BODY, BadAnswer, LookUp, NoCertificate, Pause, Request, Response, Steps, host_in
from cidery.errors import CideryError
from cidery.host_names import http_connector

T = TypeVar("T")

CONNECT_SECONDS, ANSWER_SECONDS = 15.0, 90.0
"""Seconds for a connection, and for a request in all: the broker dials this node before it answers."""
Texts = Callable[[str], Awaitable[tuple[str, ...]]]


class Driver:
    """For one attempt: cookies last as long as it does, so that a broker behind a balancer knows its own challenge."""

    def __init__(self, session: aiohttp.ClientSession, texts: Texts, wall_clock: Callable[[], float]) -> None:
        self._session = session
        self._texts = texts
        self._wall_clock = wall_clock

    async def run(self, steps: Steps[T]) -> T:
        """The result. Raises NoCertificate, BadAnswer, and what the steps raise. Cancel-safe."""
        try:
            step = next(steps)
            while True:
                if isinstance(step, Request):
                    step = steps.send(await self._ask(step))
                elif isinstance(step, LookUp):
                    step = steps.send(await self._look_up(step.name))
                else:
                    assert isinstance(step, Pause)  # there is nothing else
                    await asyncio.sleep(step.seconds)
                    step = steps.send(None)
        except StopIteration as stop:
            result: T = stop.value
            return result
        finally:
            steps.close()

    async def _look_up(self, name: str) -> tuple[str, ...]:
        try:
            return await self._texts(name)
        except CideryError:
            return ()  # it is asked again

    async def _ask(self, request: Request) -> Response:
        who = host_in(request.url)
        try:
            async with self._session.request(
                request.method,
                request.url,
                headers=list(request.headers),
                data=request.body or None,
                allow_redirects=False,
            ) as answer:
                if 300 <= answer.status < 400:
                    raise BadAnswer(who, f"a redirect (HTTP status {answer.status}), which is not followed")
                body = b""
                async for piece in answer.content.iter_any():
                    body += piece
                    if len(body) > MAX_BODY:
                        raise BadAnswer(who, f"more than {MAX_BODY} bytes")
                headers = {name.lower(): value for name, value in answer.headers.items()}
                return Response(answer.status, headers, body, self._wall_clock())
        except TimeoutError as exc:
            raise NoCertificate(who, "no answer in time") from exc
        except (aiohttp.ClientError, OSError, ValueError) as exc:
            raise NoCertificate(who, _reason(exc)) from exc


def _reason(exc: Exception) -> str:
    """For people: what the system, or TLS, has against the connection, without what is said of its two ends."""
    if isinstance(exc, aiohttp.ClientConnectorCertificateError):
        return str(exc.certificate_error)
    if isinstance(exc, aiohttp.ClientConnectorError):
        return f"no connection: {(exc.os_error.strerror or str(exc.os_error)).lower()}"
    return str(exc) or type(exc).__name__


@asynccontextmanager
async def driving(agent: str, roots: str, texts: Texts, wall_clock: Callable[[], float]) -> AsyncIterator[Driver]:
    """A driver whose connections end with the context.

    ``roots``: certificates in PEM that are trusted beside the system's; ``texts``: looks TXT records up.
    Raises NoCertificate if they are none.
    """
    trusted = ssl.create_default_context()
    if roots:
        try:
            trusted.load_verify_locations(cadata=roots)
        except (ssl.SSLError, ValueError) as exc:
            raise NoCertificate("AutoTLS.TrustedCARootsPEM", "it holds no certificate in PEM") from exc
    limits = aiohttp.ClientTimeout(ANSWER_SECONDS, sock_connect=CONNECT_SECONDS)
    async with aiohttp.ClientSession(
        timeout=limits,
        connector=http_connector(ssl_context=trusted),
        trust_env=True,
        headers={"User-Agent": agent},
        # by addresses too: brokers of one's own have no name, and it is one server that is talked with
        cookie_jar=aiohttp.CookieJar(unsafe=True),
    ) as session:
        yield Driver(session, texts, wall_clock)
