"""Shared by all tests: property tests are the same in every run, and Ctrl-C reaches the commands that are started."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import cidery
    from shell import Shell

settings.register_profile("cidery", derandomize=True, deadline=None, print_blob=True)
settings.load_profile("cidery")

# A shell starts what runs in its background with SIGINT ignored, and children inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[cidery.Node]:
    """A new node that is offline, in ``tmp_path / "repo"``."""
    import cidery

    async with cidery.Node(tmp_path / "repo", profile="test", offline=True) as opened:
        yield opened


@pytest.fixture
async def shell(node: cidery.Node) -> Shell:
    """Commands on that node."""
    from shell import Shell

    return Shell(node.api)
