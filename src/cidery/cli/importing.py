"""The command line's part of dag import: archives are uploaded to a daemon, or read by the importer itself."""

from __future__ import annotations

from cidery.cli.output import Sink
from cidery.cli.pipes import chunks_from
from cidery.cli.uploading import file_paths, single_files, upload, upload_bar

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from cidery.client.address import Endpoint
    from cidery.commands.definition import Call
    from cidery.core.adding.items import Item


def run(call: Call, endpoint: Endpoint, query: list[tuple[str, str]]) -> int:
    """``dag import`` in the daemon: of an interrupted import, only the rest is sent."""
    from cidery.client.resumed_upload import go_on

    bar, query = upload_bar(call), list(query)
    paths = file_paths(call)
    key, known = ("", {}) if not paths or paths == ["-"] else go_on(endpoint, paths, query)
    parts = single_files(call, identities=bool(key))
    return upload(endpoint, call, query, parts, Sink(call, bar), known, bar)


async def run_local(repo: Path, call: Call) -> int:
    """``dag import`` without a daemon."""
    from cidery.cli.feeding import run_with_sink

    return await run_with_sink(repo, call, _archives(call), Sink(call))


async def _archives(call: Call) -> AsyncIterator[Item]:
    from cidery.core.adding.items import File, Stream

    for part in single_files(call):
        source = part.source
        if isinstance(source, str):
            yield File(source)
        elif not isinstance(source, bytes):  # single_files() makes none of bytes
            yield Stream(chunks_from(source))
