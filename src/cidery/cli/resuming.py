"""The client's part of jobs resume: a job started by a command line is resumed by running that line again."""

import os
import sys
from pathlib import Path
from typing import Any

from cidery.cli.output import Sink
from cidery.client.address import Endpoint
from cidery.client.blocking import call as rpc
from cidery.commands.definition import Call
from cidery.errors import Unavailable

OPEN = ("interrupted", "failed")
"""States in which a command is run again."""


def run(call: Call, endpoint: Endpoint, query: list[tuple[str, str]]) -> int:
    """``jobs resume`` with a daemon."""
    with rpc(endpoint, ["jobs", "show"], [("arg", call.one("id"))]) as answer:
        job = next(iter(answer.values()))
    if job["State"] in OPEN and job.get("Command"):
        return _again(job, call)
    sink = Sink(call)
    with rpc(endpoint, ["jobs", "resume"], query) as answer:
        for value in answer.values():
            sink.value(value)
    return 0


async def run_local(repo: Path, call: Call) -> int:
    """``jobs resume`` without a daemon."""
    from cidery.cli.feeding import run_with_sink
    from cidery.commands.context import Context
    from cidery.commands.run.jobs import show
    from cidery.node.build import Access, build

    async with build(repo, Access.READ) as api:
        job = [dict(value) async for value in show(Context(api, repo), call)][0]
    if job["State"] in OPEN and job.get("Command"):
        return _again(job, call)
    return await run_with_sink(repo, call, None, Sink(call))


def _again(job: dict[str, Any], call: Call) -> int:
    """Become the command: its progress, its output and its exit code are what the user wants. Raises Unavailable."""
    words = [str(word) for word in job["Command"]]
    words += [f"--{name}={value}" for name in ("repo-dir", "api", "api-ca") if (value := call.text(name))]
    print(f"running again: cidery {' '.join(words)}", file=sys.stderr, flush=True)
    sys.stdout.flush()
    try:
        os.execv(sys.executable, [sys.executable, "-m", "cidery", *words])
    except OSError as exc:
        raise Unavailable(f"the command cannot be run again: {exc.strerror}") from exc
