"""Client: the methods of a node, run in a daemon over its RPC."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Generator
from contextlib import closing
from pathlib import Path
from typing import Any, Self

from cidery.client.address import Endpoint, parse_endpoint
from cidery.client.blocking import Answer
from cidery.client.calls import RpcCalls
from cidery.client.getting import received
from cidery.methods.caller import path_text
from cidery.methods.surface import Surface
from cidery.multiformats.cid import CID

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cidery.methods.results import GetProgress


class Client(Surface):
    """A daemon, as ``async with cidery.Client(address) as node`` or ``node = await cidery.Client(address)``.

    Between entering and close() connections are kept for the next calls of the same event loop. Without entering,
    each call has one of its own: such a client needs no closing, and works in any loop and after a fork. Either may be
    used in several tasks.

    Errors of the daemon are raised as RpcError with the daemon's message, and of the same category of cidery.errors
    (NotFound, InvalidInput, ...) as without a daemon; DaemonGone when nothing answers.
    """

    def __init__(self, url: str | Endpoint, *, auth: str = "", authorities: str | os.PathLike[str] = "") -> None:
        """Args:
            url: ``/ip4/127.0.0.1/tcp/5001``, ``http://127.0.0.1:5001``, ``127.0.0.1:5001``, ``/unix/run/sock``; over
                TLS ``https://node.example.org:5001`` or ``/dns4/node.example.org/tcp/5001/tls/http``.
            auth: a secret of API.Authorizations, as ``bearer:TOKEN`` or ``basic:USER:PASSWORD``.
            authorities: a file in PEM with what may have signed the daemon's certificate, or with the certificate
                itself, in place of what the system trusts. One that does not fit is refused: NoSecureConnection.
        Raises:
            BadApiAddress: it is none of these.
        """
        endpoint = parse_endpoint(url) if isinstance(url, str) else url
        if authorities:
            endpoint = endpoint.trusting(os.path.abspath(authorities))
        self._endpoint = endpoint.with_secret(auth) if auth else endpoint
        self._calls = RpcCalls(self._endpoint)

    @property
    def _caller(self) -> RpcCalls:
        return self._calls

    def __await__(self) -> Generator[Any, None, Self]:
        """As ``async with``, for a notebook."""
        return self.__aenter__().__await__()

    async def close(self) -> None:
        """End the connections that are kept. Idempotent; the client can still be used."""
        await self._calls.connections.close()

    async def __aenter__(self) -> Self:
        """Checks that a daemon answers. Raises DaemonGone."""
        self._calls.connections.open()
        try:
            await self.peer_id()
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def get(
        self,
        path: str | CID,
        target: str | os.PathLike[str],
        *,
        progress: Callable[[GetProgress], None] | None = None,
    ) -> Path:
        """As Surface.get(). Until it ends well, a folder ".cidery-get" beside the target holds what is finished."""
        from cidery.methods.results import GetProgress

        text = path_text(path)
        loop = asyncio.get_running_loop()
        moved = asyncio.Event()
        opened: list[Answer] = []
        written = 0

        def receive() -> None:
            nonlocal written
            with closing(received(self._endpoint, text, target, opened)) as steps:
                for so_far in steps:
                    written = so_far
                    loop.call_soon_threadsafe(moved.set)

        running = asyncio.ensure_future(asyncio.to_thread(receive))
        running.add_done_callback(lambda _: moved.set())
        try:
            while not running.done():
                await moved.wait()
                moved.clear()
                if progress is not None:
                    progress(GetProgress(written, None))
        except BaseException:
            for answer in opened:
                answer.abort()
            await asyncio.wait([running])
            if not running.cancelled():
                running.exception()  # that the connection has ended is no news
            raise
        running.result()
        return Path(target)
