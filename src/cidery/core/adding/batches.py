"""Splits the items of an add into batches for its threads: whole items, or a long stream alone."""

import asyncio
import os
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Sequence
from itertools import chain, islice
from typing import NamedTuple, TypeVar

from cidery.core.adding.chunk_stream import chunks_of
from cidery.core.adding.items import HAS_ALL, AddItem, ScanOptions, scan
from cidery.unixfs.profile import Profile

JOB_ITEMS = 128
"""Items per batch: small, so that the loop hears of progress often."""
STREAM_BATCH = 1 << 20
"""Bytes of small streams collected into one batch."""

T = TypeVar("T")
Source = str | os.PathLike[str] | bytes | AddItem


class LongStream(NamedTuple):
    """A stream of two chunks or more."""

    item: AddItem
    chunks: AsyncIterator[bytes]


async def each(jobs: Iterable[T]) -> AsyncIterator[T]:
    for job in jobs:
        yield job


async def batches(
    sources: Sequence[Source] | AsyncIterable[AddItem], profile: Profile, options: ScanOptions
) -> AsyncIterator[list[AddItem] | LongStream]:
    """Items in order: in batches for one thread job each, or a long stream alone."""
    batch: list[AddItem] = []
    size = 0
    async for item in _items(sources, options):
        if item.has:
            # The part that the sender left out is known from an earlier run; the data sent continues after it.
            if item.has == HAS_ALL:
                batch.append(item)
                continue
            if batch:
                yield batch
            batch, size = [], 0
            yield LongStream(item, chunks_of(item.pieces(), profile))
            continue
        if item.stream is not None:
            chunks = chunks_of(item.stream, profile)
            first = await anext(chunks, b"")
            second = await anext(chunks, None) if first else None
            if second is not None:
                if batch:
                    yield batch
                batch, size = [], 0
                yield LongStream(item, _chain(first, second, chunks))
                continue
            item = item._replace(stream=None, data=first)
        batch.append(item)
        size += len(item.data or b"")
        if len(batch) >= JOB_ITEMS or size >= STREAM_BATCH:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


async def _items(sources: Sequence[Source] | AsyncIterable[AddItem], options: ScanOptions) -> AsyncIterator[AddItem]:
    if isinstance(sources, AsyncIterable):
        async for item in sources:
            yield item
        return
    walk = chain.from_iterable(_scanned(source, options) for source in sources)
    while batch := await asyncio.to_thread(lambda: list(islice(walk, JOB_ITEMS))):
        for item in batch:
            yield item


def _scanned(source: Source, options: ScanOptions) -> Iterable[AddItem]:
    if isinstance(source, AddItem):
        return (source,)
    if isinstance(source, bytes):
        return (AddItem.of_bytes(source),)
    return scan(source, options)


async def _chain(first: bytes, second: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    yield second
    async for chunk in rest:
        yield chunk
