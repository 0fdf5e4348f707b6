"""Kubo 0.22 as the peer to compare with: starts tests/peers/kubo_peer.py and talks to it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Self

SCRIPT = Path(__file__).parents[1] / "tests/peers/kubo_peer.py"


class Kubo:
    """A Kubo node in a process of its own, with a fresh repository in ``root``."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._process = subprocess.Popen(
            [sys.executable, str(SCRIPT), str(root)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.addr: str = self._answer()["addrs"][0]

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None  # a pipe was asked for
        line = self._process.stdout.readline()
        if not line:
            sys.exit("Kubo did not start: run `make peers` first")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def say(self, *command: str) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        shutil.rmtree(self.root, ignore_errors=True)
