"""The denylists of a node: which folders, and their files followed while it runs."""

from __future__ import annotations

import os
from contextlib import asynccontextmanager
from pathlib import Path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from cidery.repo.denylists import DenyFiles


def deny_folders(repository: Path) -> tuple[Path, ...]:
    """Where lists are looked for, as in Kubo: those of the machine, of the user, of the repository."""
    configs = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    return Path("/etc/ipfs/denylists"), Path(configs) / "ipfs" / "denylists", repository


@asynccontextmanager
async def followed(files: DenyFiles) -> AsyncIterator[None]:
    """Inside the context, changes of the files are noticed and obeyed."""
    import asyncio

    from cidery.repo.denylists import following
    from cidery.tasks import end

    task = asyncio.create_task(following(files, asyncio.sleep))
    try:
        yield
    finally:
        await end([task])
