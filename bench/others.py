"""Kubo 0.22 and Helia 7 as the nodes to compare with: the test peers of tests/peers, installed by ``make peers``."""

from __future__ import annotations

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
os.environ.setdefault("CI", "1")  # a missing peer is a failure here, not a skip

from peers.installed import helia_command, kubo_command  # noqa: E402
from peers.line_peer import LinePeer  # noqa: E402


def start_kubo(root: Path) -> LinePeer:
    """A Kubo node with a fresh repository in ``root``; a context manager."""
    root.mkdir(parents=True)
    return LinePeer(kubo_command(root / "repo"), root / "log")


def start_helia(root: Path) -> LinePeer:
    """A Helia node, its blocks in memory, its log in ``root``; a context manager."""
    root.mkdir(parents=True)
    return LinePeer(helia_command(), root / "log")
