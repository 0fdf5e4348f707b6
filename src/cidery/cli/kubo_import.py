"""The client's part of repo import-kubo: the source is looked at before the repository here is locked."""

from pathlib import Path

from cidery.cli.output import Sink
from cidery.client.address import Endpoint
from cidery.commands.definition import Call


def run(call: Call, endpoint: Endpoint, query: list[tuple[str, str]]) -> int:
    raise AssertionError("its definition says that no daemon runs it")


async def run_local(repo: Path, call: Call) -> int:
    """Raises KuboUnreadable and KuboRunning first, then as build()."""
    from cidery.cli.feeding import run_with_sink
    from cidery.kubo.repository import KuboRepository

    with KuboRepository.open(Path(call.one("path")).expanduser()):
        pass  # a source that cannot be read is a better answer than a daemon that has to be stopped for it
    return await run_with_sink(repo, call, None, Sink(call))
