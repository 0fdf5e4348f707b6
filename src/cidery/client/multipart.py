"""A multipart body for ``add``: parts of a tree in constant memory.

Part headers follow the RPC convention: ``filename`` is the URL-escaped path, directories and symlinks are marked by
their content type (https://docs.ipfs.tech/reference/kubo/rpc/). Paths come from one walk, sorted by name.
"""

from __future__ import annotations

import os
import stat

from cidery.client.http1 import quote_bytes
from cidery.errors import InvalidInput

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import NamedTuple, Protocol

    from cidery.core.adding.ignore_rules import IgnoreRules

    class Readable(Protocol):
        """A source of bytes; BinaryIO is one."""

        def read(self, size: int, /) -> bytes: ...

else:
    from cidery.light_types import NamedTuple

READ_SIZE = 1 << 20
"""Bytes of a file per chunk."""
MAX_DEPTH = 512
"""Deepest directory uploaded: a deeper one is a loop, and each level costs an open iterator."""
DIRECTORY, FILE, SYMLINK = "application/x-directory", "application/octet-stream", "application/symlink"


class CannotUpload(InvalidInput):
    """A path that cannot be read or has no place in a tree."""

    def __init__(self, path: str, reason: str, doing: str = "add") -> None:
        """``doing``: "read" where a command takes a file for something else than to add it."""
        super().__init__(path, reason, doing)
        self.path = path
        self.reason = reason
        self.doing = doing

    def __str__(self) -> str:
        return f"cannot {self.doing} {self.path}: {self.reason}"


class Selection(NamedTuple):
    """Which entries of a tree to send."""

    recursive: bool = False
    hidden: bool = False
    dereference: bool = False
    dereference_args: bool = False
    """Follow the symlinks that are named, but not those inside directories."""
    ignore: IgnoreRules | None = None
    preserve_mode: bool = False
    preserve_mtime: bool = False
    state_paths: bool = False
    """State where files are, for --nocopy."""
    state_identities: bool = False
    """State the identities of files, for a later run."""


class Part(NamedTuple):
    """One entry to send."""

    name: str
    """Path in the tree with "/" between names; "" for the only, nameless stream."""
    kind: str
    """DIRECTORY, FILE or SYMLINK."""
    source: str | bytes | Readable
    """Path of a file; or its bytes (also the target of a symlink); or an open stream."""
    size: int | None
    """Bytes, None if not known."""
    mode: int | None = None
    """Permission bits to store."""
    mtime_ns: int | None = None
    """Time of modification to store, in ns since 1970."""
    states_path: bool = False
    """Whether to state where the file is, for --nocopy."""
    identity: str = ""
    """Identity of the file for a later run, as in File-Identity; "" for none."""


def walk_paths(paths: list[str], selection: Selection) -> Iterator[Part]:
    """Parts for local paths. Raises CannotUpload."""
    for path in paths:
        name = os.path.basename(os.path.abspath(path))
        yield from _walk(path, name, selection)


def _walk(path: str, name: str, selection: Selection) -> Iterator[Part]:
    """Depth first with an explicit stack; a directory comes before its contents."""
    stack = [(path, name, 0)]
    while stack:
        at, shown, depth = stack.pop()
        try:
            follow = selection.dereference or (selection.dereference_args and depth == 0)
            info = os.stat(at) if follow else os.lstat(at)
            if stat.S_ISDIR(info.st_mode):
                if not selection.recursive:
                    raise CannotUpload(at, "it is a directory; use --recursive (-r) to add directories")
                if depth >= MAX_DEPTH:
                    raise CannotUpload(at, f"more than {MAX_DEPTH} directories deep")
                below = _names(at, shown, selection)
                yield Part(shown, DIRECTORY, b"", 0, *_metadata(info, selection))
                stack += [(os.path.join(at, one), f"{shown}/{one}", depth + 1) for one in reversed(below)]
            elif stat.S_ISLNK(info.st_mode):
                target = os.fsencode(os.readlink(at))
                yield Part(shown, SYMLINK, target, len(target), None, _metadata(info, selection)[1])
            elif stat.S_ISREG(info.st_mode):
                identity = identity_of(info) if selection.state_identities else ""
                yield Part(shown, FILE, at, info.st_size, *_metadata(info, selection), selection.state_paths, identity)
            else:
                raise CannotUpload(at, "it is neither a file, a directory nor a symlink")
        except OSError as exc:
            raise CannotUpload(at, (exc.strerror or str(exc)).lower()) from exc


def _metadata(info: os.stat_result, selection: Selection) -> tuple[int | None, int | None]:
    return (
        stat.S_IMODE(info.st_mode) or None if selection.preserve_mode else None,
        info.st_mtime_ns if selection.preserve_mtime else None,
    )


def identity_of(info: os.stat_result) -> str:
    """Identity of a file for a later run; "" for one with a time before 1970."""
    numbers = (info.st_dev, info.st_ino, info.st_size, info.st_mtime_ns, info.st_ctime_ns)
    return "-".join(map(str, numbers)) if min(numbers) >= 0 else ""


def _names(directory: str, shown: str, selection: Selection) -> list[str]:
    names = [name for name in os.listdir(directory) if selection.hidden or not name.startswith(".")]
    if selection.ignore:
        _, _, within = shown.partition("/")
        names = [name for name in names if not _left_out(directory, within, name, selection)]
    return sorted(names, key=os.fsencode)


def _left_out(directory: str, within: str, name: str, selection: Selection) -> bool:
    assert selection.ignore is not None  # checked by the caller
    at = os.path.join(directory, name)
    is_directory = os.path.isdir(at) and (selection.dereference or not os.path.islink(at))
    return selection.ignore.leaves_out(f"{within}/{name}" if within else name, is_directory=is_directory)


def content_type(boundary: str) -> str:
    return f"multipart/form-data; boundary={boundary}"


def encode_parts(parts: Iterator[Part], boundary: str, known: Mapping[str, int] | None = None) -> Iterator[bytes]:
    """The body, in chunks of at most READ_SIZE and some headers. Raises CannotUpload.

    ``known``: leading bytes of files, by identity, that the receiver has: they are left out.
    """
    for part in parts:
        # quote_bytes() leaves neither quotes nor backslashes, so the quoted string needs no escapes of its own.
        filename = quote_bytes(os.fsencode(part.name))
        yield (
            f'--{boundary}\r\nContent-Disposition: form-data; name="{_field(part)}"; filename="{filename}"\r\n'
            f"Content-Type: {part.kind}\r\n{_abspath(part)}{_state(part, has := _has(part, known))}\r\n"
        ).encode()
        if has != part.size or not has:
            yield from _content(part, has)
        yield b"\r\n"
    yield f"--{boundary}--\r\n".encode()


def _has(part: Part, known: Mapping[str, int] | None) -> int:
    """Leading bytes of a file that the receiver has."""
    return known.get(part.identity, 0) if known and part.identity else 0


def _state(part: Part, has: int) -> str:
    if not part.identity:
        return ""
    left_out = f"File-Has: {'all' if has == part.size else has}\r\n" if has else ""
    return f"File-Identity: {part.identity}\r\n{left_out}"


def _abspath(part: Part) -> str:
    if not part.states_path or not isinstance(part.source, str):
        return ""
    return f"Abspath-Encoded: {quote_bytes(os.fsencode(os.path.abspath(part.source)))}\r\n"


def _field(part: Part) -> str:
    """The name of the form field, with mode and time as Kubo's clients send them."""
    query: dict[str, str] = {}
    if part.mode is not None:
        query["mode"] = f"{part.mode:04o}"
    if part.mtime_ns is not None:
        seconds, nanoseconds = divmod(part.mtime_ns, 1_000_000_000)
        query["mtime"] = str(seconds)
        if nanoseconds:
            query["mtime-nsecs"] = str(nanoseconds)
    return "file?" + "&".join(f"{name}={text}" for name, text in query.items()) if query else "file"


def _content(part: Part, start: int = 0) -> Iterator[bytes]:
    if isinstance(part.source, bytes):
        yield part.source
        return
    if not isinstance(part.source, str):
        while chunk := part.source.read(READ_SIZE):
            yield chunk
        return
    assert part.size is not None  # walk_paths() sets it for files
    left = part.size - start
    try:
        with open(part.source, "rb", buffering=0) as file:
            file.seek(start)
            while left and (chunk := file.read(min(READ_SIZE, left))):
                left -= len(chunk)
                yield chunk
            if left or file.read(1):
                raise CannotUpload(part.source, "it changed while it was read; add it again when it is still")
    except OSError as exc:
        raise CannotUpload(part.source, (exc.strerror or str(exc)).lower()) from exc
