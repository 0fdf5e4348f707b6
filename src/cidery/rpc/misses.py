"""Blocks and records for processes that read this repository's store themselves: the daemon's side of core.misses."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from cidery.budgets import MISS_SESSIONS
from cidery.core.api import Api
from cidery.core.misses import MEDIA_TYPE, Asked, AskedReader, BadMisses, Verb, failed, found
from cidery.core.session import BlockSession
from cidery.errors import CideryError
from cidery.http.body import BodyCut, RequestBody
from cidery.http.message import Request, Response, text
from cidery.ipns.name import parse_name


class Misses:
    """Answers sessions, each with a session of blocks of its own, which ends with the connection."""

    def __init__(self, api: Api, most: int = MISS_SESSIONS.amount) -> None:
        """``most``: sessions at a time."""
        self._api = api
        self._most = most
        self._open = 0

    def answer(self, request: Request) -> Response:
        """The caller knows the token. The body raises if the request makes no sense, which cuts it off."""
        if self._open >= self._most:
            return text(429, f"{self._most} sessions are open", {"Retry-After": "1"})
        return Response(200, {"Content-Type": MEDIA_TYPE}, self._frames(request))

    async def _frames(self, request: Request) -> AsyncGenerator[bytes | memoryview, None]:
        assert isinstance(request.body, RequestBody)  # the server gives every request one
        reader = AskedReader()
        self._open += 1
        try:
            yield b""  # the head: the caller sees at once who answers
            questions = _questions(request.body, reader)
            first = await anext(questions, None)
            if first is None:
                return
            if first.verb is not Verb.TERMS:
                raise BadMisses("the first line says no terms")
            async with self._api.session(terms=first.terms) as session:
                async for asked in questions:
                    for piece in await self._answer(asked, session):
                        yield piece
        except BodyCut:
            return  # it has what it wanted
        finally:
            self._open -= 1

    async def _answer(self, asked: Asked, session: BlockSession) -> tuple[bytes | memoryview, ...]:
        if asked.verb is Verb.AHEAD:
            session.prefetch(asked.cids)
            return ()
        if asked.verb is Verb.EXPECT:
            session.expect(asked.cids[0])
            return ()
        try:
            if asked.verb is Verb.NAME:
                return found((await self._api.naming.resolver.record(parse_name(asked.name))).raw)
            cid = asked.cids[0]
            ready = session.get_if_ready(cid)
            return found(await session.get(cid) if ready is None else ready)
        except CideryError as exc:
            return (failed(exc),)


async def _questions(body: RequestBody, reader: AskedReader) -> AsyncGenerator[Asked, None]:
    """Raises BadMisses, BodyCut."""
    while data := await body.readany():
        for asked in reader.receive_data(data):
            yield asked
