"""Mutable files against a dict: any sequence of operations leaves the tree that the same on a dict of paths leaves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from cidery.blockstore.drive import run
from cidery.blockstore.memory import MemoryStore
from cidery.core.adding.add import AddOptions, add_root
from cidery.core.adding.items import Folder
from cidery.core.session import StoreSession
from cidery.errors import InvalidInput, NotFound
from cidery.ipld.walk import need
from cidery.mfs import changes
from cidery.mfs.blocks import read_bytes
from cidery.mfs.files import MutableFiles
from cidery.mfs.path import FilePath
from cidery.mfs.protection import Protection
from cidery.mfs.writing import Writing, write
from cidery.multiformats.cid import CID
from cidery.multiformats.varint import Buffer
from cidery.unixfs.node import Kind
from cidery.unixfs.profile import UNIXFS_V1_2025
from cidery.unixfs.tree import walk_tree

# Tiny bounds, so that a few names make a directory shard and a few bytes make a file of several nodes
PROFILE = UNIXFS_V1_2025._replace(chunk_size=4, shard_threshold=100, hamt_fanout=8)
NAMES = [*"abcd", "ü"]
paths = st.lists(st.sampled_from(NAMES), min_size=1, max_size=3).map(tuple)
contents = st.binary(max_size=20)
picks = st.integers(0, 1 << 16)


class Record:
    """The root in memory."""

    def __init__(self) -> None:
        self.cid: CID | None = None

    def get(self) -> CID | None:
        return self.cid

    async def set(self, root: CID) -> None:
        self.cid = root


class _Running:
    class record:  # noqa: N801  # stands for RunningOperation.record
        roots = ()

    async def protect(self, *roots: CID) -> None:
        return None


class NoRecords:
    """No operation is ever left over."""

    def left_over(self) -> list[Any]:
        return []


@asynccontextmanager
async def _no_record(kind: str) -> AsyncIterator[_Running]:
    yield _Running()


class MfsModel(RuleBasedStateMachine):
    """``model``: path -> bytes of a file, None for a directory."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.store = MemoryStore()
        self.record = Record()
        self.model: dict[tuple[str, ...], bytes | None] = {(): None}
        self.files: MutableFiles

    def teardown(self) -> None:
        self.the_tree_is_the_model()
        self.do(self.files.close())
        self.loop.close()

    def do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(work)

    def attempt(self, work: Coroutine[Any, Any, Any], fine: bool) -> bool:
        """Run an operation that must succeed or must be refused."""
        if fine:
            self.do(work)
            return True
        with pytest.raises((InvalidInput, NotFound)):
            self.do(work)
        return False

    @property
    def session(self) -> StoreSession:
        return StoreSession(self.store)

    @initialize()
    def open(self) -> None:
        protection = Protection(NoRecords(), _no_record)  # type: ignore[arg-type]
        self.files = MutableFiles(self.store, self.record, protection, lambda: self.session, lambda: PROFILE)  # type: ignore[arg-type]

    def reopen(self) -> None:
        """What was closed in order is all there."""
        self.do(self.files.close())
        self.open()

    @rule(kind=st.sampled_from(["look", "flush", "reopen", "compare"]))
    def settle(self, kind: str) -> None:
        """Seldom, and not after each step: all of these write the changed directories."""
        match kind:
            case "look":
                self.the_tree_is_the_model()
            case "flush":
                self.do(self.files.flush())
            case "reopen":
                self.reopen()
            case _:
                self.directories_have_the_cid_of_new_ones()

    def picked(self, pick: int) -> tuple[str, ...]:
        """A path that exists, mostly."""
        known = sorted((path for path in self.model if path), key=lambda path: (self.model[path] is not None, path))
        return known[pick % len(known)] if known and pick % 8 != 7 else (NAMES[pick % len(NAMES)],)

    def place(self, pick: int, name: str) -> tuple[str, ...]:
        """A path in a directory that exists."""
        folders = sorted(path for path, data in self.model.items() if data is None)
        return (*folders[pick % len(folders)], name)

    def folder(self, path: tuple[str, ...]) -> bool:
        return path in self.model and self.model[path] is None

    def reachable(self, path: tuple[str, ...]) -> bool:
        """Whether directories could be made above it: no file is in the way."""
        return all(self.model.get(path[:depth]) is None for depth in range(len(path)))

    def make_above(self, path: tuple[str, ...]) -> None:
        for depth in range(1, len(path)):
            self.model.setdefault(path[:depth], None)

    @rule(path=paths, parents=st.booleans(), flush=st.booleans())
    def mkdir(self, path: tuple[str, ...], parents: bool, flush: bool) -> None:
        if parents:
            fine = self.reachable((*path, ""))
        else:
            fine = path not in self.model and self.folder(path[:-1])
        work = changes.mkdir(self.files, self.session, FilePath(path), parents=parents, flush=flush)
        if self.attempt(work, fine):
            self.make_above((*path, ""))

    @rule(pick=picks, name=st.sampled_from(NAMES), data=contents)
    def write_into(self, pick: int, name: str, data: bytes) -> None:
        """Into a directory that exists."""
        self.write_at(self.place(pick, name), data, 0, False, False)

    @rule(path=paths, data=contents, offset=st.integers(0, 24), parents=st.booleans(), truncate=st.booleans())
    def write(self, path: tuple[str, ...], data: bytes, offset: int, parents: bool, truncate: bool) -> None:
        self.write_at(path, data, offset, parents, truncate)

    def write_at(self, path: tuple[str, ...], data: bytes, offset: int, parents: bool, truncate: bool) -> None:
        above = self.reachable(path) if parents else self.folder(path[:-1])
        fine = above and not self.folder(path)

        async def source() -> AsyncIterator[Buffer]:
            yield data[:5]
            yield data[5:]

        how = Writing(offset=offset, create=True, parents=parents, truncate=truncate)
        work = write(self.files, self.session, FilePath(path), source(), how, flush=len(data) % 4 == 3)
        if self.attempt(work, fine):
            self.make_above(path)
            old = b"" if truncate else self.model.get(path) or b""
            old = old.ljust(offset, b"\0")
            self.model[path] = old[:offset] + data + old[offset + len(data) :]

    @rule(pick=picks, recursive=st.booleans())
    def remove(self, pick: int, recursive: bool) -> None:
        path = self.picked(pick)
        fine = path in self.model and (recursive or not self.folder(path))
        work = changes.remove(self.files, self.session, FilePath(path), recursive=recursive)
        if self.attempt(work, fine):
            self.model = {other: data for other, data in self.model.items() if other[: len(path)] != path}

    @rule(pick=picks, into=picks, name=st.sampled_from(NAMES))
    def move(self, pick: int, into: int, name: str) -> None:
        source, goal = self.picked(pick), self.place(into, name)
        to = (*goal, source[-1]) if self.folder(goal) and goal != source else goal
        fine = source in self.model and self.folder(to[:-1])
        if to != source:
            fine = fine and to[: len(source)] != source
            # a file of that name is replaced at the path itself, and is in the way inside a directory
            fine = fine and (to not in self.model or (to == goal and not self.folder(to)))
        work = changes.move(self.files, self.session, FilePath(source), FilePath(goal), flush=name == NAMES[-1])
        if self.attempt(work, fine) and to != source:
            moved = {other: data for other, data in self.model.items() if other[: len(source)] == source}
            self.model = {other: data for other, data in self.model.items() if other not in moved and other != to}
            self.model |= {to + other[len(source) :]: data for other, data in moved.items()}

    @rule(pick=picks, into=picks, name=st.sampled_from(NAMES), force=st.booleans())
    def copy(self, pick: int, into: int, name: str, force: bool) -> None:
        source, goal = self.picked(pick), self.place(into, name)
        if source not in self.model:
            return
        fine = self.folder(goal[:-1]) and (goal not in self.model or (force and not self.folder(goal)))
        cid = self.do(self.files.resolve(self.session, FilePath(source)))
        work = changes.copy_in(self.files, self.session, cid, FilePath(goal), force=force, flush=force)
        if self.attempt(work, fine):
            copied = {other: data for other, data in self.model.items() if other[: len(source)] == source}
            self.model |= {goal + other[len(source) :]: data for other, data in copied.items()}

    def the_tree_is_the_model(self) -> None:
        assert self.do(self.listed()) == self.model

    async def listed(self) -> dict[tuple[str, ...], bytes | None]:
        root = await self.files.root()
        blocks = self.files.over(self.session)
        found: dict[tuple[str, ...], bytes | None] = {}
        walk = walk_tree(root)
        answer: Buffer | None = None
        while True:
            try:
                step = walk.send(answer)
            except StopIteration:
                return found
            answer = None
            if hasattr(step, "cids"):
                continue
            if not hasattr(step, "path"):
                answer = await run(need(step.cid), blocks)
            elif step.kind is Kind.DIRECTORY:
                found[step.path] = None
            else:
                parts = [bytes(part) async for part in read_bytes(step.cid, blocks, 0, 1 << 20)]
                found[step.path] = b"".join(parts)

    def directories_have_the_cid_of_new_ones(self) -> None:
        """Of the same files: whatever was edited, sharded and unsharded before."""
        root = self.do(self.files.root())
        self.do(self.files.flush())
        assert self.record.cid == root
        if all(data is None for data in self.model.values()):
            items = [Folder("t/" + "/".join(path)) for path in self.model if path]
            built = self.do(add_root([Folder("t"), *items], MemoryStore(), AddOptions(PROFILE)))
            assert built == root


MfsModel.TestCase.settings = settings(max_examples=150, stateful_step_count=25, deadline=None, derandomize=True)
TestMfsModel = MfsModel.TestCase
