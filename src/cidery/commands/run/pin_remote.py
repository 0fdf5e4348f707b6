"""pin remote add, ls and rm."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing

from cidery.commands.bind import BadCall
from cidery.commands.cid_text import cid_text
from cidery.commands.context import Context, TimedOut
from cidery.commands.definition import Call
from cidery.commands.definitions.pin_remote import RemotePin
from cidery.core.keeping.remote_pin import remote_pin
from cidery.core.reading.resolve import resolve
from cidery.errors import LimitExceeded, Unavailable
from cidery.multiformats.cid import CID, CIDError
from cidery.pinning.io.http_service import HttpPinningService
from cidery.pinning.records import STATUSES, Query
from cidery.pinning.records import RemotePin as State
from cidery.repo.config import read_config
from cidery.repo.config_file import read_raw
from cidery.repo.pins import check_pin_name
from cidery.repo.remote_services import find_service

MAX_REMOVED = 100_000
"""Most pins removed by one call."""
REPORTING = 0.02
"""Share of --timeout that is left to report what continues without us."""


class SeveralMatch(BadCall):
    """More would be removed than one may expect."""

    def __init__(self) -> None:
        super().__init__("multiple remote pins are matching this query, add --force to confirm the bulk removal")


class TooManyMatch(LimitExceeded):
    """More than one call removes."""

    def __str__(self) -> str:
        return f"more than {MAX_REMOVED} remote pins are matching this query; narrow it with --name or --cid"


class NotRemoved(Unavailable):
    """A service keeps a pin that it was to remove."""

    def __init__(self, request_id: str, reason: str) -> None:
        super().__init__(request_id, reason)
        self.request_id = request_id
        self.reason = reason

    def __str__(self) -> str:
        return f'removing pin identified by requestid="{self.request_id}" failed: {self.reason}'


class WaitEnded(TimedOut):
    """The time is up, and the service continues."""

    def __init__(self, seconds: float, request_id: str) -> None:
        super().__init__(seconds)
        self.request_id = request_id

    def __str__(self) -> str:
        return f'waiting for pin interrupted, requestid="{self.request_id}" remains on remote service'


def asked_service(context: Context, call: Call) -> HttpPinningService:
    """The service of --service, which may have been added since the daemon started. Raises BadCall, UnknownService,
    BadService."""
    if "service" not in call.given:
        raise BadCall("a service name must be passed: --service=NAME; see: cidery pin remote service ls")
    if not call.text("service"):
        raise BadCall("remote pinning service name not specified")
    config = read_config(read_raw(context.config_file))
    service = find_service(config.remote_services, call.text("service"))
    return HttpPinningService(service.endpoint, service.key)


async def add(context: Context, call: Call) -> AsyncIterator[RemotePin]:
    """With --progress values before the last one."""
    api, name = context.node, call.text("name")
    check_pin_name(name)
    service, path = asked_service(context, call), await api.locate(call.one("ipfs-path"))
    async with api.session() as session:
        cid = await resolve(path, session)
    stored = (await api.served.size_many((cid,)))[0] is not None
    if stored and api.network is None and context.running is None and call.text("encoding") != "json":
        print("WARNING: this node is offline; pinning may fail if nobody else has the content", file=sys.stderr)
    seconds, began = call.seconds("timeout") or None, api.clock()
    last: State | None = None
    try:
        async with asyncio.timeout(None if seconds is None else seconds * (1 - REPORTING)) as limit, service:
            states = remote_pin(
                service, cid, name=name, network=api.network, stored=stored, wait=not call.flag("background")
            )
            with api.doing("asking the service") as say:
                async with aclosing(states):
                    async for last in states:
                        say(f"{last.status} at {call.text('service')}{f': {last.details}' if last.details else ''}")
                        if call.flag("progress"):
                            yield _shown(last, call, waited=api.clock() - began)
    except TimeoutError as exc:
        if not limit.expired():
            raise
        raise (TimedOut(seconds or 0.0) if last is None else WaitEnded(seconds or 0.0, last.request_id)) from exc
    assert last is not None  # or it has raised
    yield _shown(last, call)


def _shown(pin: State, call: Call, waited: float | None = None) -> RemotePin:
    value = RemotePin(Status=pin.status, Cid=cid_text(pin.cid, call), Name=pin.name)
    if waited is not None:
        value["Progress"] = int(waited)
        if pin.details:
            value["Details"] = pin.details
    return value


def _words(call: Call, option: str) -> list[str]:
    return [word for text in call.texts(option) for word in text.split(",") if word]


def _query(call: Call) -> Query:
    """Raises BadCall, BadPinName."""
    check_pin_name(call.text("name"))
    for status in _words(call, "status"):
        if status not in STATUSES:
            raise BadCall(f'status "{status[:40]}" is not valid; there are {", ".join(STATUSES)}')
    return Query(call.text("name"), tuple(_cids(call)), tuple(dict.fromkeys(_words(call, "status"))))


def _cids(call: Call) -> list[CID]:
    found: list[CID] = []
    for text in _words(call, "cid"):
        try:
            found.append(CID.parse(text.removeprefix("ipfs://").removeprefix("/ipfs/")))
        except CIDError as exc:
            raise BadCall(f'CID "{text[:80]}" cannot be parsed: {exc}') from exc
    return found


async def ls(context: Context, call: Call) -> AsyncIterator[RemotePin]:
    """The newest first; values come as the pages of the service do."""
    query = _query(call)
    async with asked_service(context, call) as service, aclosing(service.every(query)) as pins:
        async for pin in pins:
            yield _shown(pin, call)


async def rm(context: Context, call: Call) -> None:
    """Raises SeveralMatch, TooManyMatch, NotRemoved."""
    query, ids = _query(call), list[str]()
    async with asked_service(context, call) as service:
        async with aclosing(service.every(query)) as pins:
            async for pin in pins:
                ids.append(pin.request_id)
                if len(ids) > 1 and not call.flag("force"):
                    raise SeveralMatch
                if len(ids) > MAX_REMOVED:
                    raise TooManyMatch
        for request_id in ids:
            try:
                await service.remove(request_id)
            except Unavailable as exc:
                raise NotRemoved(request_id, str(exc)) from exc
