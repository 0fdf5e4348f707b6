"""The client's part of multibase: always in this process, daemon or not."""

from pathlib import Path
from typing import TYPE_CHECKING

from cidery.commands.definition import Call

if TYPE_CHECKING:
    from cidery.client.address import Endpoint


def run(call: Call, endpoint: "Endpoint", query: list[tuple[str, str]]) -> int:
    """With a daemon: it has nothing to add to a computation on text."""
    from cidery.cli.local import run_coroutine

    return run_coroutine(run_local(Path(), call))


async def run_local(repo: Path, call: Call) -> int:
    from cidery.cli.feeding import run_with_sink
    from cidery.cli.output import Sink
    from cidery.cli.uploading import file_items

    return await run_with_sink(repo, call, file_items(call), Sink(call))
