"""A recording file layer, and the states that a power cut could leave at any moment of a recorded run.

SIGKILL does not test power loss: the page cache survives it. CrashFiles executes every operation and records it in a
Trace. crash_states() then builds the directories that a cut at random moments could leave: synced data is there;
each write after the last sync of its file is whole, lost, torn or zeroed, independently; a file whose directory was not
synced may be missing; the index is in the state of one of its commits, because LMDB syncs its own file.
"""

import random
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from cidery.disk.platform_io import OsFiles, SyncPoint
from cidery.multiformats.varint import Buffer

INDEX_FILE = "data.mdb"


class Created(NamedTuple):
    name: str


class Written(NamedTuple):
    name: str
    offset: int
    data: bytes


class Truncated(NamedTuple):
    name: str
    size: int


class Removed(NamedTuple):
    """A deleted name; certain once the directory is synced."""

    name: str


class Renamed(NamedTuple):
    """A file took the name of another; certain once the directory is synced."""

    name: str
    target: str


class Synced(NamedTuple):
    name: str


class NamesSynced(NamedTuple):
    pass


class Committed(NamedTuple):
    """The index file after a commit."""

    content: bytes


class Noted(NamedTuple):
    """A mark by the test, e.g. that a block was acknowledged."""

    what: object


Event = Created | Written | Truncated | Removed | Renamed | Synced | NamesSynced | Committed | Noted


class Trace:
    """The events, in order. Thread-safe."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._lock = threading.Lock()

    def add(self, event: Event) -> None:
        with self._lock:
            self.events.append(event)


class CrashFiles(OsFiles):
    """Executes and records. One directory of files and one index; names are recorded without the directory."""

    def __init__(self, trace: Trace, *, left_out: SyncPoint | None = None) -> None:
        """``left_out``: a sync point that is skipped, to prove that the replay would notice."""
        self._trace = trace
        self._left_out = left_out
        self._names: dict[int, str] = {}
        self.recording = True
        """Set to False when the process counts as killed: later operations are not in the trace."""

    def _record(self, event: Event) -> None:
        if self.recording:
            self._trace.add(event)

    def open(self, path: Path, *, write: bool, create: bool = False) -> int:
        fd = super().open(path, write=write, create=create)
        self._names[fd] = path.name
        if create:
            self._record(Created(path.name))
        return fd

    def write(self, fd: int, parts: Sequence[Buffer], offset: int) -> None:
        super().write(fd, parts, offset)
        self._record(Written(self._names[fd], offset, b"".join(parts)))

    def truncate(self, fd: int, size: int) -> None:
        super().truncate(fd, size)
        self._record(Truncated(self._names[fd], size))

    def remove(self, path: Path) -> None:
        super().remove(path)
        self._record(Removed(path.name))

    def replace(self, path: Path, target: Path) -> None:
        super().replace(path, target)
        self._names = {fd: target.name if name == path.name else name for fd, name in self._names.items()}
        self._record(Renamed(path.name, target.name))

    def sync(self, fd: int, point: SyncPoint) -> None:
        if point is not self._left_out:
            self._record(Synced(self._names[fd]))

    def sync_directory(self, path: Path, point: SyncPoint) -> None:
        if point is not self._left_out:
            self._record(NamesSynced())

    def committed(self, environment: Path) -> None:
        self._record(Committed((environment / INDEX_FILE).read_bytes()))


class UnsyncedFiles(OsFiles):
    """Skips all syncs: for opening a replayed state, which nothing will cut again."""

    def sync(self, fd: int, point: SyncPoint) -> None:
        pass

    def sync_directory(self, path: Path, point: SyncPoint) -> None:
        pass


class CrashState(NamedTuple):
    """The contents of the disk after a power cut."""

    moment: int
    """Number of events before it."""
    files: dict[str, bytes]
    index_file: bytes | None
    """None: it did not exist yet."""

    def write_to(self, files: Path, index: Path) -> None:
        """Write the state into two directories, created if missing."""
        for directory in (files, index):
            directory.mkdir(parents=True, exist_ok=True)
        for name, content in self.files.items():
            (files / name).write_bytes(content)
        if self.index_file is not None:
            (index / INDEX_FILE).write_bytes(self.index_file)


@dataclass(slots=True)
class _File:
    durable: bytes = b""
    loose: list[Written | Truncated] = field(default_factory=list)
    named: bool = False
    removed: bool = False
    replaced: "_File | None" = None
    """The file that still has the name, unless the directory was synced."""

    def after(self, fate: Callable[[Written | Truncated], Written | Truncated | None]) -> bytes:
        content = bytearray(self.durable)
        for event in self.loose:
            match fate(event):
                case Written(_, offset, data):
                    content.extend(bytes(max(0, offset - len(content))))
                    content[offset : offset + len(data)] = data
                case Truncated(_, size):
                    del content[size:]
        return bytes(content)


@dataclass(slots=True)
class Disk:
    """The state of the disk at one moment of the trace."""

    files: dict[str, _File] = field(default_factory=dict)
    indexes: list[bytes] = field(default_factory=list)

    def apply(self, event: Event) -> None:
        match event:
            case Created(name):
                self.files[name] = _File()
            case Written() | Truncated():
                self.files[event.name].loose.append(event)
            case Synced(name):
                file = self.files[name]
                file.durable, file.loose = file.after(lambda loose: loose), []
            case Removed(name):
                self.files[name].removed = True
            case Renamed(name, target):
                file = self.files.pop(name)
                file.replaced = self.files[target]
                self.files[target] = file
            case NamesSynced():
                self.files = {name: file for name, file in self.files.items() if not file.removed}
                for file in self.files.values():
                    file.named, file.replaced = True, None
            case Committed(content):
                self.indexes.append(content)

    def cut(self, rng: random.Random, moment: int, *, any_index: bool) -> CrashState:
        """The power fails: decide the fate of everything unsynced."""
        mood = rng.choice(("mixed", "mixed", "all lost", "all whole"))
        files = {}
        for name, file in self.files.items():
            if file.removed and (mood == "all whole" or (mood == "mixed" and rng.random() < 0.5)):
                continue
            if file.replaced is not None:  # a name always leads to one of the two
                renamed = mood == "all whole" or (mood == "mixed" and rng.random() < 0.5)
                files[name] = (file if renamed else file.replaced).after(lambda event: _fate(event, rng, mood))
                continue
            if file.named or mood == "all whole" or (mood == "mixed" and rng.random() < 0.5):
                files[name] = file.after(lambda event: _fate(event, rng, mood))
        index = None
        if self.indexes:
            index = rng.choice(self.indexes) if any_index else self.indexes[-1]
        return CrashState(moment, files, index)


def _fate(event: Written | Truncated, rng: random.Random, mood: str) -> Written | Truncated | None:
    chosen = rng.choice(("whole", "lost", "torn", "zeroed"))
    if mood == "all whole" or (mood == "mixed" and chosen == "whole"):
        return event
    if mood == "all lost" or chosen == "lost" or isinstance(event, Truncated):
        return None
    if chosen == "torn":
        return event._replace(data=event.data[: rng.randrange(len(event.data))])
    return event._replace(data=bytes(len(event.data)))


def crash_states(
    events: Sequence[Event], rng: random.Random, count: int, *, any_index: bool = False
) -> Iterator[CrashState]:
    """``count`` states of cuts at random moments of the trace, in order of the moments.

    Args:
        any_index: use the index of any commit so far, not of the last: more than LMDB needs, for stores that recover
            from that too.
    """
    moments = sorted(rng.randrange(len(events) + 1) for _ in range(count))
    disk, done = Disk(), 0
    for moment in moments:
        for event in events[done:moment]:
            disk.apply(event)
        done = moment
        yield disk.cut(rng, moment, any_index=any_index)
