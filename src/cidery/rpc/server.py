"""The RPC over HTTP: ``POST /api/v0/<command path>``, derived from the command definitions.

Spec: https://docs.ipfs.tech/reference/kubo/rpc/
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from hmac import compare_digest
from typing import Any
from urllib.parse import unquote

from aiohttp import web

from cidery.commands.bind import BadCall, bind, options_by_name
from cidery.commands.context import Body, Caller, Context, TimedOut
from cidery.commands.definition import REMOTE_GLOBALS, Call, Command, OptionType, Output, load
from cidery.commands.registry import find
from cidery.core.add_items import AddItem
from cidery.core.api import Api
from cidery.errors import CideryError, Unavailable
from cidery.http.authorization import MISDIRECTED, TOKEN_HEADER
from cidery.rpc.answer import COMMON_HEADERS, SERVER, StreamAnswer, error_answer, one_line, text_answer, value_line
from cidery.rpc.authorization import DENIED, Authorizations
from cidery.rpc.guard import check
from cidery.rpc.parameters import Parameters, read_parameters
from cidery.rpc.uploads import is_multipart, read_uploads

PREFIX = "/api/v0/"
MAX_CALLS = 256
"""Most calls at once: each may hold sockets, buffers of some MiB and a fetch session."""
WATCH_AS = "watch-as"
"""In the query of any call: the name under which ``bitswap session`` tells how it is doing."""
MAX_WATCH_NAME = 64
"""Characters of such a name that count."""
CONTINUE = f"HTTP/1.1 100 Continue\r\nServer: {SERVER}\r\n\r\n".encode()
"""Asks for a body that its sender holds back, and names this server."""
log = logging.getLogger("cidery.rpc")


class TooManyCalls(Unavailable):
    """MAX_CALLS calls are running."""

    def __str__(self) -> str:
        return f"{MAX_CALLS} calls are running; try again when some are done"


class RpcHandler:
    """Answers requests with an Api. ``__call__`` is the handler of an HTTP server."""

    def __init__(
        self, api: Api, origins: frozenset[str], stop: Callable[[], None], token: str, *, exposed: bool = False
    ) -> None:
        """``token``: a caller that sends it means this daemon and is its user. ``exposed``: any Host is accepted."""
        self._api = api
        self._origins = origins
        self._users = Authorizations(api.config.authorizations)
        self._stop = stop
        self._token = token
        self._exposed = exposed
        self._running = 0

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        """Cancellation: the run is cancelled when the client goes away."""
        # Where secrets are asked for, a page that points its name here has none: any name of this machine will do.
        any_host = self._exposed or bool(self._users)
        refusal = check(request.method, request.headers, self._origins, any_host=any_host)
        if refusal is not None:
            return text_answer(*refusal)
        meant = request.headers.get(TOKEN_HEADER)
        if meant is not None and not self._is_ours(meant):
            return text_answer(MISDIRECTED, "421 - this is the daemon of another repository")
        # A preflight carries no secret, and calls nothing.
        header = request.headers.get("Authorization", "")
        if request.method != "OPTIONS" and not self._users.allows(header, unquote(request.rel_url.raw_path)):
            return text_answer(403, DENIED)
        answer = await self._answer(request)
        if (origin := request.headers.get("Origin")) and not answer.prepared:
            answer.headers["Access-Control-Allow-Origin"] = origin
        return answer

    def _is_ours(self, token: str) -> bool:
        return compare_digest(token.encode("utf-8", "surrogateescape"), self._token.encode())

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        found = _find(request.rel_url.raw_path)
        if found is None:
            return text_answer(404, "404 page not found")
        if request.method == "OPTIONS":
            return text_answer(204, "", (("Access-Control-Allow-Methods", "POST"),))
        if self._running >= MAX_CALLS:
            return error_answer(TooManyCalls())
        self._running += 1
        try:
            parameters = await read_parameters(request)
            call = _bound(*found, parameters)
            argument = call.command.file_argument
            if argument is not None and not is_multipart(request):
                raise BadCall(f"file argument {argument.name!r} is required")
            return await self._run(request, call, dict(parameters).get(WATCH_AS, "")[:MAX_WATCH_NAME])
        except BadCall as exc:
            return text_answer(400, one_line(exc))
        finally:
            self._running -= 1

    async def _run(self, request: web.BaseRequest, call: Call, watch_as: str) -> web.StreamResponse:
        api = self._api.offline() if call.flag("offline") else self._api
        if watch_as:
            api = api.watched_as(watch_as)
        uploads: AsyncIterator[AddItem] | None = None
        if call.command.file_argument is not None and is_multipart(request):
            if request.headers.get("Expect", "").lower() == "100-continue":
                await request.writer.write(CONTINUE)
            uploads = read_uploads(request)
        owner = self._is_ours(request.headers.get(TOKEN_HEADER, ""))
        caller = Caller.OWNER if owner else Caller.ANYBODY
        context = Context(api, self._api.path, uploads, self._stop, caller)
        reply = _Reply(request, call)
        seconds = call.seconds("timeout")
        try:
            async with asyncio.timeout(seconds or None) as limit:
                await _perform(load(call.command.run), context, call, reply)
        except TimeoutError as exc:
            return await reply.fail(TimedOut(seconds or 0.0) if limit.expired() else exc)
        except ConnectionError:
            return reply.abandon()
        except CideryError as exc:
            return await reply.fail(exc)
        except Exception as exc:
            # A request handler may not bring the daemon down; the traceback is for us, the line for the caller.
            log.exception("%s failed", call.command.name)
            return await reply.fail(exc)
        return await reply.end()


def _find(raw_path: str) -> tuple[Command, list[str]] | None:
    """The command that a path names; words behind it are its first arguments."""
    if not raw_path.startswith(PREFIX):
        return None
    words = [unquote(word, errors="surrogateescape") for word in raw_path[len(PREFIX) :].strip("/").split("/")]
    found = find(words)
    if found is None or not found.command.over_rpc:
        return None
    return found.command, words[found.words :]


def _bound(command: Command, words: list[str], parameters: Parameters) -> Call:
    """``arg`` are further arguments; options that are not known are ignored. Raises BadCall."""
    own = {name for option in command.options for name in option.names}
    by_name = options_by_name(command)
    known = {name for name, option in by_name.items() if name in own or option.name in REMOTE_GLOBALS}
    # A flag may be without a value; an empty text is one.
    options = [
        (name, text or ("true" if by_name[name].type is OptionType.BOOL else ""))
        for name, text in parameters
        if name in known
    ]
    return bind(command, words + [text for name, text in parameters if name == "arg"], options, body=True)


class _Reply:
    """The answer to one call; its head is sent with the first byte, so that an earlier error gets its own status."""

    def __init__(self, request: web.BaseRequest, call: Call) -> None:
        self._request = request
        self._call = call
        self._stream: StreamAnswer | None = None

    async def _begin(self, content_type: str, extra: dict[str, str]) -> StreamAnswer:
        stream = StreamAnswer(content_type, extra)
        if origin := self._request.headers.get("Origin"):
            stream.headers["Access-Control-Allow-Origin"] = origin
        await stream.begin(self._request)
        self._stream = stream
        return stream

    async def value(self, value: Any) -> None:
        as_text = self._call.text("encoding") == "text" and self._call.command.text is not None
        if self._stream is None:
            content_type = "text/plain" if as_text else "application/json"
            await self._begin(content_type, {"X-Chunked-Output": "1"})
        assert self._stream is not None  # _begin set it
        if as_text:
            await self._stream.send(self._call.shown(value).encode("utf-8", "surrogateescape"))
        else:
            await self._stream.send(value_line(value))

    async def body(self, body: Body) -> None:
        extra = {"X-Stream-Output": "1", "X-Content-Type-Options": "nosniff"}
        if body.length is not None:
            extra["X-Content-Length"] = str(body.length)
        content_type = body.media_type or self._call.command.media_type
        async with aclosing(body.chunks) as chunks:
            async for chunk in chunks:
                if self._stream is None:
                    await self._begin(content_type, extra)
                assert self._stream is not None  # _begin set it
                await self._stream.send(chunk)
        if self._stream is None:
            await self._begin(content_type, extra)

    async def fail(self, error: BaseException) -> web.StreamResponse:
        if self._stream is None:
            return error_answer(error)
        await self._stream.end(error)
        return self._stream

    def abandon(self) -> web.StreamResponse:
        """The client has gone: there is nobody to answer."""
        if self._request.transport is not None:
            self._request.transport.abort()
        return self._stream or web.Response()

    async def end(self) -> web.StreamResponse:
        if self._stream is None:
            # a stream without values, or a command without a result
            return web.Response(status=200, headers={**COMMON_HEADERS, "X-Chunked-Output": "1"})
        await self._stream.end()
        return self._stream


async def _perform(run: Callable[[Context, Call], Any], context: Context, call: Call, reply: _Reply) -> None:
    if call.command.output is Output.STREAM:
        async with aclosing(run(context, call)) as values:
            async for value in values:
                await reply.value(value)
        return
    running: Awaitable[Any] = run(context, call)
    result = await running
    if isinstance(result, Body):
        await reply.body(result)
    elif result is not None:
        await reply.value(result)
