"""The directories of one add(), collected while their entries come in, written bottom-up at the end.

A finished entry is held as bytes: a quarter of the memory of its objects, and nothing for Python's cycle collector
to visit, which would hold the event loop for 100 ms at 100,000 entries.
"""

from collections.abc import Iterator

from cidery.core.adding.items import MAX_TREE_DEPTH, CannotAdd, TooDeep
from cidery.multiformats.cid import CID
from cidery.unixfs.directory import DirectoryEntry, Put, check_name, directory
from cidery.unixfs.layout import Child
from cidery.unixfs.metadata import Mtime
from cidery.unixfs.profile import Profile

_TSIZE = 8
"""Bytes of a cumulative size in a packed entry, in front of the CID."""


def _packed(child: Child) -> bytes:
    return child.tsize.to_bytes(_TSIZE, "big") + child.cid.encode()


class Folder:
    """One directory being collected."""

    __slots__ = ("entries", "mode", "mtime")

    def __init__(self, mode: int | None, mtime: Mtime | None) -> None:
        self.entries: dict[str, Folder | bytes] = {}
        """Directories being filled, and finished entries, packed."""
        self.mode = mode
        self.mtime = mtime


class AddTree:
    """Entries by path. The root is a nameless directory that holds the top-level entries."""

    def __init__(self, mode: int | None = None, mtime: Mtime | None = None) -> None:
        """``mode``, ``mtime``: for directories that no item describes."""
        self._mode = mode
        self._mtime = mtime
        self.root = Folder(mode, mtime)
        self._last: tuple[str, Folder] = ("", self.root)

    def put(self, name: str, child: Child) -> None:
        """Place a finished file or symlink. Raises BadName, CannotAdd for a name that is taken."""
        parent, _, last = name.rpartition("/")
        folder = self.folder(parent)
        if not parent:
            check_name(last)  # directory() checks those inside directories
        if last in folder.entries:
            raise CannotAdd(name, "two entries would have this name; add them one by one or rename one")
        folder.entries[last] = _packed(child)

    def put_folder(self, name: str, mode: int | None, mtime: Mtime | None) -> None:
        """Place a directory; an existing one stays. Raises BadName, CannotAdd, TooDeep."""
        if "/" not in name and name in self.root.entries:
            raise CannotAdd(name, "two entries would have this name; add them one by one or rename one")
        folder = self.folder(name)
        folder.mode, folder.mtime = mode, mtime

    def folder(self, path: str) -> Folder:
        """The directory at ``path``, created if missing."""
        if self._last[0] == path:
            return self._last[1]
        folder = self.root
        names = path.split("/") if path else []
        if len(names) > MAX_TREE_DEPTH:
            raise TooDeep(path)
        for name in names:
            found = folder.entries.get(name)
            if found is None:
                check_name(name)
                found = folder.entries[name] = Folder(self._mode, self._mtime)
            elif isinstance(found, bytes):
                raise CannotAdd(path, f"{name} is both a file and a directory")
            folder = found
        self._last = (path, folder)
        return folder

    def finish(
        self, profile: Profile, put: Put, *, wrap: bool, empty_dirs: bool = True
    ) -> Iterator[tuple[str, Folder, Child]]:
        """(path, folder, node) per directory, contents before containers, siblings by the bytes of their names.

        ``wrap``: the nameless root too, last. ``empty_dirs``: False leaves out directories inside others that have
        no entry. CPU-bound; iterate it in a thread. Blocks go to ``put``.
        """
        stack: list[tuple[str, str, Folder, Folder | None]] = [("", "", self.root, None)]
        order: list[tuple[str, str, Folder, Folder | None]] = []
        while stack:
            path, name, folder, parent = stack.pop()
            if not (folder.entries or empty_dirs) and parent is not None and "/" in path:
                del parent.entries[name]
                continue
            order.append((path, name, folder, parent))
            stack += [
                (f"{path}/{inner}" if path else inner, inner, entry, folder)
                for inner, entry in sorted(folder.entries.items(), key=_by_bytes)
                if isinstance(entry, Folder)
            ]
        for path, name, folder, parent in reversed(order):
            if parent is None and not wrap:
                return
            entries = [
                DirectoryEntry(inner, CID.decode(entry[_TSIZE:]), int.from_bytes(entry[:_TSIZE], "big"))
                for inner, entry in folder.entries.items()
                if isinstance(entry, bytes)
            ]
            child = directory(profile, entries, put, folder.mode, folder.mtime)
            if parent is not None:
                parent.entries[name] = _packed(child)
            yield path, folder, child


def _by_bytes(entry: tuple[str, object]) -> bytes:
    return entry[0].encode("utf-8", "surrogateescape")
