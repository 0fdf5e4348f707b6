"""Mutable files and processes: a writer killed at random moments, several command lines at once, readers beside one."""

import random
import selectors
import signal
import subprocess
import sys
from pathlib import Path

from mfs_child import content

import cidery
from cidery.blockstore.drive import run
from cidery.mfs.blocks import read_bytes
from cidery.mfs.path import parse_file_path
from cidery.unixfs.reader import read_node

KILLS = 6
CHILD = Path(__file__).with_name("mfs_child.py")


def _killed(repo: Path, turn: int, lines: int, delay: float) -> list[str]:
    """The paths that a writer acknowledged as durable before it was killed."""
    command = [sys.executable, str(CHILD), str(repo), str(turn)]
    child = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert child.stdout is not None
    text = b"".join(child.stdout.readline() for _ in range(lines + 1))
    with selectors.DefaultSelector() as nothing:
        nothing.select(delay)
    child.send_signal(signal.SIGKILL)
    text += child.stdout.read()
    child.stdout.close()
    child.wait()
    return [line.decode() for line in text.split(b"\n")[:-1] if line != b"ready"]


async def _check(repo: Path, paths: list[str]) -> None:
    async with cidery.Node(repo, offline=True) as node, node.api.session() as session:
        files = node.api.files
        for path in paths:
            cid = await files.resolve(session, parse_file_path(path))
            size = (await run(read_node(cid), session)).size
            assert b"".join([bytes(part) async for part in read_bytes(cid, session, 0, size)]) == content(path)
        assert not node.api.provisional.left_over(), "what a killed process left is forgotten"


async def test_a_writer_killed_at_random_moments_loses_nothing_acknowledged(tmp_path: Path) -> None:
    rng = random.Random(2026)
    promised: list[str] = []
    for turn in range(KILLS):
        promised += _killed(tmp_path / "repo", turn, rng.randrange(0, 12), rng.random() * 0.05)
        await _check(tmp_path / "repo", promised)
    assert len(promised) > KILLS
