"""node.repo, node.config, node.bootstrap, node.jobs and node.stats: the repository and what the node is doing."""

from __future__ import annotations

import json
from contextlib import aclosing

from cidery.methods.blocking import BlockingGroup, blocking, iterating
from cidery.methods.caller import Group, seconds_of
from cidery.methods.results import (
    Bandwidth,
    BitswapStat,
    Collected,
    CollectProgress,
    DhtTable,
    RepoStat,
    VerifyProgress,
)
from cidery.methods.sources import pieces_of
from cidery.multiformats.cid import CID

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Mapping
    from typing import Any

    from cidery.methods.caller import Value
    from cidery.repo.jobs import Job


class Repo(Group):
    """The repository."""

    async def stat(self) -> RepoStat:
        """How much is stored. Cost: one look at every file of the repository."""
        value = await self._value("repo stat")
        return RepoStat(
            value["NumObjects"], value["RepoSize"], value["StorageMax"], value["RepoPath"], value["Version"]
        )

    async def gc(self, *, progress: Callable[[CollectProgress], None] | None = None) -> Collected:
        """Remove blocks that no pin, mutable file or running operation needs; other methods keep working meanwhile.

        Raises: GcStopped: a pinned block is missing, so nothing was removed.
        Cancellation: safe; the next run resumes.
        """
        in_use = removed = 0
        last: Value = {}
        async with aclosing(self._caller.values("repo gc", stats=True)) as values:
            async for last in values:
                in_use = last.get("Marked", in_use)
                removed += "Key" in last
                if progress is not None:
                    progress(CollectProgress(in_use, removed))
        return Collected(removed, last.get("Freed", 0), tuple(last.get("Spared", ())))

    async def compact(self) -> int:
        """Return the space of all removed blocks to the disk; returns the bytes. gc() does where it is worthwhile."""
        return int((await self._value("repo compact"))["Freed"])

    async def verify(
        self, *, drop: bool = False, heal: bool = False, progress: Callable[[VerifyProgress], None] | None = None
    ) -> int:
        """Read every block and check it against its hash; returns the number of blocks.

        Args:
            drop: forget corrupt blocks.
            heal: forget corrupt blocks and fetch them from peers.
            progress: called as blocks are read, and for every fault.
        Raises: VerifyFailed at the end, if a fault remains.
        """
        blocks = 0
        async with aclosing(self._caller.values("repo verify", drop=drop, heal=heal)) as values:
            async for value in values:
                blocks = value["Progress"] or blocks
                if progress is not None and not value["Msg"].startswith("verify complete"):
                    progress(VerifyProgress(blocks, value["Msg"]))
        return blocks

    async def ls(self, *, limit: int | None = None, after: CID | None = None) -> AsyncGenerator[CID, None]:
        """The CIDs of all blocks stored here, raw ones: the store does not know codecs.

        Args:
            limit: most CIDs (1 to 10,000).
            after: only those behind this one, the last of the page before, even if it is gone by now.
        """
        after_text = None if after is None else str(after)
        async with aclosing(self._caller.values("repo ls", limit=limit, after=after_text)) as values:
            async for value in values:
                yield CID.parse(value["Ref"])

    async def version(self) -> int:
        """The version of the repository format."""
        return int((await self._value("repo version"))["Version"])


class Config(Group):
    """The config file: docs/settings.md names its keys. Changes take effect when the node is opened again."""

    async def get(self, key: str) -> Any:
        """A value by its name, as "Datastore.StorageMax". Raises ConfigError."""
        return (await self._value("config", key))["Value"]

    async def set(self, key: str, value: Any) -> None:
        """Set a value: anything that JSON can hold. Raises ConfigError for an unknown key and a wrong value."""
        import json

        await self._done("config", key, json.dumps(value), json=True)

    async def show(self) -> dict[str, Any]:
        """All of it, without secrets."""
        return dict(await self._value("config show"))

    async def replace(self, config: Mapping[str, Any]) -> None:
        """Put another config in the place of this one; the identity stays. Raises ConfigError for one that is wrong."""
        await self._done("config replace", body=pieces_of(json.dumps(config).encode()))

    async def apply_profile(self, name: str) -> None:
        """Apply a profile such as "server" or "lowpower"; the old config is kept beside it. Raises ConfigError."""
        await self._done("config profile apply", name)


class Bootstrap(Group):
    """The peers that are dialled first. Changes take effect when the node is opened again."""

    async def ls(self) -> list[str]:
        """Their addresses."""
        return list((await self._value("bootstrap list"))["Peers"])

    async def add(self, *addresses: str) -> None:
        """Add addresses that end in /p2p/PEER."""
        await self._done("bootstrap add", *addresses)

    async def rm(self, *addresses: str) -> list[str]:
        """Remove addresses; returns those that were there."""
        return list((await self._value("bootstrap rm", *addresses))["Peers"])

    async def clear(self) -> list[str]:
        """Remove all; returns them."""
        return list((await self._value("bootstrap rm all"))["Peers"])


class Jobs(Group):
    """Long operations: running, interrupted and finished ones. ``await node.jobs()`` lists them."""

    async def __call__(self, *, kind: str = "", state: str = "") -> list[Job]:
        """The jobs, oldest first.

        Args:
            kind: only "add", "gc", "get", "import" or "pin" ones.
            state: only "queued", "running", "interrupted", "done" or "failed" ones.
        """
        async with aclosing(self._caller.values("jobs", kind=kind or None, state=state or None)) as values:
            return [_job(value) async for value in values]

    async def show(self, number: int) -> Job:
        """One job, with its roots. Raises NoSuchJob."""
        return _job(await self._value("jobs show", str(number)))

    async def rm(self, *numbers: int) -> None:
        """Forget jobs; a running one is stopped. Raises NoSuchJob."""
        await self._done("jobs rm", *map(str, numbers))

    async def resume(self, number: int) -> Job:
        """Try a queued pin again now, or go on with a collection. Raises RepeatCommand for others, NoSuchJob."""
        return _job(await self._value("jobs resume", str(number)))


class Stats(Group):
    """Counters. All raise NoNetwork on an offline node."""

    async def bandwidth(self, *, peer: str = "", protocol: str = "") -> Bandwidth:
        """Bytes over all connections, or those to a peer, or the streams of a protocol; rates of some ten seconds."""
        return _bandwidth(await self._value("stats bw", peer=peer or None, proto=protocol or None))

    async def watch_bandwidth(self, interval: float = 1.0) -> AsyncGenerator[Bandwidth, None]:
        """As bandwidth(), every ``interval`` seconds until the iterator is closed."""
        async with aclosing(self._caller.values("stats bw", poll=True, interval=interval)) as values:
            async for value in values:
                yield _bandwidth(value)

    async def bitswap(self) -> BitswapStat:
        """Counters of the block exchange."""
        value = await self._value("bitswap stat")
        return BitswapStat(
            blocks_received=value["BlocksReceived"],
            bytes_received=value["DataReceived"],
            duplicate_blocks=value["DupBlksReceived"],
            duplicate_bytes=value["DupDataReceived"],
            blocks_sent=value["BlocksSent"],
            bytes_sent=value["DataSent"],
            wanted=tuple(CID.parse(one["/"]) for one in value["Wantlist"]),
            peers=tuple(value["Peers"]),
        )

    async def wantlist(self) -> list[CID]:
        """The blocks that this node asks peers for right now."""
        return [CID.parse(one["/"]) for one in (await self._value("bitswap wantlist"))["Keys"]]

    async def dht(self) -> list[DhtTable]:
        """The routing tables of the DHT."""
        async with aclosing(self._caller.values("stats dht")) as values:
            return [
                DhtTable(
                    value["Name"],
                    value["Mode"] == "server",
                    tuple(peer["ID"] for bucket in value["Buckets"] for peer in bucket["Peers"]),
                    value["NetworkSize"],
                )
                async for value in values
            ]


def _bandwidth(value: Value) -> Bandwidth:
    return Bandwidth(value["TotalIn"], value["TotalOut"], value["RateIn"], value["RateOut"])


def _job(value: Value) -> Job:
    from cidery.repo.jobs import Job, JobState

    next_try = value.get("NextTry")
    return Job(
        id=value["ID"],
        kind=value["Kind"],
        title=value["Title"],
        state=JobState(value["State"]),
        started=seconds_of(value["Started"]),
        updated=seconds_of(value["Updated"]),
        attempts=value["Attempts"],
        blocks=value["Blocks"],
        bytes=value["Bytes"],
        files=value["Files"],
        total=value.get("Total"),
        stage=value.get("Stage", ""),
        error=value.get("Error", ""),
        next_try=None if next_try is None else seconds_of(next_try),
        roots=tuple(CID.parse(root) for root in value.get("Roots", ())),
    )


class BlockingRepo(BlockingGroup[Repo]):
    """The methods of Repo, blocking."""

    stat = blocking(Repo.stat)
    gc = blocking(Repo.gc)
    compact = blocking(Repo.compact)
    verify = blocking(Repo.verify)
    ls = iterating(Repo.ls)
    version = blocking(Repo.version)


class BlockingConfig(BlockingGroup[Config]):
    """The methods of Config, blocking."""

    get = blocking(Config.get)
    set = blocking(Config.set)
    show = blocking(Config.show)
    replace = blocking(Config.replace)
    apply_profile = blocking(Config.apply_profile)


class BlockingBootstrap(BlockingGroup[Bootstrap]):
    """The methods of Bootstrap, blocking."""

    ls = blocking(Bootstrap.ls)
    add = blocking(Bootstrap.add)
    rm = blocking(Bootstrap.rm)
    clear = blocking(Bootstrap.clear)


class BlockingJobs(BlockingGroup[Jobs]):
    """The methods of Jobs, blocking."""

    __call__ = blocking(Jobs.__call__)
    show = blocking(Jobs.show)
    rm = blocking(Jobs.rm)
    resume = blocking(Jobs.resume)


class BlockingStats(BlockingGroup[Stats]):
    """The methods of Stats, blocking."""

    bandwidth = blocking(Stats.bandwidth)
    watch_bandwidth = iterating(Stats.watch_bandwidth)
    bitswap = blocking(Stats.bitswap)
    wantlist = blocking(Stats.wantlist)
    dht = blocking(Stats.dht)
