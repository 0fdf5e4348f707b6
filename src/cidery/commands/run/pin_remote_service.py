"""pin remote service: the services of the config. A running daemon knows of changes at once."""

from __future__ import annotations

import asyncio

from cidery.commands.context import Context
from cidery.commands.definition import Call
from cidery.commands.definitions.pin_remote import PinCount, RemoteServices, ServiceStat
from cidery.commands.definitions.pin_remote import RemoteService as Shown
from cidery.errors import CideryError
from cidery.repo.config import read_config
from cidery.repo.config_file import Changing, read_raw, write_raw
from cidery.repo.remote_services import RemoteService, find_service, with_service, without_service

MAX_ASKED = 16
"""Services asked at a time."""


async def add(context: Context, call: Call) -> None:
    """Raises BadService."""
    async with Changing(context.config_file) as raw:
        changed = with_service(raw, call.one("service"), call.one("endpoint"), call.one("key"))
        read_config(changed)
        write_raw(context.config_file, changed)


async def rm(context: Context, call: Call) -> None:
    """Of one that is not there: nothing changes, and it is no error, as in Kubo."""
    async with Changing(context.config_file) as raw:
        write_raw(context.config_file, without_service(raw, call.one("service")))


async def ls(context: Context, call: Call) -> RemoteServices:
    services = read_config(read_raw(context.config_file)).remote_services
    shown = [Shown(Service=one.name, ApiEndpoint=one.endpoint) for one in services]
    if call.flag("stat"):
        places = asyncio.Semaphore(MAX_ASKED)
        stats = await asyncio.gather(*(_stat(services, one.name, places) for one in services))
        for one, stat in zip(shown, stats, strict=True):
            one["Stat"] = stat
    return RemoteServices(RemoteServices=shown)


async def _stat(services: tuple[RemoteService, ...], name: str, places: asyncio.Semaphore) -> ServiceStat:
    from cidery.pinning.io.http_service import HttpPinningService
    from cidery.pinning.records import STATUSES, Query

    try:
        service = find_service(services, name)
        async with places, HttpPinningService(service.endpoint, service.key) as asked:
            counts = [(await asked.page(Query(statuses=(status,)), limit=1)).matching for status in STATUSES]
    except CideryError:
        return ServiceStat(Status="invalid")  # `pin remote ls` says why
    queued, pinning, pinned, failed = counts
    count = PinCount(Queued=queued, Pinning=pinning, Pinned=pinned, Failed=failed)
    return ServiceStat(Status="valid", PinCount=count)
