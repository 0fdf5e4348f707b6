"""Type checkers see the arguments and the results of every face."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("mypy")

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
import cidery
from cidery import CID
from cidery.methods.repo import BlockingJobs
from cidery.methods.results import Identity, PinEntry, Published
from cidery.node.open import SyncNode
from cidery.repo.jobs import Job


async def asynchronous(node: cidery.Node | cidery.Client, cid: CID) -> None:
    kept: CID = await node.pin.add(cid, name="x", progress=lambda step: print(step.blocks))
    async for entry in node.pin.ls(kept):
        pinned: PinEntry = entry
        print(pinned)
    who: Identity = await node.id()
    jobs: list[Job] = await node.jobs(kind="add")
    published: Published = await node.name.publish(cid, lifetime=1.5)
    print(who, jobs, published)
    await node.pin.add(5)  # wrong
    await node.files.write("/a", b"", ofset=1)  # wrong
    print((await node.id()).nothing)  # wrong


def blocking(node: SyncNode, cid: CID) -> None:
    kept: CID = node.pin.add(cid, name="x", progress=lambda step: print(step.blocks))
    for entry in node.pin.ls(kept):
        pinned: PinEntry = entry
        print(pinned)
    group: BlockingJobs = node.jobs
    jobs: list[Job] = group(kind="add")
    data: bytes = b"".join(node.cat(cid)) + node.block.get(cid) + node.files.read("/a")
    name: str = cidery.verify("photos", cidery.cid_of("photos", profile="unixfs-v0-2015"))
    print(jobs, data, name, [block.cid.version for block in cidery.car.open("a.car")])
    node.pin.add(5)  # wrong
    node.files.write("/a", b"", ofset=1)  # wrong
    print(node.id().nothing)  # wrong
    number: int = node.read(cid)  # wrong
"""


def test_mypy_accepts_what_is_right_and_nothing_else(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir", ROOT / ".mypy_cache", "--no-error-summary", program],
        cwd=ROOT, capture_output=True, text=True, env={**os.environ, "MYPYPATH": str(ROOT / "src")},
    )  # fmt: skip
    found = {int(line.split(":")[1]) for line in done.stdout.splitlines() if ": error:" in line}
    wrong = {number for number, line in enumerate(PROGRAM.splitlines(), 1) if "# wrong" in line}
    assert found == wrong, done.stdout + done.stderr
