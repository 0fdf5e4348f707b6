"""The last day's bandwidth of a daemon: sampled, and kept over restarts by a small file that nothing waits for.

A sample a spell, and one whenever somebody looks. The file is written without a sync: a crash costs some minutes of it.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from cidery.core.api import Api
from cidery.core.network import Network
from cidery.libp2p.protocols.bandwidth_day import EVERY, MAX_BYTES, BadBandwidthDay, BandwidthDay, Spell
from cidery.plain_files import read_plain, write_plain
from cidery.tasks import Tasks

FILE = "meta/bandwidth-day"
log = logging.getLogger("cidery.node")


@asynccontextmanager
async def keeping_day(api: Api, repo: Path) -> AsyncIterator[None]:
    """Note what goes over the connections until the context ends; `stats day` shows it."""
    network = api.network
    if network is None:
        yield
        return
    file = repo / FILE
    day = await asyncio.to_thread(_read, file)

    def look() -> list[Spell]:
        _note(day, network, api.clock())
        return day.spells(api.clock())

    api.bandwidth_days.append(look)
    tasks = Tasks()
    tasks.spawn(_keep(day, network, api, file))
    try:
        yield
    finally:
        await tasks.close()
        api.bandwidth_days.remove(look)
        look()
        await asyncio.to_thread(_write, file, day.encode())


def _note(day: BandwidthDay, network: Network, now: float) -> None:
    total = network.bandwidth("", "")
    day.note(now, total.total_in, total.total_out)


async def _keep(day: BandwidthDay, network: Network, api: Api, file: Path) -> None:
    while True:
        now = api.clock()
        await asyncio.sleep(EVERY - now % EVERY - 1)  # just before the spell ends, so that its bytes are its own
        _note(day, network, api.clock())
        await asyncio.to_thread(_write, file, day.encode())
        await asyncio.sleep(2)


def _read(file: Path) -> BandwidthDay:
    try:
        return BandwidthDay.decode(read_plain(file, MAX_BYTES))
    except FileNotFoundError:
        return BandwidthDay()
    except (OSError, BadBandwidthDay):
        log.info("%s could not be read: the bandwidth of the last day begins anew", file)
        return BandwidthDay()


def _write(file: Path, data: bytes) -> None:
    temporary = file.with_suffix(".new")
    try:
        write_plain(temporary, data)
        os.replace(temporary, file)
    except OSError as exc:
        log.warning("the bandwidth of the last day could not be kept: %s", exc)
