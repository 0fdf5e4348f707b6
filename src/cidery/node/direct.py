"""Methods of an embedded node that are called so often that they do without the command: a fourth of the time."""

from __future__ import annotations

from cidery.core.reading.blocks import block_get
from cidery.methods.dag import Block

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from cidery.core.api import Api
    from cidery.core.reading.content_path import ContentPath
    from cidery.methods.caller import Caller
    from cidery.multiformats.cid import CID


class DirectBlock(Block):
    """Blocks of this process."""

    def __init__(
        self, caller: Caller, opened: Callable[[], Api], located: Callable[[str | CID], Awaitable[ContentPath]]
    ) -> None:
        super().__init__(caller)
        self._opened = opened
        self._located = located

    async def get(self, path: str | CID) -> bytes:
        """As Block.get()."""
        where = await self._located(path)
        async with self._opened().session() as session:
            return bytes(await block_get(where, session))
