"""Processes that add, unpin and collect at once, killed at random moments: every pin is whole in the next one."""

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

from gc_child import tree

from gc_repo import Repo

ROUNDS = 6
HERE = Path(__file__).parent


def run_until_killed(root: Path, seed: int) -> str:
    """The lines of a child that was killed after a random number of them."""
    path = os.pathsep.join([str(HERE.parent), str(HERE), os.environ.get("PYTHONPATH", "")])
    child = subprocess.Popen(
        [sys.executable, str(HERE / "gc_child.py"), str(root), str(seed)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert child.stdout is not None
    wanted = random.Random(seed).randrange(20, 120)
    lines = [line for _, line in zip(range(wanted), child.stdout, strict=False)]
    child.send_signal(signal.SIGKILL)
    rest, _ = child.communicate()
    assert child.returncode == -signal.SIGKILL, rest
    return "".join(lines) + rest


async def test_no_kill_makes_a_collection_lose_what_is_pinned(tmp_path):
    pinned: set[int] = set()
    collected = 0
    for seed in range(ROUNDS):
        lines = run_until_killed(tmp_path, seed).splitlines()
        collected += lines.count("collected")
        for line in lines:
            if line[0] == "+":
                pinned.add(int(line[1:]))
            elif line[0] == "-":
                pinned.discard(int(line[1:]))
        repo = Repo(tmp_path)
        here = {pin.cid for pin in repo.pins.every()}
        assert {tree(number)[0].cid for number in pinned} <= here
        whole = [cid for number in range(400) if tree(number)[0].cid in here for cid in (b.cid for b in tree(number))]
        assert None not in await repo.store.get_many(whole)
        if seed == ROUNDS - 1:
            await repo.collect()
            assert None not in await repo.store.get_many(whole)
            assert (await repo.store.stat()).blocks == len({cid.multihash for cid in whole})
        await repo.close()
    assert collected
