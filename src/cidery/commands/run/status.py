"""The status command."""

from __future__ import annotations

import asyncio
import shutil

from cidery.commands.context import Context
from cidery.commands.definition import Call
from cidery.commands.definitions.status import Announced, BudgetLine, Resources, Status
from cidery.core.api import Api
from cidery.core.diagnosis.attention import Standing, Use, attention
from cidery.core.diagnosis.clock import clock_fault
from cidery.core.network import Network, ProvideOff, RoutingOff
from cidery.plain_files import read_plain
from cidery.repo.disk_use import disk_use
from cidery.repo.jobs import JobState
from cidery.repo.layout import RepoLayout
from cidery.repo.places import MAX_URL, gateway_url
from cidery.version import __version__


async def status(context: Context, call: Call) -> Status:
    """Without a daemon, what the repository tells."""
    api = context.node
    stat = await api.store.stat()
    found = Status(
        ID=api.config.peer_id,
        Version=__version__,
        Online=api.network is not None,
        Peers=0,
        Inbound=0,
        Reachable=[],
        Listening=[],
        RPC=[],
        Gateway="",
        TotalIn=0,
        TotalOut=0,
        RateIn=0.0,
        RateOut=0.0,
        RepoPath=str(api.path),
        RepoSize=await asyncio.to_thread(disk_use, api.path),
        StorageMax=api.config.storage_max,
        Blocks=stat.blocks,
        Pins=api.pins.count(),
        Jobs=len(api.jobs.every(ended=False)),
        Budgets=[],
        Announced=None,
        Attention=[],
    )
    found["RPC"], found["Gateway"] = await asyncio.to_thread(_addresses, RepoLayout(api.path))
    network = api.network
    if network is not None:
        peers = network.peers()
        traffic = network.bandwidth("", "")
        found["Peers"] = len({one.peer for one in peers})
        found["Inbound"] = len({one.peer for one in peers if one.direction == "inbound"})
        found["Reachable"] = [addr for addr, said in network.reachability().items() if said == "reachable"]
        found["Listening"] = network.listen_addrs()
        found["TotalIn"], found["TotalOut"] = traffic.total_in, traffic.total_out
        found["RateIn"], found["RateOut"] = traffic.rate_in, traffic.rate_out
        found["Announced"] = await _announced(network)
    found["Budgets"] = _budgets(api)
    found["Attention"] = attention(await asyncio.to_thread(_standing, api, found))
    return found


async def _announced(network: Network) -> Announced | None:
    try:
        stat = await network.provide_stat()
    except (RoutingOff, ProvideOff):
        return None
    return Announced(Keys=stat.keys, Done=stat.done, Late=stat.late)


def _standing(api: Api, found: Status) -> Standing:
    """What of it may need attention. Blocks for a look at the disk and at the jobs."""
    states = [job.state for job in api.jobs.every()]
    disk = shutil.disk_usage(api.path)
    verdicts = list(api.network.reachability().values()) if api.network is not None else []
    announced = found["Announced"]
    certificate = api.network.certificate() if api.network is not None else None
    relaying = api.network.relaying() if api.network is not None else None
    return Standing(
        online=found["Online"],
        peers=found["Peers"],
        reachable=verdicts.count("reachable"),
        unreachable=verdicts.count("unreachable"),
        disk_free=disk.free,
        disk_total=disk.total,
        stored=found["RepoSize"],
        storage_max=found["StorageMax"],
        announced=0 if announced is None else announced["Keys"],
        late=0 if announced is None else announced["Late"],
        interrupted=states.count(JobState.INTERRUPTED),
        failed=states.count(JobState.FAILED),
        certificate=certificate.failure if certificate is not None and not certificate.ends else "",
        clock=clock_fault(api.path, api.clock()),
        relayed=relaying is not None and bool(relaying.addresses),
        uses=[Use(one["Name"], one["Used"], one["Limit"]) for one in found["Budgets"] if one["Limit"] is not None],
    )


async def resources(context: Context, call: Call) -> Resources:
    _ = context.node.online  # raises without a network
    return Resources(Budgets=_budgets(context.node))


def _budgets(api: Api) -> list[BudgetLine]:
    """Of the network, and of what else runs here."""
    found = api.network.budgets() if api.network is not None else []
    for others in api.other_budgets:
        found += others()
    return [BudgetLine(Name=one.name, Unit=one.unit, Used=one.used, Limit=one.limit) for one in found]


def _addresses(layout: RepoLayout) -> tuple[list[str], str]:
    """Where the daemon says that it listens."""
    try:
        rpc = read_plain(layout.api, MAX_URL).decode("ascii", "replace").split()
    except OSError:
        rpc = []
    # as a browser opens it: only there each content has an origin of its own
    return rpc, gateway_url(layout.root).replace("//127.0.0.1:", "//localhost:")
