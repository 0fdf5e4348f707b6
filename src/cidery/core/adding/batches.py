"""Splits the items of an add into batches for its threads: whole items, or a long stream alone."""

import os
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Sequence
from itertools import chain, islice
from typing import NamedTuple, TypeVar

from cidery.core.adding.chunk_stream import chunks_of
from cidery.core.adding.items import Bytes, Item, ScanOptions, Stream, scan
from cidery.unixfs.profile import Profile
from cidery.waiting import off_loop

JOB_ITEMS = 128
"""Items per batch: small, so that the loop hears of progress often."""
STREAM_BATCH = 1 << 20
"""Bytes of small streams collected into one batch."""

T = TypeVar("T")
Source = str | os.PathLike[str] | bytes | Item


class LongStream(NamedTuple):
    """A stream of two chunks or more."""

    item: Stream
    chunks: AsyncIterator[bytes]


async def each(jobs: Iterable[T]) -> AsyncIterator[T]:
    for job in jobs:
        yield job


async def batches(
    sources: Sequence[Source] | AsyncIterable[Item], profile: Profile, options: ScanOptions
) -> AsyncIterator[list[Item] | LongStream]:
    """Items in order: in batches for one thread job each, or a long stream alone."""
    batch: list[Item] = []
    size = 0
    async for item in _items(sources, options):
        if isinstance(item, Stream):
            short = await _short(item, profile)
            if isinstance(short, LongStream):
                if batch:
                    yield batch
                batch, size = [], 0
                yield short
                continue
            item = short
        batch.append(item)
        size += len(item.data) if isinstance(item, Bytes) else 0
        if len(batch) >= JOB_ITEMS or size >= STREAM_BATCH:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


async def _short(item: Stream, profile: Profile) -> Bytes | LongStream:
    """The bytes of a stream of one chunk."""
    chunks = chunks_of(item.stream, profile)
    if item.has:
        return LongStream(item, chunks)  # these follow what an earlier run stored
    first = await anext(chunks, b"")
    second = await anext(chunks, None) if first else None
    if second is not None:
        return LongStream(item, _chain(first, second, chunks))
    return Bytes(first, item.name, item.mode, item.mtime, item.identity)


async def _items(sources: Sequence[Source] | AsyncIterable[Item], options: ScanOptions) -> AsyncIterator[Item]:
    if isinstance(sources, AsyncIterable):
        async for item in sources:
            yield item
        return
    walk = chain.from_iterable(_scanned(source, options) for source in sources)
    while batch := await off_loop(lambda: list(islice(walk, JOB_ITEMS))):
        for item in batch:
            yield item


def _scanned(source: Source, options: ScanOptions) -> Iterable[Item]:
    if isinstance(source, bytes):
        return (Bytes(source),)
    if isinstance(source, str | os.PathLike):
        return scan(source, options)
    return (source,)


async def _chain(first: bytes, second: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    yield second
    async for chunk in rest:
        yield chunk
