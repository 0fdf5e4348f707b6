"""repo stat and repo ls."""

from collections.abc import AsyncIterator
from contextlib import aclosing

from cidery.commands.cid_text import cid_text
from cidery.commands.context import Context
from cidery.commands.definition import Call
from cidery.commands.definitions.repo import LsLine, RepoStat
from cidery.commands.paging import page_of
from cidery.commands.run.listing import blocks_page
from cidery.repo.disk_use import disk_use
from cidery.version import REPO_FORMAT
from cidery.waiting import off_loop


async def stat(context: Context, call: Call) -> RepoStat:
    api = context.node
    found = await api.store.stat()
    return RepoStat(
        RepoSize=await off_loop(disk_use, api.path),
        StorageMax=api.config.storage_max,
        NumObjects=found.blocks,
        RepoPath=str(api.path),
        Version=f"fs-repo@{REPO_FORMAT}",
    )


async def ls(context: Context, call: Call) -> AsyncIterator[LsLine]:
    async with aclosing(blocks_page(context.node.store, page_of(call))) as cids:
        async for cid in cids:
            yield LsLine(Ref=cid_text(cid, call), Err="")
