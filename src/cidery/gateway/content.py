"""Content by path: finds what a request is about, and answers in the form that it wants.

The order of questions is that of the specification: where it is, in which form, whether it is there, whether the client
has it already, and only then its bytes.

Spec: https://specs.ipfs.tech/http-gateways/path-gateway/
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager, nullcontext
from functools import partial
from typing import NamedTuple

from cidery.blockstore.drive import run
from cidery.core.api import Api
from cidery.core.car.trustless import PathEnd, prove_path
from cidery.core.lazy_session import AtHand, LazySession, NotAtHand
from cidery.core.reading.content_path import ContentPath, parse_path
from cidery.core.reading.resolve import InsideBlock
from cidery.core.session import BlockSession, NotStored
from cidery.disk.file_part import FilePart
from cidery.errors import NotFound, Unavailable
from cidery.exchange.terms import Terms
from cidery.gateway import data, directory, trustless
from cidery.gateway.caching import content_headers
from cidery.gateway.conditional import NotCached, holds, only_if_cached
from cidery.gateway.disposition import location
from cidery.gateway.errors import said
from cidery.gateway.negotiate import Form, Wanted, car_parameters, form_of
from cidery.gateway.options import GatewayOptions
from cidery.gateway.origin import Origin
from cidery.gateway.outcome import outcome
from cidery.gateway.redirected import redirected_by_site
from cidery.gateway.shared_counts import WorkerCounts
from cidery.gateway.strangers import Strangers
from cidery.gateway.tree_archive import archive
from cidery.gateway.unixfs_file import Serving, file, leaf
from cidery.gateway.visitor import visitor_of
from cidery.http.message import Piece, Request, Response
from cidery.ipld.block import Block
from cidery.multiformats.cid import CID
from cidery.multiformats.multicodec import DAG_PB, RAW
from cidery.namesys.resolver import Limits as NameLimits
from cidery.unixfs.directory_reader import NotADirectory
from cidery.unixfs.node import Kind
from cidery.unixfs.reader import read_node

MAX_AT_HAND = 16 * 1024
"""Largest node whose links are read for an answer without waiting, in bytes: some 300 links."""
_WITH_TAG = (200, 206, 304)
"""Statuses of answers whose tag and date are those of the content."""
_SERVED_AS_CONTENT = (None, Form.JSON, Form.CBOR)
"""Forms in which files are served as they are: "json" of a file that holds JSON is the file."""
_SERVED_AS_FILES = (*_SERVED_AS_CONTENT, Form.TAR)


class Located(NamedTuple):
    """The content path of a request."""

    root: str
    """The CID of ``base``, as text."""
    base: ContentPath
    """What the root stands for: of a name, it may be a path."""
    below: tuple[str, ...]
    lasts: float | None
    """Seconds that this is so; None: for ever."""

    @property
    def path(self) -> ContentPath:
        return self.base._replace(segments=self.base.segments + self.below) if self.below else self.base


class Root(NamedTuple):
    """What is known of an answer about the root of a path before any block was looked at."""

    end: PathEnd
    headers: Mapping[str, str]
    serving: Serving


class Plan(NamedTuple):
    """What a request is about, and the form that it wants."""

    origin: Origin
    wanted: Wanted
    located: Located
    root: Root | None
    """What its root alone tells, if no name follows it."""


class ContentGateway:
    """Answers from one node."""

    def __init__(self, api: Api, options: GatewayOptions, shared: WorkerCounts | None = None) -> None:
        """``shared``: counts of strangers that are those of the other workers, too."""
        self._api = api if options.fetches else api.offline()
        self._options = options
        self._at_hand = AtHand(self._api.served)
        self.strangers = Strangers(time.monotonic, shared)

    def plan(self, request: Request, origin: Origin) -> Plan | None:
        """What is to be done for a request; None: that needs waiting. Raises BadRequest, PathError."""
        wanted = form_of(request, trustless=not origin.deserialized)
        if origin.namespace != "ipfs" or wanted.form is Form.RECORD:
            return None
        located = _located(origin)
        return Plan(origin, wanted, located, None if located.below else self._root(request, origin, wanted, located))

    def _root(self, request: Request, origin: Origin, wanted: Wanted, located: Located) -> Root | None:
        """Raises BadRequest."""
        root = located.base.root
        headers = _headers(request, origin, wanted, located.root, None)
        return Root(PathEnd((root,), ()), headers, self._serving("", origin, located.root))

    def _serving(self, name: str, origin: Origin, cid: str) -> Serving:
        return Serving(name, origin.isolated, f'"{cid}"', self._options.max_range_file_size, self._lent)

    def _lent(self, cid: CID, size: int) -> AbstractContextManager[FilePart | None]:
        if (denylists := self._api.denylists) is not None and denylists.block(cid) is not None:
            return nullcontext()  # reading it says why it is not served
        return self._api.store.lent(cid, size)

    def at_hand(self, request: Request, plan: Plan) -> Response | None:
        """The answer, if it is small and needs no waiting; else None. Raises as answer()."""
        if "if-match" in request.headers or "if-unmodified-since" in request.headers:
            return None  # answer() compares them with what it found
        if only_if_cached(request):
            return None  # answer() looks whether the content is stored, also where its CID alone would do
        steps = self._respond(request, plan, self._at_hand)
        try:
            steps.send(None)
        except StopIteration as stop:
            response: Response = stop.value
            return response if isinstance(response.body, bytes) else None
        except NotAtHand:
            return None
        steps.close()  # it wants to wait
        return None

    async def answer(self, request: Request, origin: Origin) -> Response:
        """The answer to a GET or HEAD.

        Raises the errors of reading. Cancel-safe. The body may raise, which cuts the answer off.
        """
        response = await self._answer(request, origin)
        if response.status in _WITH_TAG and not holds(request.headers, response.headers):
            if not isinstance(response.body, bytes):
                await response.body.aclose()
            return said(412, "this is not the content that the request names", request, html=self._options.pages)
        return response

    async def _answer(self, request: Request, origin: Origin) -> Response:
        plan = self.plan(request, origin)
        if plan is not None:
            return await self._answer_with_session(request, plan)
        wanted = form_of(request, trustless=not origin.deserialized)
        if wanted.form is Form.RECORD:
            rest = f"{origin.root}/{origin.below}" if origin.below else origin.root
            limits = self.name_limits(request)
            return await trustless.record(self._api.naming, origin.namespace, rest, request, wanted.of_type, limits)
        return await self._answer_with_session(request, Plan(origin, wanted, await self._named(request, origin), None))

    async def _answer_with_session(self, request: Request, plan: Plan) -> Response:
        cached = only_if_cached(request)
        api = self._api.offline() if cached else self._api
        if cached and not await self._stores(plan.located.base.root):
            raise NotCached(plan.located.base.root)
        blocks = LazySession(api.served, partial(self._opened, api, request))
        try:
            response = await self._respond(request, plan, blocks)
        except BaseException as exc:
            _tell(exc, blocks)
            await blocks.close()
            if cached and isinstance(exc, NotStored):
                raise NotCached(exc.cid) from exc
            raise
        if isinstance(response.body, bytes):
            await blocks.close()
        else:
            response.body = _closing(blocks, response.body, cached=cached)
            await anext(response.body)  # started, so that its end closes the session, even if it is never read
        return response

    def _opened(self, api: Api, request: Request) -> AbstractAsyncContextManager[BlockSession]:
        """A session of the owner, or of a stranger within limits."""
        visitor = visitor_of(request, self._options.proxies)
        session = api.session(terms=Terms(paced=True, public=not visitor.owner))
        if visitor.owner or not self._options.fetches:
            return session
        return self.strangers.fetching(visitor.client, session)

    def name_limits(self, request: Request) -> NameLimits:
        """What may be spent on the names of a request."""
        return NameLimits(asking=partial(self.count_name, request))

    def count_name(self, request: Request) -> None:
        """A name is about to be looked up. Raises TooMuchFetched for a stranger who has had many."""
        visitor = visitor_of(request, self._options.proxies)
        if not visitor.owner:
            self.strangers.look_up(visitor.client)

    async def _named(self, request: Request, origin: Origin) -> Located:
        self._api.admit_name(origin.root, origin.below)
        target = await self._api.naming.resolver.resolve(f"/ipns/{origin.root}", limits=self.name_limits(request))
        base = await self._api.locate(target.path)
        below = parse_path(f"{base.root}/{origin.below}").segments if origin.below else ()
        return Located(str(base.root), base, below, target.ttl)

    async def _stores(self, root: CID) -> bool:
        return root.is_identity or (await self._api.store.size_many([root]))[0] is not None

    async def _respond(self, request: Request, plan: Plan, blocks: BlockSession) -> Response:
        origin, wanted, located, root = plan
        path = self._api.admitted(located.path)
        on_path: list[Block] = []
        form = wanted.form
        if root is not None:
            end, prepared, serving = root
            headers = dict(prepared)
        else:
            try:
                end = await _walked(path, blocks, on_path)
            except NotAtHand:
                raise
            except (NotFound, NotADirectory) as exc:
                found = None
                if origin.isolated and form in _SERVED_AS_CONTENT and located.below:
                    found = await redirected_by_site(
                        request, origin, located.base, located.lasts, blocks, self._api.admitted
                    )
                if found is None:
                    raise exc
                return found
            if (denylists := self._api.denylists) is not None:
                denylists.refuse_block(end.cid)  # also where nothing of it is read, as for 304
            roots = located.root if not path.segments else ",".join(map(str, end.roots))
            headers = _headers(request, origin, wanted, roots, located.lasts)
            serving = self._serving(located.below[-1] if located.below else "", origin, roots.rpartition(",")[2])
        if form is Form.RAW:
            return await trustless.raw_block(request, path, end, blocks, headers)
        if form is Form.CAR:
            wished = car_parameters(request, wanted.of_type)
            return await trustless.car(request, path, end, on_path, blocks, wished, headers)
        if end.remainder:
            raise InsideBlock(path, end.cid)
        if end.cid.codec not in (DAG_PB, RAW) or form not in _SERVED_AS_FILES:
            return await data.answer(request, origin, end.cid, form, blocks, headers)
        if form is Form.TAR:
            return await archive(request, end.cid, blocks, headers)
        return await self._content(request, origin, located.lasts, end.cid, blocks, headers, serving)

    async def _content(
        self,
        request: Request,
        origin: Origin,
        lasts: float | None,
        cid: CID,
        blocks: BlockSession,
        headers: dict[str, str],
        serving: Serving,
    ) -> Response:
        if cid.codec == RAW:
            if serving.is_known(request):  # a leaf is a file, whatever is in it: it need not be here
                headers["Etag"] = serving.tag
                return Response(304, headers)
            return await file(request, await leaf(cid, blocks), blocks, headers, serving)
        if isinstance(blocks, AtHand) and len(await blocks.get(cid)) > MAX_AT_HAND:
            raise NotAtHand(cid)  # it has many links: its bytes or entries come in pieces
        node = await run(read_node(cid), blocks)
        if node.kind is Kind.DIRECTORY:
            return await directory.answer(request, origin, node, blocks, headers, lasts, serving)
        return await file(request, node, blocks, headers, serving)


def _headers(request: Request, origin: Origin, wanted: Wanted, roots: str, lasts: float | None) -> dict[str, str]:
    """Of every answer with content. Raises BadRequest."""
    headers = content_headers(origin.shown_path(request), roots, lasts)
    if wanted.form is not None and not wanted.explicit:
        headers |= location(request, wanted.form, wanted.of_type) | {"Vary": "Accept"}
    return headers


def _located(origin: Origin) -> Located:
    path = parse_path(origin.path)
    return Located(str(path.root), path._replace(segments=()), path.segments, None)


async def _walked(path: ContentPath, blocks: BlockSession, on_path: list[Block]) -> PathEnd:
    if not path.segments:
        return PathEnd((path.root,), ())
    return await run(prove_path(path), blocks, on_path)


def _tell(error: BaseException, blocks: LazySession) -> None:
    """Add to an error of content that did not come, who was asked."""
    if isinstance(error, Unavailable | asyncio.CancelledError) and (told := outcome(blocks.stats())):
        error.add_note(told)  # a cancelled wait is one that took too long, or whose client has left


async def _closing(
    blocks: LazySession, body: AsyncGenerator[Piece, None], *, cached: bool
) -> AsyncGenerator[Piece, None]:
    """Nothing once, then the body; its session, and what that still wants, ends with it.

    ``cached``: its request takes only what is here.
    """
    try:
        yield b""
        async for piece in body:
            yield piece
    except BaseException as exc:
        _tell(exc, blocks)
        if cached and isinstance(exc, NotStored):
            raise NotCached(exc.cid) from exc
        raise
    finally:
        await body.aclose()
        await blocks.close()
