"""The bytes of what a caller gives to be stored: a path, bytes, or a stream of bytes."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator

    from cidery.multiformats.varint import Buffer

    Source = str | os.PathLike[str] | Buffer | AsyncIterable[Buffer]
    """A path of a file of this machine, or its bytes, or the same in pieces of any size."""

READ_SIZE = 1 << 20
"""Bytes of a file read at a time."""


def pieces_of(source: Source) -> AsyncIterable[Buffer]:
    """The bytes, in pieces. Raises NotAddable; while it is read, CannotAdd."""
    from cidery.core.adding.items import source_of

    given = source_of(source)
    if isinstance(given, str):
        return _file(given)
    return _once(given) if isinstance(given, bytes) else given


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
