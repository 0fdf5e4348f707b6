"""The CID of a file, a folder or bytes, without storing anything.

Spec: https://specs.ipfs.tech/unixfs/, IPIP-499
"""

from __future__ import annotations

import os

from cidery.core.adding.items import CannotAdd, File, Folder, Link, NotAddable, ScanOptions, mtime_of, scan
from cidery.core.adding.tree import AddTree
from cidery.unixfs.importer import FileBuilder, leaf, symlink
from cidery.unixfs.profile import profile as profile_named
from cidery.unixfs.profile import with_options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import BinaryIO

    from cidery.ipld.block import Block
    from cidery.multiformats.cid import CID
    from cidery.multiformats.varint import Buffer
    from cidery.unixfs.chunker import Chunker
    from cidery.unixfs.layout import Child
    from cidery.unixfs.metadata import Mtime
    from cidery.unixfs.profile import Profile

READ_SIZE = 4 << 20
"""Bytes of a file read at a time when it is cut by content."""


def cid_of(
    source: str | os.PathLike[str] | Buffer,
    *,
    profile: str = "unixfs-v1-2025",
    wrap: bool = False,
    hidden: bool = False,
    ignore: Sequence[str] = (),
    chunker: str = "",
    cid_version: int | None = None,
    raw_leaves: bool | None = None,
    hash: str = "",
    max_links: int | None = None,
    trickle: bool | None = None,
    preserve_mode: bool = False,
    preserve_mtime: bool = False,
) -> CID:
    """The CID of a file or folder (a path) or of bytes: that of ``cidery add --only-hash`` with the same options.

    Args:
        profile: "unixfs-v1-2025" or "unixfs-v0-2015"; what follows changes it.
        wrap: that of a directory which holds it under its name.
        hidden: include names with a leading dot inside folders.
        ignore: leave out entries that match these patterns, as in .gitignore.
        chunker: how files are cut: "size-262144", "rabin", "buzhash", "fastcdc" with their numbers.
        max_links: of a node of a file.
        preserve_mode, preserve_mtime: include permissions and times of modification (without raw leaves).
    Raises:
        CannotAdd, NotAddable, TooDeep, BadName, ImportOptionError.
    Cost: one pass over the bytes, at the speed of the hash; memory O(names) and a few MiB.
    """
    rules = with_options(
        profile_named(profile),
        version_stated=True,
        cid_version=cid_version,
        raw_leaves=raw_leaves,
        chunker=chunker or None,
        max_links=max_links,
        hash_name=hash or None,
        stores_metadata=preserve_mode or preserve_mtime,
        trickle=trickle,
    )
    if isinstance(source, bytes | bytearray | memoryview):
        return _of_bytes(rules, source, wrap)
    if not isinstance(source, str | os.PathLike):
        raise NotAddable(type(source).__name__)
    options = ScanOptions(hidden=hidden, preserve_mode=preserve_mode, preserve_mtime=preserve_mtime)
    if ignore:
        from cidery.core.adding.ignore_rules import IgnoreRules

        options = options._replace(ignore=IgnoreRules(list(ignore)) or None)
    return cid_by(source, rules, options, wrap=wrap)


def _of_bytes(rules: Profile, data: Buffer, wrap: bool) -> CID:
    child = _built(rules, _cut(rules, data))
    if not wrap:
        return child.cid
    tree = AddTree()
    tree.put(str(child.cid), child)
    return _root(tree, rules, wrap=True)


def _cut(rules: Profile, data: Buffer) -> Iterator[Buffer]:
    view, at = memoryview(data), 0
    while at < len(view):
        end = at + rules.chunk_size if rules.chunker is None else rules.chunker.next_cut(data, at)
        yield view[at:end]
        at = end


def cid_by(source: str | os.PathLike[str], rules: Profile, options: ScanOptions, *, wrap: bool = False) -> CID:
    """The CID of a file or folder by these rules. Raises as cid_of()."""
    tree = AddTree()
    only: CID | None = None
    for item in scan(source, options):
        match item:
            case Folder():
                tree.put_folder(item.name, item.mode, item.mtime)
                continue
            case Link():
                child = symlink(rules, item.target, item.mtime if options.preserve_mtime else None)[0]
            case File():
                child = _file(item, rules, options)
            case _:
                raise AssertionError("scan() finds nothing else")
        tree.put(item.name, child)
        only = child.cid if "/" not in item.name else only
    return only if only is not None and not wrap else _root(tree, rules, wrap=wrap)


def _root(tree: AddTree, rules: Profile, *, wrap: bool) -> CID:
    root: CID | None = None
    for _, _, child in tree.finish(rules, _drop, wrap=wrap):
        root = child.cid
    assert root is not None  # scan() gives at least one item
    return root


def _drop(block: Block) -> None:
    """Nothing is stored."""


def _file(item: File, rules: Profile, options: ScanOptions) -> Child:
    try:
        with open(item.path, "rb", buffering=0) as file:
            found = os.fstat(file.fileno())
            mode = found.st_mode & 0o7777 or None if options.preserve_mode else None
            mtime = mtime_of(found) if options.preserve_mtime else None
            return _built(rules, chunks_of(file, rules), mode, mtime)
    except OSError as exc:
        raise CannotAdd(item.path, (exc.strerror or str(exc)).lower()) from exc


def _built(rules: Profile, chunks: Iterable[Buffer], mode: int | None = None, mtime: Mtime | None = None) -> Child:
    builder = FileBuilder(rules, mode, mtime)
    if mode is None and mtime is None:
        for chunk in chunks:
            builder.add_leaf(leaf(rules, chunk)[0])
    else:
        for chunk in chunks:
            builder.add_chunk(chunk)
    return builder.finish()[0]


def chunks_of(file: BinaryIO, rules: Profile) -> Iterator[bytes]:
    """An open file, cut as ``rules`` say. Raises OSError."""
    if rules.chunker is not None:
        yield from _by_content(file, rules.chunker)
        return
    while chunk := read_up_to(file, rules.chunk_size):
        yield chunk


def read_up_to(file: BinaryIO, size: int) -> bytes:
    """So many bytes; fewer only at the end of the file."""
    data = file.read(size)
    while data and len(data) < size and (more := file.read(size - len(data))):
        data += more
    return data


def _by_content(file: BinaryIO, chunker: Chunker) -> Iterator[bytes]:
    data, ended = b"", False
    while not ended:
        more = read_up_to(file, READ_SIZE + chunker.max_size)
        ended = len(more) < READ_SIZE + chunker.max_size
        data, at = data + more, 0
        while at < len(data) and (ended or len(data) - at >= chunker.max_size):
            end = chunker.next_cut(data, at)
            yield data[at:end]
            at = end
        data = data[at:]
