"""The diag group: what a report of a fault needs to know."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncGenerator
from typing import Any

from cidery.commands.context import Body, Context
from cidery.commands.definition import Call
from cidery.commands.definitions.diag import Healthy, RunningCommand, SysInfo
from cidery.commands.moment import moment
from cidery.errors import Unavailable
from cidery.multiformats.cid import CID
from cidery.multiformats.multicodec import RAW
from cidery.repo.config_secrets import MASK
from cidery.version import __version__
from cidery.waiting import off_loop

MAX_SHOWN = 200
"""Characters of each argument or option that are shown: some are whole lists."""
NO_TIME = "0001-01-01T00:00:00Z"
"""Go's zero time."""
MEMINFO = "/proc/meminfo"
MAX_PROFILE = 300.0
"""Longest profile, in seconds."""


class NotHealthy(Unavailable):
    """The daemon answers, but cannot do its work."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"the daemon answers, but does not work: {self.reason}; see: cidery status, cidery log tail"


async def commands(context: Context, call: Call) -> list[RunningCommand]:
    running = context.running() if context.running is not None else []
    return [
        RunningCommand(
            ID=number,
            Command="/".join(one.call.command.path),
            Options={name: _short(one.call.options[name]) for name in sorted(one.call.given)},
            Args=[
                MASK if argument.secret else text[:MAX_SHOWN]
                for argument in one.call.command.arguments
                for text in one.call.arguments[argument.name]
            ],
            Active=True,
            StartTime=moment(one.began),
            EndTime=NO_TIME,
        )
        for number, one in enumerate(running, 1)
    ]


def _short(value: Any) -> Any:
    return value if isinstance(value, bool | int | float) else str(value)[:MAX_SHOWN]


async def system(context: Context, call: Call) -> SysInfo:
    network = context.node.network
    return await off_loop(_system, str(context.node.path), [] if network is None else network.listen_addrs())


def _system(repository: str, listening: list[str]) -> SysInfo:
    disk = os.statvfs(repository)
    machine = os.uname()
    return SysInfo(
        diskinfo={
            "free_space": disk.f_bavail * disk.f_frsize,
            "total_space": disk.f_blocks * disk.f_frsize,
            "fstype": _file_system(repository),
        },
        environment={"IPFS_PATH": repository},
        ipfs_commit="",
        ipfs_version=__version__,
        memory={"swap": _memory("SwapTotal"), "virt": _memory("MemTotal")},
        net={"interface_addresses": listening, "online": bool(listening)},
        runtime={
            "arch": machine.machine,
            "compiler": sys.implementation.name,
            "numcpu": os.cpu_count() or 1,
            "gomaxprocs": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
            "os": machine.sysname.lower(),
            "version": sys.version.split()[0],
        },
    )


def _memory(key: str) -> int:
    """Bytes of a line of /proc/meminfo; 0 where there is none."""
    try:
        with open(MEMINFO, encoding="ascii") as file:
            found = [line.split()[1] for line in file if line.startswith(f"{key}:")]
    except OSError:
        return 0
    return int(found[0]) * 1024 if found else 0


def _file_system(path: str) -> str:
    """Its name as the mount table has it; "" where there is none."""
    at, best = os.path.realpath(path), ("", "")
    try:
        with open("/proc/mounts", encoding="utf-8", errors="replace") as file:
            for line in file:
                _, place, kind, *_ = line.split()
                if (at == place or at.startswith(place.rstrip("/") + "/")) and len(place) >= len(best[0]):
                    best = (place, kind)
    except OSError:
        return ""
    return best[1]


async def healthy(context: Context, call: Call) -> Healthy:
    """Raises NotHealthy."""
    api = context.node
    async for keys in api.store.keys():
        cid = CID(1, RAW, keys[0])
        if (await api.store.get_many((cid,)))[0] is None:
            raise NotHealthy(f"{cid} is in the index, and cannot be read")
        break
    await off_loop(os.listdir, str(api.path))
    return Healthy(Healthy=True)


async def profile(context: Context, call: Call) -> Body:
    from cidery.commands.run.status import status
    from cidery.core.diagnosis.profile import archive, sampled, stacks
    from cidery.repo.config_file import read_raw
    from cidery.repo.config_secrets import without_secrets

    seconds = min(call.seconds("profile-time") or 0.0, MAX_PROFILE)
    before = stacks()
    samples = await off_loop(sampled, seconds, context.node.clock)
    members = {
        "stacks.txt": before,
        "samples.folded": samples,
        "version.json": {"Version": __version__, "Python": sys.version, "Time": moment(context.node.clock())},
        "config.json": without_secrets(read_raw(context.config_file)),
        "status.json": await status(context, call),
        "system.json": await system(context, call),
    }
    data = await off_loop(archive, members)

    async def chunks() -> AsyncGenerator[bytes | memoryview, None]:
        yield data

    return Body(chunks(), len(data))
