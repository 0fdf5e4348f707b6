"""filestore ls, verify and dups."""

import asyncio
from collections.abc import AsyncIterator

from cidery.blockstore.filestore import Checked, Filestore, Reference, Status
from cidery.commands.cid_text import cid_text
from cidery.commands.context import Context
from cidery.commands.definition import Call
from cidery.commands.definitions.content import RefLine
from cidery.commands.definitions.filestore import FilestoreLine
from cidery.errors import LimitExceeded
from cidery.multiformats.cid import CID
from cidery.multiformats.multicodec import RAW

KEY_NOT_FOUND = 30
"""Status of a CID that has no reference, as Kubo's."""
MAX_SORTED = 5_000_000
"""Most references that --file-order sorts in memory: about 2 GB."""


class TooManyToSort(LimitExceeded):
    """More references than MAX_SORTED."""

    def __str__(self) -> str:
        return f"more than {MAX_SORTED} references cannot be sorted; leave out --file-order"


async def _chosen(blocks: Filestore, call: Call) -> AsyncIterator[Reference | CID]:
    """The requested references, or the CID of one that does not exist."""
    texts = call.many("obj")
    if texts:
        for cid in map(CID.parse, texts):
            yield blocks.references.get(cid.multihash) or cid
        return
    ordered: list[Reference] = []
    after = b""
    while page := await asyncio.to_thread(blocks.references.page, after):
        after = page[-1].multihash
        if not call.flag("file-order"):
            for reference in page:
                yield reference
            continue
        ordered += page
        if len(ordered) > MAX_SORTED:
            raise TooManyToSort
    ordered.sort(key=lambda reference: (reference.path, reference.offset))
    for reference in ordered:
        yield reference


def _line(checked: Checked, context: Context, call: Call) -> FilestoreLine:
    """Paths below the directory that holds the repository are relative to it, as Kubo shows them."""
    reference = checked.reference
    base = f"{context.node.path.parent}".rstrip("/") + "/"
    return FilestoreLine(
        Status=int(checked.status),
        ErrorMsg=checked.reason,
        Key={"/": cid_text(CID(1, RAW, reference.multihash), call)},
        FilePath=reference.path.removeprefix(base),
        Offset=reference.offset,
        Size=reference.length,
    )


def _missing(cid: CID, call: Call) -> FilestoreLine:
    return FilestoreLine(
        Status=KEY_NOT_FOUND,
        ErrorMsg="no block in a file of yours",
        Key={"/": cid_text(cid, call)},
        FilePath="",
        Offset=0,
        Size=0,
    )


async def ls(context: Context, call: Call) -> AsyncIterator[FilestoreLine]:
    async for one in _chosen(context.node.blocks, call):
        yield _missing(one, call) if isinstance(one, CID) else _line(Checked(one, Status.OK, ""), context, call)


async def verify(context: Context, call: Call) -> AsyncIterator[FilestoreLine]:
    """Faults are reported in the lines; finding one is no failure."""
    blocks = context.node.blocks
    async for one in _chosen(blocks, call):
        if isinstance(one, CID):
            yield _missing(one, call)
            continue
        checked = await blocks.check(one)
        if checked.status is not Status.OK and call.flag("remove-bad-blocks"):
            await asyncio.to_thread(blocks.references.remove, [one.multihash])
        yield _line(checked, context, call)


async def dups(context: Context, call: Call) -> AsyncIterator[RefLine]:
    references, store = context.node.blocks.references, context.node.store
    after = b""
    while page := await asyncio.to_thread(references.page, after):
        after = page[-1].multihash
        cids = [CID(1, RAW, reference.multihash) for reference in page]
        for cid, size in zip(cids, await store.size_many(cids), strict=True):
            if size is not None:
                yield RefLine(Ref=cid_text(cid, call), Err="")
