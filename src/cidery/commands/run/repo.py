"""The repo group."""

from collections.abc import AsyncIterator
from contextlib import aclosing

from cidery.commands.cid_text import cid_text
from cidery.commands.context import Context
from cidery.commands.definition import Call
from cidery.commands.definitions.repo import Freed, GcLine, LsLine, Message, RepoStat, RepoVersion, VerifyLine
from cidery.core.refs import refs_local
from cidery.errors import IntegrityError, InvalidInput
from cidery.multiformats.cid import CID
from cidery.multiformats.multicodec import RAW
from cidery.repo.gc import Compacted, GcStopped, Swept
from cidery.repo.layout import REPO_FORMAT, RepoLayout


class VerifyFailed(IntegrityError):
    """Some blocks cannot be had as they were stored."""

    def __init__(self, faults: int) -> None:
        super().__init__(faults)
        self.faults = faults

    def __str__(self) -> str:
        return f"verify complete, {self.faults} blocks are corrupt or missing; get them again from a peer that has them"


class CannotMigrate(InvalidInput):
    """A format that this version does not know."""

    def __init__(self, wanted: int) -> None:
        super().__init__(wanted)
        self.wanted = wanted

    def __str__(self) -> str:
        return f"there is no way to format {self.wanted}: this Cidery knows {REPO_FORMAT}"


async def collect(context: Context, call: Call) -> AsyncIterator[GcLine]:
    """A line per removed block, with --stream-errors one per fault, then the sum. Raises GcStopped."""
    freed = removed = 0
    try:
        async with aclosing(context.node.collector.garbage()) as steps:
            async for step in steps:
                if isinstance(step, Swept):
                    removed += len(step.blocks)
                    for key, _ in step.blocks:
                        yield GcLine(Key={"/": cid_text(CID(1, RAW, key), call)})
                elif isinstance(step, Compacted):
                    freed += step.bytes
                else:
                    yield GcLine(Marked=step.blocks)
    except GcStopped as exc:
        if call.flag("stream-errors"):
            for fault in exc.faults:
                yield GcLine(Error=str(fault))
        raise
    yield GcLine(Freed=freed, Removed=removed)


async def compact(context: Context, call: Call) -> Freed:
    api = context.node
    freed = 0
    async with aclosing(api.collector.compact()) as steps:
        async for step in steps:
            if isinstance(step, Compacted):
                freed += step.bytes
    return Freed(Freed=freed, IndexBytes=await api.store.compact_index())


async def ls(context: Context, call: Call) -> AsyncIterator[LsLine]:
    async for cid in refs_local(context.node.store):
        yield LsLine(Ref=cid_text(cid, call), Err="")


async def migrate(context: Context, call: Call) -> Message:
    """There has been one format only. Raises CannotMigrate, and as RepoLayout.check()."""
    wanted = call.number_or_none("to")
    if wanted not in (None, REPO_FORMAT):
        raise CannotMigrate(wanted)
    found = RepoLayout(context.config_file.parent).check()
    return Message(Message=f"the repository has format {found}, the current one; nothing to do")


async def stat(context: Context, call: Call) -> RepoStat:
    api = context.node
    found = await api.store.stat()
    return RepoStat(
        RepoSize=found.disk_bytes,
        StorageMax=api.config.storage_max,
        NumObjects=found.blocks,
        RepoPath=str(api.path),
        Version=str(REPO_FORMAT),
    )


async def verify(context: Context, call: Call) -> AsyncIterator[VerifyLine]:
    """Raises VerifyFailed at the end if there were faults: each has its line by then."""
    faults = blocks = 0
    async for progress in context.node.store.verify():
        blocks = progress.blocks
        for fault in progress.faults:
            faults += 1
            cid = CID(1, RAW, fault.multihash)
            yield VerifyLine(Msg=f"block {cid} was corrupt ({fault.reason})", Progress=0)
        yield VerifyLine(Msg="", Progress=blocks)
    if faults:
        raise VerifyFailed(faults)
    yield VerifyLine(Msg=f"verify complete, all {blocks} blocks validated.", Progress=0)


async def version(context: Context, call: Call) -> RepoVersion:
    return RepoVersion(Version=str(REPO_FORMAT))
