"""What a file system needs of the place that its blocks come from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from cidery.errors import NotFound

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Awaitable, Callable, Sequence
    from contextlib import AbstractAsyncContextManager

    from cidery.blockstore.drive import BlockReader
    from cidery.core.reading.content_path import ContentPath
    from cidery.multiformats.cid import CID


class NotThere(NotFound):
    """A block that no source has."""

    def __init__(self, cid: CID, reason: str) -> None:
        super().__init__(cid, reason)
        self.cid = cid
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.cid} cannot be had: {self.reason}"


class Changing(Protocol):
    """Changes of mutable files; each durable on return."""

    async def write(self, path: str, content: AsyncIterable[bytes], offset: int | None) -> None:
        """Replace a file, or make it and the directories above; with ``offset``: write into it. All or nothing."""
        ...

    async def mkdir(self, path: str, *, parents: bool) -> None: ...

    async def remove(self, path: str, *, recursive: bool) -> None: ...

    async def copy(self, source: CID, path: str) -> None:
        """Give content a path, in place of a file that is there."""
        ...

    async def move(self, source: str, target: str) -> None: ...


class Source(Protocol):
    """A place of blocks, names and mutable files. For one event loop, except ``read_part()``."""

    dear: bool
    """Whether a request takes longer than a block."""
    stored: bool
    """Whether read_part() may have something."""

    @property
    def gateway(self) -> str:
        """Where a browser finds content, without a final slash; "": nobody knows."""
        ...

    def session(self) -> AbstractAsyncContextManager[BlockReader]:
        """Blocks for one operation, each checked. Raises as it reads: CideryError."""
        ...

    def read_part(self, cid: CID, size: int, start: int, into: memoryview) -> bool:
        """As SegmentStore.read_part(); False where there is no store. From any thread."""
        ...

    def admitted(self, path: ContentPath) -> ContentPath:
        """The path, if it is not denied here. Raises Denied."""
        ...

    async def ahead(self, root: CID, names: Sequence[str], span: tuple[int, int] | None) -> None:
        """The blocks on this path will be asked for, and those of ``[start, end)`` of the file there. A hint: where
        a request is dear, they are fetched by one."""
        ...

    async def block_size(self, cid: CID) -> int | None:
        """Bytes of a block, if they are known without reading it."""
        ...

    async def locate(self, path: str) -> tuple[ContentPath, float]:
        """What ``/ipns/NAME/rest`` points to now, and for how many seconds that may be remembered."""
        ...

    async def files_root(self) -> CID:
        """The root of the mutable files."""
        ...

    async def change(self, work: Callable[[Changing], Awaitable[None]]) -> None:
        """Have the mutable files changed. ``work`` may be called again if nothing came of it the first time."""
        ...

    async def close(self) -> None: ...
