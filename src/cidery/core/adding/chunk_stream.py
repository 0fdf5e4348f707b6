"""Cuts streams of bytes, in pieces of any size, into the chunks of a file."""

import os
from collections.abc import AsyncIterable, AsyncIterator

from cidery.multiformats.varint import Buffer
from cidery.unixfs.chunker import Chunker
from cidery.unixfs.profile import Profile
from cidery.waiting import off_loop

CUT_BYTES = 4 << 20
"""Bytes collected before content-defined chunking: the thread's work far outweighs the switch to it."""
READ_BYTES = 1 << 20
"""Bytes of a file read at a time."""


async def chunks_of(stream: AsyncIterable[Buffer], profile: Profile) -> AsyncIterator[bytes]:
    """The same bytes cut as ``profile`` says. Memory: a chunk, or about 3 * CUT_BYTES when cut by content."""
    pieces = _by_size(stream, profile.chunk_size) if profile.chunker is None else _by_content(stream, profile.chunker)
    async for chunk in pieces:
        yield chunk


def cut(profile: Profile, data: bytes) -> list[bytes]:
    """The chunks of a whole file. CPU-bound when cut by content."""
    if profile.chunker is None:
        size = profile.chunk_size
        return [data] if len(data) <= size else [data[at : at + size] for at in range(0, len(data), size)]
    return _cuts(profile.chunker, data, len(data))[0]


async def file_pieces(fd: int) -> AsyncIterator[bytes]:
    """An open file from its current position to its end, read in a thread."""
    while piece := await off_loop(os.read, fd, READ_BYTES):
        yield piece


async def _by_size(stream: AsyncIterable[Buffer], size: int) -> AsyncIterator[bytes]:
    """Pieces of exactly ``size``, the last one shorter; one copy at most."""
    parts: list[memoryview] = []
    held = 0
    async for piece in stream:
        view = memoryview(piece)
        while held + len(view) >= size:
            take = size - held
            parts.append(view[:take])
            yield b"".join(parts)
            view, parts, held = view[take:], [], 0
        if len(view):
            parts.append(view)
            held += len(view)
    if held:
        yield b"".join(parts)


async def _by_content(stream: AsyncIterable[Buffer], chunker: Chunker) -> AsyncIterator[bytes]:
    parts: list[Buffer] = []
    held = 0
    async for piece in stream:
        parts.append(piece)
        held += len(piece)
        if held >= CUT_BYTES + chunker.max_size:
            data = b"".join(parts)
            chunks, at = await off_loop(_cuts, chunker, data, len(data) - chunker.max_size)
            for chunk in chunks:
                yield chunk
            parts, held = [memoryview(data)[at:]], len(data) - at
    if held:
        data = b"".join(parts)
        for chunk in (await off_loop(_cuts, chunker, data, len(data)))[0]:
            yield chunk


def _cuts(chunker: Chunker, data: bytes, stop: int) -> tuple[list[bytes], int]:
    """(chunks that start before ``stop``, where the next one starts)."""
    out: list[bytes] = []
    at = 0
    while at < stop:
        end = chunker.next_cut(data, at)
        out.append(data[at:end])
        at = end
    return out, at
