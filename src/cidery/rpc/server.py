"""The RPC over HTTP: ``POST /api/v0/<command path>``, derived from the command definitions.

Spec: https://docs.ipfs.tech/reference/kubo/rpc/
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from copy import copy
from functools import partial
from hmac import compare_digest
from typing import Any, NamedTuple
from urllib.parse import unquote

from cidery.budgets import MISS_SESSIONS, RPC_AHEAD
from cidery.commands.bind import BadCall, BadValue, bind, options_by_name
from cidery.commands.context import Body, Caller, Context, TimedOut
from cidery.commands.definition import ABOUT, REMOTE_GLOBALS, Call, Command, OptionType, Output, load
from cidery.commands.registry import find
from cidery.core.adding.items import Item
from cidery.core.api import Api
from cidery.core.getting.extents import MEDIA_TYPE as EXTENTS
from cidery.core.misses import FOR_WORKERS
from cidery.core.misses import PATH as MISSES
from cidery.errors import CideryError
from cidery.http.authorization import MISDIRECTED, TOKEN_HEADER
from cidery.http.body import BodyCut, RequestBody
from cidery.http.exposition import MEDIA_TYPE
from cidery.http.exposition import PATH as METRICS_PATH
from cidery.http.message import Request, Response
from cidery.rpc.answer import (
    COMMON_HEADERS,
    PREFLIGHT,
    TRAILERS,
    error_answer,
    one_line,
    stream_error,
    text_answer,
    value_line,
)
from cidery.rpc.authorization import DENIED, Authorizations
from cidery.rpc.guard import allowed, check, comes_from, is_local_host, is_named
from cidery.rpc.misses import Misses
from cidery.rpc.official import OfficialPage
from cidery.rpc.parameters import Parameters, parse_parameters, read_parameters
from cidery.rpc.places import Place, Places
from cidery.rpc.uploads import is_multipart, read_uploads
from cidery.rpc.webui import LINK, OFFICIAL, SESSION_SCHEME, WebUi
from cidery.rpc.webui import PREFIX as WEBUI

PREFIX = "/api/v0/"
WATCH_AS = "watch-as"
"""Query parameter of any call: the name under which ``bitswap session`` reports its progress."""
MAX_WATCH_NAME = 64
"""Significant characters of such a name."""
OWN_AGENT = "cidery"
"""User-Agent of our own clients, which can read names of arbitrary bytes."""
_TOKEN = TOKEN_HEADER.lower()
_NOT_FOUND = (404, "404 page not found")
_NO_SESSION = (401, "401 - this page has no session, or its session is over: open it with: cidery ui")
log = logging.getLogger("cidery.rpc")
Piece = bytes | memoryview


class _Failed(CideryError):
    """A bug of ours, recorded in the log; the caller gets one line."""

    def __init__(self, cause: Exception) -> None:
        super().__init__(cause)
        self.cause = cause

    def __str__(self) -> str:
        return one_line(self.cause)


class _NoCall(BadCall):
    """The request is no call of a command: nothing was run."""


class RpcHandler:
    """Answers requests with an Api. ``__call__`` is the handler of an HTTP server."""

    def __init__(
        self,
        api: Api,
        origins: frozenset[str],
        stop: Callable[[], None],
        token: str,
        *,
        exposed: bool = False,
        sessions: int = MISS_SESSIONS.amount,
        routing: Callable[[Request], Awaitable[Response]] | None = None,
        metrics: Callable[[], Awaitable[bytes]] | None = None,
        official: OfficialPage | None = None,
        more: dict[str, str] | None = None,
    ) -> None:
        """``token``: a caller that sends it means this daemon and is its user. ``exposed``: any Host is accepted.

        ``sessions``: most sessions of gateway workers. ``routing``: answers the HTTP routing API for them.
        ``metrics``: the text for Prometheus. ``official``: the official page, if it is served. ``more``: headers of
        every answer to a call.
        """
        self._more = more or {}
        self._official = official
        self._metrics = metrics
        self._api = api
        self._origins = origins
        self._users = Authorizations(api.config.authorizations)
        self._stop = stop
        self._token = token
        self._exposed = exposed
        self._own: frozenset[str] = frozenset()
        self.names: frozenset[str] = frozenset()
        """Of the certificate of this server; empty without TLS."""
        self._webui = WebUi(api.path, official=official.cids if official is not None else ())
        self._places = Places()
        self._at_hand = Context(api.at_hand(), api.path, None, stop, Caller.ANYBODY, None, self._places.running)
        self._misses = Misses(api, sessions)
        self._routing = routing

    def beside(self) -> "RpcHandler":
        """One for a further address of the same daemon: places, tickets of the page and sessions are those of this one,
        what allow() and ``names`` say is not. Call it before them."""
        return copy(self)

    def allow(self, origins: frozenset[str], own: frozenset[str] = frozenset()) -> None:
        """Let pages of these origins call, too. ``own``: those of this server, whose pages need a session."""
        self._own |= own - self._origins
        self._origins |= origins | own

    def at_hand(self, request: Request) -> Response | None:
        """The answer to a call that needs no waiting, so neither a task nor a place; None: __call__() gives it.

        Never raises. What is refused, or fails, is left to __call__(), which finds it again and says why.
        """
        path, _, query = request.target.partition("?")
        command, run = _KNOWN.get(path), _AT_HAND.get(path)
        if command is None or run is None or request.method != "POST" or "origin" in request.headers:
            return None
        if self._refused(request, "POST") is not None:
            return None
        try:
            parameters = parse_parameters(query)
            if any(name == WATCH_AS for name, _ in parameters):
                return None
            call = _bound(command, [], parameters)
            running = run(self._at_hand, call)
            try:
                running.send(None)
            except StopIteration as stop:
                head = _whole(stop.value, call, request)
            else:
                running.close()  # it wants to wait
                return None
        except CideryError:
            return None
        return (
            None
            if head is None or head.whole is None
            else Response(200, {**COMMON_HEADERS, **head.headers, **self._more}, head.whole)
        )

    async def __call__(self, request: Request) -> Response:
        """Cancellation: the run is cancelled when the client goes away."""
        answer = await self._checked(request)
        if self._more and request.path.startswith(PREFIX):
            answer.headers.update(self._more)
        origin = request.header("origin")
        if origin and allowed(origin, self._origins | self._named(request)):
            answer.headers["Access-Control-Allow-Origin"] = origin
        return answer

    def _named(self, request: Request) -> frozenset[str]:
        """The origin of this server's own pages, if it was called by a name of its certificate."""
        host = request.header("host").lower()
        return frozenset((f"https://{host}",)) if self.names and is_named(host, self.names) else frozenset()

    def _of_us(self, request: Request) -> frozenset[str]:
        """Origins of this server, whose pages need a session."""
        return self._own | self._named(request) if self.names else self._own

    async def _checked(self, request: Request) -> Response:
        if request.path.startswith(FOR_WORKERS):
            return await self._of_worker(request)
        if request.path == LINK and self._is_ours(request.header(TOKEN_HEADER.lower())):
            return self._webui.ticket()
        if request.path in (WEBUI, OFFICIAL) or request.path.startswith(f"{WEBUI}/"):
            return await self._of_page(request, self._webui.answer)
        if self._official is not None and self._official.has(request.path):
            return await self._of_page(request, self._official.page)
        measures = request.path == METRICS_PATH and self._metrics is not None
        if not request.path.startswith(PREFIX) and not measures:
            return text_answer(*_NOT_FOUND)  # for every caller: there is nothing to protect
        method = "POST" if measures and request.method in ("GET", "HEAD") else request.method  # it changes nothing
        if (refused := self._refused(request, method)) is not None:
            return refused
        if measures and self._metrics is not None:
            return Response(200, {"Content-Type": MEDIA_TYPE}, await self._metrics())
        return await self._answer(request)

    def _refused(self, request: Request, method: str) -> Response | None:
        """The answer to a caller that is refused. ``method``: the one that counts."""
        # A page that rebinds its name to this machine has no secret: where one is required, any Host will do.
        any_host = self._exposed or bool(self._users)
        origins = self._origins | self._named(request) if self.names else self._origins
        refusal = check(method, request.headers, origins, any_host=any_host, names=self.names)
        if refusal is not None:
            return text_answer(*refusal)
        meant = request.headers.get(_TOKEN)
        if meant is not None and not self._is_ours(meant):
            return text_answer(MISDIRECTED, "421 - this is the daemon of another repository")
        # A preflight carries no secret and calls nothing.
        return self._denied(request) if request.method != "OPTIONS" else None

    def _denied(self, request: Request) -> Response | None:
        """The answer to a caller without the secret that it needs."""
        given = request.header("authorization")
        if self._webui.is_session(given):
            return None
        if given.startswith(SESSION_SCHEME) or (not self._users and comes_from(request.headers, self._of_us(request))):
            return text_answer(*_NO_SESSION)
        return None if self._users.allows(given, unquote(request.path)) else text_answer(403, DENIED)

    async def _of_page(self, request: Request, page: Callable[[Request], Awaitable[Response]]) -> Response:
        """The files of the web page, and the trade of a ticket for a session, which only that page may make."""
        any_host = self._exposed or bool(self._users)
        host = request.header("host")
        if not any_host and not is_local_host(host) and not is_named(host, self.names):
            return text_answer(403, "403 - Forbidden")
        if request.method == "POST":
            refusal = check("POST", request.headers, self._of_us(request), any_host=any_host, names=self.names)
            if refusal is not None:
                return text_answer(*refusal)
        return await page(request)

    async def _of_worker(self, request: Request) -> Response:
        """For callers that know the token: they can read the repository, too."""
        if not self._is_ours(request.header(TOKEN_HEADER.lower())):
            return text_answer(MISDIRECTED, "421 - this is the daemon of another repository")
        if request.path == MISSES and request.method == "POST":
            return self._misses.answer(request)
        if self._routing is None:
            return text_answer(*_NOT_FOUND)
        request.target = request.target.removeprefix(FOR_WORKERS)
        return await self._routing(request)

    def _is_ours(self, token: str) -> bool:
        return compare_digest(token.encode("utf-8", "surrogateescape"), self._token.encode())

    async def _answer(self, request: Request) -> Response:
        found = _find(request.path)
        if found is None:
            return text_answer(*_NOT_FOUND)
        if request.method == "OPTIONS":
            return text_answer(204, "", PREFLIGHT)
        running = self._run(request, *found)
        try:
            head = await anext(running)
        except _NoCall as exc:
            return text_answer(400, one_line(exc))
        except (CideryError, TimeoutError) as exc:
            return error_answer(exc)
        assert isinstance(head, _Head)  # the first item is the head
        headers = {**COMMON_HEADERS, **head.headers}
        if head.whole is not None:
            await running.aclose()
            return Response(200, headers, head.whole)
        answer = Response(200, {**headers, "Trailer": TRAILERS}, _pieces(running), error_trailers=stream_error)
        answer.ahead = RPC_AHEAD.amount if found[0].file_argument is not None else 0
        return answer

    async def _run(self, request: Request, command: Command, words: list[str]) -> "AsyncGenerator[_Head | Piece, None]":
        """The head of the answer, then its pieces. Raises CideryError; an error before the head gets its own status."""
        async with self._places.taken(command) as place:
            parameters, call = await _read_call(request, command, words)
            place.call = call
            context = self._context(request, call, parameters, place)
            exact = _is_own(request)
            seconds = call.seconds("timeout")
            if place.seconds is not None:
                seconds = min(seconds or place.seconds, place.seconds)
            try:
                async with (
                    asyncio.timeout(seconds or None) as limit,
                    aclosing(_perform(context, call, exact)) as pieces,
                ):
                    async for piece in pieces:
                        yield piece
            except TimeoutError as exc:
                if not limit.expired():
                    raise
                raise TimedOut(seconds or 0.0) from exc
            except (CideryError, ConnectionError):
                raise
            except Exception as exc:
                # A faulty request handler must not stop the daemon; the traceback is for us, the line for the caller.
                log.exception("%s failed", call.command.name)
                raise _Failed(exc) from exc

    def _context(self, request: Request, call: Call, parameters: Parameters, place: Place) -> Context:
        api = self._api.offline() if call.flag("offline") else self._api
        if watch_as := next((text for name, text in parameters if name == WATCH_AS), ""):
            api = api.watched_as(watch_as[:MAX_WATCH_NAME])
        uploads: AsyncIterator[Item] | None = None
        if call.command.file_argument is not None:
            uploads = read_uploads(request, place)
        owner = self._is_ours(request.header(TOKEN_HEADER.lower()))
        caller = Caller.OWNER if owner else Caller.ANYBODY
        # a caller that knows the token can read the repository, where the token is
        extents = owner and request.header("content-type") == EXTENTS
        taken = partial(_taken, request, place) if extents else None
        return Context(api, self._api.path, uploads, self._stop, caller, taken, self._places.running)


class _Head(NamedTuple):
    """The beginning of an answer."""

    headers: dict[str, str]
    whole: bytes | None = None
    """All that follows it: no error can come any more. An answer of one piece costs half as much."""


async def _taken(request: Request, place: Place) -> bytes:
    """The next bytes of a body that goes on during the answer. Raises BodyCut, SilentBody."""
    assert isinstance(request.body, RequestBody)  # the server gives every request one
    said = await place.hear(request.body.readany())
    if not said:
        raise BodyCut
    return said


async def _pieces(running: "AsyncGenerator[_Head | Piece, None]") -> AsyncGenerator[Piece, None]:
    async with aclosing(running):
        async for piece in running:
            assert not isinstance(piece, _Head)  # the head was taken already
            yield piece


async def _perform(context: Context, call: Call, exact: bool) -> "AsyncGenerator[_Head | Piece, None]":
    """Run a command. The head comes with the first byte, so that an error before it gets its own status."""
    command = call.command
    running = load(command.run)(context, call)
    if command.output is Output.STREAM:
        begun = False
        async with aclosing(running) as values:
            async for value in values:
                if not begun:
                    begun = True
                    yield _values_head(call)
                yield _value(value, call, exact)
        if not begun:
            yield _values_head(call)._replace(whole=b"")
        return
    result = await running
    if isinstance(result, Body):
        async for piece in _bytes(result, call):
            yield piece
    else:
        yield _values_head(call)._replace(whole=b"" if result is None else _value(result, call, exact))


def _whole(result: Any, call: Call, request: Request) -> _Head | None:
    """An answer that is at hand as a whole; None: it is not."""
    if isinstance(result, Body):
        return None if result.whole is None else _Head(_bytes_headers(result, call), bytes(result.whole))
    return _values_head(call)._replace(whole=b"" if result is None else _value(result, call, _is_own(request)))


def _bytes_headers(body: Body, call: Call) -> dict[str, str]:
    headers = {
        "Content-Type": body.media_type or call.command.media_type,
        "X-Stream-Output": "1",
        "X-Content-Type-Options": "nosniff",
    }
    if body.length is not None:
        headers["X-Content-Length"] = str(body.length)
    elif body.about is not None:
        headers[ABOUT] = str(body.about)
    return headers


async def _bytes(body: Body, call: Call) -> "AsyncGenerator[_Head | Piece, None]":
    headers = _bytes_headers(body, call)
    if body.whole is not None:
        yield _Head(headers, bytes(body.whole))
        return  # the chunks were never begun
    begun = False
    async with aclosing(body.chunks) as chunks:
        async for chunk in chunks:
            if not begun:
                begun = True
                yield _Head(headers)
            yield chunk
    if not begun:
        yield _Head(headers)


def _is_own(request: Request) -> bool:
    """Whether a client of ours asks, which can read names of arbitrary bytes."""
    return request.header("user-agent").partition("/")[0] == OWN_AGENT


def _as_text(call: Call) -> bool:
    return call.text("encoding") == "text" and call.command.text is not None


def _values_head(call: Call) -> _Head:
    return _Head({"Content-Type": "text/plain" if _as_text(call) else "application/json", "X-Chunked-Output": "1"})


def _value(value: Any, call: Call, exact: bool) -> bytes:
    if _as_text(call):
        return call.shown(value).encode("utf-8", "surrogateescape")
    return value_line(value, exact=exact)


_KNOWN: dict[str, Command] = {}
"""Path of a request -> its command, for the paths that the commands have themselves."""
_AT_HAND: dict[str, Any] = {}
"""Of these, those whose runs may need no waiting -> their implementation."""


def _find(raw_path: str) -> tuple[Command, list[str]] | None:
    """The command that a path names, and its first argument: as in Kubo one word behind it may be that.

    A further word of a command that takes no text names a command that is not there: to run another one would be wrong.
    """
    if not raw_path.startswith(PREFIX):
        return None
    if known := _KNOWN.get(raw_path):
        return known, []
    words = [unquote(word, errors="surrogateescape") for word in raw_path[len(PREFIX) :].strip("/").split("/")]
    found = find(words)
    if found is None or not found.command.over_rpc:
        return None
    given = words[found.words :]
    if not given and raw_path == PREFIX + "/".join(found.command.path):
        _KNOWN[raw_path] = found.command
        if found.command.at_hand:
            _AT_HAND[raw_path] = load(found.command.run)
    takes_text = any(not argument.is_file for argument in found.command.arguments)
    return None if len(given) > takes_text else (found.command, given)


async def _read_call(request: Request, command: Command, words: list[str]) -> tuple[Parameters, Call]:
    """As in Kubo: a request that does not fit the definition is no call; a refused value is an error of the command.

    Raises _NoCall, BadValue.
    """
    try:
        parameters = await read_parameters(request)
        call = _bound(command, words, parameters)
    except BadValue:
        raise
    except BadCall as exc:
        raise _NoCall(exc.reason) from exc
    if command.file_argument is not None and not is_multipart(request):
        raise _NoCall(f"file argument {command.file_argument.name!r} is required")
    return parameters, call


def _bound(command: Command, words: list[str], parameters: Parameters) -> Call:
    """Values of ``arg`` are further arguments; unknown options are ignored. Raises BadCall."""
    by_name = options_by_name(command)
    # A flag may be without a value; an empty text is one.
    options = [
        (name, text or ("true" if by_name[name].type is OptionType.BOOL else ""))
        for name, text in parameters
        if (option := by_name.get(name)) and (option.name in REMOTE_GLOBALS or option in command.options)
    ]
    return bind(command, words + [text for name, text in parameters if name == "arg"], options, body=True)
