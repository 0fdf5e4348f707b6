"""The client's part of dag import: archives are uploaded to a daemon, or read by the importer itself."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

from cidery.cli.adding import run_archives
from cidery.commands.definition import Call

if TYPE_CHECKING:
    from cidery.core.add_items import AddItem

run_import = run_archives


async def run_import_local(repo: Path, call: Call) -> int:
    """``dag import`` without a daemon."""
    from cidery.cli.local import run_with_sink
    from cidery.cli.output import Sink

    return await run_with_sink(repo, call, _archives(call), Sink(call))


async def _archives(call: Call) -> "AsyncIterator[AddItem]":
    from cidery.cli.adding import single_files, stdin_chunks
    from cidery.core.add_items import AddItem
    from cidery.unixfs.node import Kind

    for part in single_files(call):
        if isinstance(part.source, str):
            yield AddItem("", Kind.FILE, path=part.source)
        else:
            yield AddItem.of_stream(stdin_chunks())
