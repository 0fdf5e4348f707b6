"""repo stat, verify and version."""

from collections.abc import AsyncIterator

from cidery.commands.context import Context
from cidery.commands.definition import Call
from cidery.commands.definitions.repo import RepoStat, RepoVersion, VerifyLine
from cidery.errors import IntegrityError
from cidery.multiformats.cid import CID
from cidery.multiformats.multicodec import RAW
from cidery.repo.layout import REPO_FORMAT


class VerifyFailed(IntegrityError):
    """Some blocks cannot be had as they were stored."""

    def __init__(self, faults: int) -> None:
        super().__init__(faults)
        self.faults = faults

    def __str__(self) -> str:
        return f"verify complete, {self.faults} blocks are corrupt or missing; get them again from a peer that has them"


async def stat(context: Context, call: Call) -> RepoStat:
    api = context.node
    found = await api.store.stat()
    return RepoStat(
        RepoSize=found.bytes,
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
