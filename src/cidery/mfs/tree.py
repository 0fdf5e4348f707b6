"""The tree of directories being edited: each open one holds its entries in memory, changed ones are written together.

Pure: every method that reads directories is a generator that asks for blocks. All requests come before the first
change, so one that is closed early has changed nothing and can be run again once the block is there.
"""

from collections.abc import Generator
from typing import TypeVar

from cidery.errors import InvalidInput, NotFound
from cidery.ipld.block import Block
from cidery.ipld.walk import Need, Prefetch
from cidery.mfs.path import FilePath
from cidery.multiformats.cid import CID
from cidery.multiformats.multihash import IDENTITY, decode_multihash
from cidery.multiformats.varint import Buffer
from cidery.unixfs.directory import DirectoryEntry
from cidery.unixfs.directory_editor import DirectoryEditor
from cidery.unixfs.layout import Child
from cidery.unixfs.node import Kind
from cidery.unixfs.profile import Profile
from cidery.unixfs.reader import read_node

R = TypeVar("R")
Step = Generator[Need | Prefetch, Buffer | None, R]
"""Asks for blocks, as a walk does; returns R."""


class NoSuchFile(NotFound):
    """Nothing has this path."""

    def __init__(self, path: FilePath) -> None:
        super().__init__(path)
        self.path = path

    def __str__(self) -> str:
        return f"{self.path}: file does not exist"


class AlreadyThere(InvalidInput):
    """The path is taken."""

    def __init__(self, path: FilePath, advice: str = "remove it first") -> None:
        super().__init__(path, advice)
        self.path = path
        self.advice = advice

    def __str__(self) -> str:
        return f"{self.path}: there is an entry of that name already; {self.advice}"


class WrongKind(InvalidInput):
    """A file where a directory is needed, or the other way round."""

    def __init__(self, path: FilePath, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


def formed_like(profile: Profile, cid: CID) -> Profile:
    """``profile`` with the CID version and hash of ``cid``; its raw leaves follow the version unless stated."""
    code = decode_multihash(cid.multihash)[0].code
    if code == IDENTITY:
        return profile
    return in_form(profile, cid.version, code)


def in_form(profile: Profile, version: int, hash_code: int) -> Profile:
    """``profile`` for another CID version and hash; raw leaves follow the version if the profile's do, too."""
    usual = profile.raw_leaves == (profile.cid_version == 1)
    raw = version == 1 if usual else profile.raw_leaves
    return profile._replace(cid_version=version, hash_code=hash_code, raw_leaves=raw)


class Folder:
    """One open directory."""

    __slots__ = ("dirty", "editor", "opened", "profile", "saved")

    def __init__(self, editor: DirectoryEditor, profile: Profile, saved: Child, *, dirty: bool = False) -> None:
        self.editor = editor
        self.profile = profile
        self.saved = saved
        """As last written."""
        self.dirty = dirty
        """Whether entries were changed since, other than those of ``opened``."""
        self.opened: dict[str, Folder] = {}
        """Open directories in it."""


def open_folder(profile: Profile, entry: Child) -> Step[Folder]:
    """Raises NotADirectory, UnixFSError, DagPbError."""
    editor = yield from DirectoryEditor.open(profile, entry.cid)
    return Folder(editor, profile, entry)


def new_folder(profile: Profile) -> tuple[Folder, Block]:
    """An empty directory and its block."""
    editor = DirectoryEditor(profile)
    finish = editor.finish()
    try:
        next(finish)
    except StopIteration as stop:
        edited = stop.value
        return Folder(editor, profile, edited.root), edited.blocks[0]
    raise AssertionError("an empty directory needs no blocks")


def folder_at(root: Folder, path: FilePath) -> Step[Folder]:
    """The open directory of a path, opened if necessary. Raises NoSuchFile, WrongKind, and as open_folder()."""
    folder = root
    for depth, name in enumerate(path.names, 1):
        inner = folder.opened.get(name)
        if inner is None:
            here = FilePath(path.names[:depth])
            entry = yield from folder.editor.find(name)
            if entry is None:
                raise NoSuchFile(here)
            node = yield from read_node(entry.cid)
            if node.kind is not Kind.DIRECTORY:
                raise WrongKind(here, f"a {node.kind.value}, not a directory")
            inner = yield from open_folder(formed_like(folder.profile, entry.cid), Child(entry.cid, 0, entry.tsize))
            folder.opened[name] = inner
        folder = inner
    return folder


def find(root: Folder, path: FilePath) -> Step[tuple[Folder, DirectoryEntry | None]]:
    """The directory that a path is in, and its entry as last written, None if there is none. Raises as folder_at()."""
    folder = yield from folder_at(root, path.parent)
    entry = yield from folder.editor.find(path.name)
    return folder, entry


def kind_of(cid: CID) -> Step[Kind]:
    node = yield from read_node(cid)
    return node.kind


def make_folders(
    root: Folder, path: FilePath, profile: Profile | None, *, parents: bool = True, exist_ok: bool = True
) -> Step[list[Block]]:
    """Make a directory, in the form of ``profile`` or of its parent; returns the blocks to store.

    Args:
        parents: make missing parents, too.
        exist_ok: whether it may exist already.
    Raises:
        AlreadyThere, NoSuchFile, WrongKind, and as open_folder().
    """
    folder, depth = root, 0
    while depth < len(path.names):
        here = FilePath(path.names[: depth + 1])
        if (yield from folder.editor.find(here.name)) is None:
            break
        if not exist_ok and here.names == path.names:
            raise AlreadyThere(path, "use --parents if a directory there is fine")
        folder = yield from folder_at(root, here)
        depth += 1
    if depth < len(path.names) - 1 and not parents:
        raise NoSuchFile(FilePath(path.names[: depth + 1]))
    blocks: list[Block] = []
    for name in path.names[depth:]:
        inner, block = new_folder(profile or folder.profile)
        yield from put(folder, DirectoryEntry(name, inner.saved.cid, inner.saved.tsize))
        folder.opened[name] = inner
        blocks.append(block)
        folder = inner
    return blocks


def put(folder: Folder, entry: DirectoryEntry) -> Step[None]:
    """Add or replace an entry."""
    yield from folder.editor.insert(entry)
    folder.opened.pop(entry.name, None)
    folder.dirty = True


def take(folder: Folder, name: str) -> Step[DirectoryEntry]:
    """Remove an entry. Raises NoSuchEntry."""
    entry = yield from folder.editor.remove(name)
    folder.opened.pop(name, None)
    folder.dirty = True
    return entry


def from_below(root: Folder) -> list[tuple[Folder | None, str, Folder]]:
    """(parent, name, directory) of all open directories, inner ones first, the root last."""
    order: list[tuple[Folder | None, str, Folder]] = [(None, "", root)]
    at = 0
    while at < len(order):
        folder = order[at][2]
        order += [(folder, name, inner) for name, inner in folder.opened.items()]
        at += 1
    order.reverse()
    return order
