"""Services that keep the mutable files: when their root has changed, each is asked to pin the new one in its place.

Spec: https://github.com/ipfs/kubo/blob/master/docs/config.md#pinningremoteservices-policiesmfs
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from typing import NamedTuple

from cidery.core.api import Api
from cidery.core.keeping.remote_pin import origins_of
from cidery.errors import CideryError
from cidery.multiformats.cid import CID
from cidery.pinning.io.http_service import HttpPinningService
from cidery.pinning.records import STATUSES, Query, encode_pin
from cidery.repo.config import Config, read_config
from cidery.repo.config_file import lookup, read_raw
from cidery.repo.remote_services import RemoteService, find_service
from cidery.tasks import end

log = logging.getLogger("cidery.pinning")

LOOK_EVERY = 30.0
"""Seconds between two looks at the root, and at the config, where services come and go; as in Kubo."""


class _Asked(NamedTuple):
    """What a service was last asked for."""

    service: RemoteService
    root: CID
    at: float


class FilesAtServices:
    """What the services of one node have been asked for since it started."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._asked: dict[str, _Asked] = {}

    async def look(self) -> None:
        """Ask each service that is behind. A failure is logged, and the service asked again at the next look."""
        root = self._api.files.recorded()
        config = await asyncio.to_thread(self._config)
        wanted = [one for one in config.remote_services if one.files.enabled] if config is not None else []
        for name in self._asked.keys() - {one.name for one in wanted}:
            del self._asked[name]
        if root is not None:
            await asyncio.gather(*(self._keep(one, root) for one in wanted))

    def _config(self) -> Config | None:
        """As it is on disk now; None if there is nothing about services in it."""
        raw = read_raw(self._api.path / "config")
        return read_config(raw) if lookup(raw, "Pinning.RemoteServices") else None

    async def _keep(self, service: RemoteService, root: CID) -> None:
        last, now = self._asked.get(service.name), self._api.clock()
        if last is not None and last.service == service:
            if last.root == root or now - last.at < service.files.interval:
                return
        try:
            await self._ask(find_service((service,), service.name), root)
        except CideryError as exc:
            log.error("the mutable files, %s, are not pinned at %r: %s", root, service.name, exc)
            return
        self._asked[service.name] = _Asked(service, root, now)

    async def _ask(self, service: RemoteService, root: CID) -> None:
        name = service.files.pin_name or f"policy/{self._api.config.peer_id}/mfs"
        replaced = ""
        async with HttpPinningService(service.endpoint, service.key) as asked:
            async with aclosing(asked.every(Query(name=name, statuses=STATUSES))) as pins:
                async for pin in pins:
                    if pin.cid == root and pin.status != "failed":
                        return
                    replaced = replaced or pin.request_id
            pin_of_root = encode_pin(root, name, origins_of(self._api.network))
            made = await (asked.replace(replaced, pin_of_root) if replaced else asked.add(pin_of_root))
        log.info("the mutable files, %s, are %s at %r", root, made.status, service.name)


@asynccontextmanager
async def keeping_files_at_services(
    api: Api, *, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep, every: float = LOOK_EVERY
) -> AsyncIterator[None]:
    """Look every ``every`` seconds inside the context."""

    async def looking() -> None:
        services = FilesAtServices(api)
        while True:
            await sleep(every)
            try:
                await services.look()
            except CideryError as exc:
                log.error("services that keep the mutable files: %s", exc)
            except Exception:
                log.exception("a look at the services that keep the mutable files failed")

    task = asyncio.create_task(looking())
    try:
        yield
    finally:
        await end([task])
