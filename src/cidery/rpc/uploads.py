"""The files of a multipart request body as items to add, read as they arrive: constant memory.

Spec: https://www.rfc-editor.org/rfc/rfc7578, and the conventions of https://docs.ipfs.tech/reference/kubo/rpc/
"""

from collections.abc import AsyncIterator
from urllib.parse import unquote_plus

from aiohttp import BodyPartReader, web

from cidery.core.add_items import AddItem
from cidery.errors import InvalidInput
from cidery.unixfs.node import Kind

READ_SIZE = 1 << 18
"""Bytes of a part read at once."""
MAX_NAME = 16_384
"""Longest decoded path of a part, in characters: four times PATH_MAX of Linux."""
MAX_TARGET = 4096
"""Longest target of a symlink, in bytes: PATH_MAX of Linux."""
MAX_PARTS = 50_000_000
"""Most parts of one body: a bound on endless streams, far above any folder."""
_KINDS = {
    "application/x-directory": Kind.DIRECTORY,
    "application/symlink": Kind.SYMLINK,
}


class BadUpload(InvalidInput):
    """A request body that is not what the command takes."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return self.reason


def _malformed(exc: ValueError | AssertionError) -> BadUpload:
    """What the framework's parser reports with these: a malformed body, or one that ends early."""
    return BadUpload(f"the request body is not valid multipart: {' '.join(str(exc).split())}")


def is_multipart(request: web.BaseRequest) -> bool:
    return request.content_type.startswith("multipart/")


async def read_uploads(request: web.BaseRequest) -> AsyncIterator[AddItem]:
    """Items in the order of the parts; each stream must be read to its end before the next item.

    Raises:
        BadUpload: not multipart, a path that is no path, a body that ends early.
    """
    try:
        reader = await request.multipart()
        for _ in range(MAX_PARTS):
            part = await reader.next()
            if part is None:
                return
            if not isinstance(part, BodyPartReader):
                raise BadUpload("parts in parts are not supported")
            yield await _item(part)
    except (ValueError, AssertionError) as exc:
        raise _malformed(exc) from exc
    raise BadUpload(f"more than {MAX_PARTS} parts")


async def _item(part: BodyPartReader) -> AddItem:
    name = clean_name(unquote_plus(part.filename or "", errors="surrogateescape"))
    kind = _KINDS.get(part.headers.get("Content-Type", ""), Kind.FILE)
    if kind is Kind.DIRECTORY:
        await part.release()
        return AddItem(name, kind)
    if kind is Kind.SYMLINK:
        return AddItem(name, kind, target=(await _short(part)).decode("utf-8", "surrogateescape"))
    return AddItem.of_stream(_chunks(part), name)


async def _chunks(part: BodyPartReader) -> AsyncIterator[bytes]:
    while True:
        try:
            chunk = await part.read_chunk(READ_SIZE)
        except (ValueError, AssertionError) as exc:
            raise _malformed(exc) from exc
        if not chunk:
            return
        yield chunk


async def _short(part: BodyPartReader) -> bytes:
    target = bytearray()
    async for chunk in _chunks(part):
        target += chunk
        if len(target) > MAX_TARGET:
            raise BadUpload(f"the target of a symlink is longer than {MAX_TARGET} bytes")
    return bytes(target)


def clean_name(name: str) -> str:
    """A relative path without empty parts. Raises BadUpload for parts that lead elsewhere."""
    if len(name) > MAX_NAME:
        raise BadUpload(f"the name of a file is longer than {MAX_NAME} characters")
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts or "\0" in name:
        raise BadUpload(f"{name[:80]!r} is not the name of a file in a folder")
    return "/".join(parts)
