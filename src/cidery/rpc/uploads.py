"""The files of a multipart request body as items to add, read as they arrive: constant memory.

Spec: the conventions of https://docs.ipfs.tech/reference/kubo/rpc/
"""

import os
import stat
from collections.abc import AsyncIterator
from urllib.parse import parse_qsl, unquote_plus

from cidery.budgets import UPLOAD_ROOTS
from cidery.core.adding.batches import each
from cidery.core.adding.items import Bytes, Folder, Identity, Item, Link, Stored, Stream
from cidery.errors import InvalidInput
from cidery.http.body import BodyCut, RequestBody
from cidery.http.message import Request
from cidery.rpc.multipart import BadMultipart, Data, Event, Mark, MultipartReader, Part, boundary_of
from cidery.rpc.places import Place
from cidery.unixfs.data import MODE_MASK
from cidery.unixfs.metadata import Mtime

MAX_NAME = 16_384
"""Longest decoded path of a part, in characters: four times PATH_MAX of Linux."""
MAX_TARGET = 4096
"""Longest target of a symlink, in bytes: PATH_MAX of Linux."""
MAX_FIELDS = 16
"""Most fields in the name of a form field: three are known."""
MAX_PARTS = 50_000_000
"""Most parts of one body: a bound on endless streams, far above any folder."""
MAX_SENT_MODE = (1 << 32) - 1
"""Largest mode that is read: Go's FileMode has 32 bits."""
_GO_BITS = ((1 << 23, stat.S_ISUID), (1 << 22, stat.S_ISGID), (1 << 20, stat.S_ISVTX))
"""Where Go's FileMode has the bits that Unix has above the permissions."""


class BadUpload(InvalidInput):
    """A request body that the command cannot accept."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return self.reason


def is_multipart(request: Request) -> bool:
    return request.header("content-type").strip().lower().startswith("multipart/")


async def read_uploads(request: Request, place: Place) -> AsyncIterator[Item]:
    """Items in the order of the parts; the unread rest of a stream is dropped when the next item is requested.

    Raises:
        BadUpload, BadMultipart: an invalid path, or a body that is malformed or ends early.
        SilentBody: the body stopped arriving.
    """
    body, roots, nameless = _Body(request, place), 0, False
    for _ in range(MAX_PARTS):
        part = await body.next_part()
        if part is None:
            return
        item = await _item(part, body)
        nameless = nameless or (isinstance(item, Folder) and not item.name)  # it holds all others
        roots += not nameless and "/" not in item.name
        if roots > UPLOAD_ROOTS.amount:
            raise BadUpload(f"more than {UPLOAD_ROOTS.size}: put them into a folder")
        yield item
    raise BadUpload(f"more than {MAX_PARTS} parts")


class _Body:
    """The events of one request's body."""

    def __init__(self, request: Request, place: Place) -> None:
        self._place = place
        assert isinstance(request.body, RequestBody)  # the server gives every request one
        self._content = request.body
        self._reader = MultipartReader(boundary_of(request.header("content-type")))
        self._inside = False  # whether bytes of a part may follow
        self._pushed: list[bytes] = []

    async def _next(self) -> Event:
        while (event := self._reader.next_event()) is None:
            try:
                data = await self._place.hear(self._content.readany())
            except BodyCut as exc:
                raise BadMultipart("it ends early") from exc
            if not data:
                self._reader.receive_eof()
                return Mark.END
            self._reader.receive_data(data)
        return event

    async def next_part(self) -> Part | None:
        """The next part, skipping the rest of this one; None after the last."""
        async for _ in self.chunks():
            continue
        event = await self._next()
        if isinstance(event, Part):
            self._inside = True
            return event
        return None

    def whole(self) -> bytes | None:
        """All bytes of the part, if they have arrived; else None, and chunks() yields them."""
        while event := self._reader.next_event():
            if isinstance(event, Data):
                self._pushed.append(event.data)
            else:
                self._inside = False
                data, self._pushed = b"".join(self._pushed), []
                return data
        return None

    async def chunks(self) -> AsyncIterator[bytes]:
        """The rest of the part."""
        while self._pushed:
            yield self._pushed.pop(0)
        while self._inside:
            event = await self._next()
            if isinstance(event, Data):
                yield event.data
            else:
                assert event is Mark.PART_END  # the reader ends each part before anything else
                self._inside = False


async def _item(part: Part, body: _Body) -> Item:
    name = clean_name(unquote_plus(part.filename, errors="surrogateescape"))
    mode, mtime = _metadata(part.field)
    # A path along with the bytes: --nocopy decides which of the two counts.
    path = unquote_plus(part.abspath, errors="surrogateescape") if part.abspath else None
    if path is not None and (not os.path.isabs(path) or "\0" in path or len(path) > MAX_NAME):
        raise BadUpload(f"{path[:80]!r} is not an absolute path")
    if part.content_type == "application/x-directory":
        return Folder(name, None, mode, mtime)
    if part.content_type == "application/symlink":
        return Link((await _short(body)).decode("utf-8", "surrogateescape"), name, mtime)
    identity = _identity(part.identity)
    if part.has == "all":
        if identity is None:
            raise BadUpload("a file of which nothing is sent needs an identity")
        return Stored(identity, name, mode, mtime, path)
    has, data = _has(part.has), body.whole()
    if data is None or has:
        return Stream(body.chunks() if data is None else each((data,)), name, mode, mtime, identity, path, has)
    return Bytes(data, name, mode, mtime, identity, path)


def _identity(text: str) -> Identity | None:
    """The identity of a file at its sender: five numbers. Raises BadUpload."""
    if not text:
        return None
    words = text.split("-", 4)  # for times before 1970, the sender states no identity
    numbers = [int(word) for word in words if word.isascii() and word.isdigit() and len(word) <= 20]
    if len(numbers) != 5 or max(numbers[:2]) >> 64 or max(numbers[2:]) >> 63:
        raise BadUpload(f"{text[:80]!r} is no identity of a file")
    return numbers[0], numbers[1], numbers[2], numbers[3], numbers[4]


def _has(text: str) -> int:
    """The number of omitted bytes. Raises BadUpload."""
    if not text:
        return 0
    if not (text.isascii() and text.isdigit()) or len(text) > 18:
        raise BadUpload(f"{text[:80]!r} is no number of bytes that were left out")
    return int(text)


def _metadata(field: str) -> tuple[int | None, Mtime | None]:
    """Mode and time stated in the name of a form field. Raises BadUpload."""
    _, _, query = field.partition("?")
    if not query:
        return None, None
    stated = dict(parse_qsl(query, keep_blank_values=True, max_num_fields=MAX_FIELDS))
    try:
        mode = int(stated["mode"], 8) if "mode" in stated else None
        mtime = Mtime(int(stated["mtime"]), int(stated.get("mtime-nsecs", "0"))) if "mtime" in stated else None
    except ValueError as exc:
        raise BadUpload(f"{field[:80]!r} states no mode and time of a file") from exc
    if mode is not None and not 0 <= mode <= MAX_SENT_MODE:
        raise BadUpload(f"{field[:80]!r} states a mode that cannot be")
    if mtime is not None and not (0 <= mtime.nanoseconds < 10**9 and -(1 << 63) <= mtime.seconds < 1 << 63):
        raise BadUpload(f"{field[:80]!r} states a time that cannot be")
    return _permissions(mode) if mode else None, mtime


def _permissions(mode: int) -> int | None:
    """The Unix permissions in a mode of Go's FileMode or of Unix stat(); None for 0: not stated.

    Kubo's clients send the former, with the file type in its upper bits; JavaScript's may send the latter.
    """
    return mode & MODE_MASK | sum(unix for go, unix in _GO_BITS if mode & go) or None


async def _short(body: _Body) -> bytes:
    target = bytearray()
    async for chunk in body.chunks():
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
