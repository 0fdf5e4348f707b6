"""The bytes of what a caller gives to be stored: a path, bytes, or a stream of bytes."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Callable

    from cidery.multiformats.varint import Buffer

    Source = str | os.PathLike[str] | Buffer | AsyncIterable[Buffer]
    """A path of a file of this machine, or its bytes, or the same in pieces of any size."""

READ_SIZE = 1 << 20
"""Bytes of a file read at a time."""


def pieces_of(source: Source, progress: Callable[[int], None] | None = None) -> AsyncIterable[Buffer]:
    """The bytes, in pieces; ``progress`` is told how many are taken. Raises NotAddable; while it is read, CannotAdd."""
    from cidery.core.adding.items import source_of

    given = source_of(source)
    pieces = _file(given) if isinstance(given, str) else _once(given) if isinstance(given, bytes) else given
    return pieces if progress is None else _counted(pieces, progress)


async def _counted(pieces: AsyncIterable[Buffer], progress: Callable[[int], None]) -> AsyncIterator[Buffer]:
    taken = 0
    async for piece in pieces:
        yield piece
        taken += len(piece)
        progress(taken)


async def _once(data: bytes) -> AsyncIterator[Buffer]:
    yield data


async def _file(path: str) -> AsyncIterator[Buffer]:
    import asyncio

    from cidery.core.adding.items import CannotAdd

    try:
        with await asyncio.to_thread(open, path, "rb") as file:
            while piece := await asyncio.to_thread(file.read, READ_SIZE):
                yield piece
    except (OSError, ValueError) as exc:
        reason = (exc.strerror or str(exc)).lower() if isinstance(exc, OSError) else str(exc)
        raise CannotAdd(path, reason) from exc
