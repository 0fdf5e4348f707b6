"""What Node, Client and open() can all do: the methods of a node, and its groups of methods."""

from __future__ import annotations

from contextlib import aclosing
from functools import cached_property

from cidery.methods.caller import NoAnswer, path_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os
    from collections.abc import AsyncGenerator, Callable, Sequence
    from pathlib import Path

    from cidery.core.diagnosis.text import Report
    from cidery.core.reading.ls import LsEntry
    from cidery.methods.caller import Caller, Value
    from cidery.methods.dag import Block, Car, Dag
    from cidery.methods.files import Files
    from cidery.methods.key import Key
    from cidery.methods.name import Name
    from cidery.methods.pin import Pin
    from cidery.methods.pubsub import Pubsub
    from cidery.methods.repo import Bootstrap, Config, Jobs, Repo, Stats
    from cidery.methods.results import AddProgress, GetProgress, Identity, Ref
    from cidery.methods.sources import Source
    from cidery.methods.swarm import Routing, Swarm
    from cidery.multiformats.cid import CID

WHY_SHARE = 0.9
"""Fraction of its --timeout that `why` spends looking."""


class Surface:
    """The methods of a node. Paths are a CID, or text: CID/a/b, /ipfs/CID/a/b, /ipns/NAME/a/b, ipfs://CID/a/b.

    All raise CideryError. An iterator that is left early should be closed (``contextlib.aclosing``): that ends the
    work at once; else Python's collector of garbage does.
    """

    @property
    def _caller(self) -> Caller:
        raise NotImplementedError

    async def add(
        self,
        source: Source,
        *,
        hidden: bool = False,
        wrap: bool = False,
        only_hash: bool = False,
        pin: bool = True,
        name: str = "",
        profile: str = "",
        chunker: str = "",
        ignore: Sequence[str] = (),
        progress: Callable[[AddProgress], None] | None = None,
    ) -> CID:
        """Add a file or folder (a path), bytes, or a stream of bytes; durable on return.

        Args:
            hidden: include names with a leading dot inside folders.
            wrap: wrap it in one more directory, so that its name is kept.
            only_hash: compute the CID, store nothing.
            name: the name of bytes or a stream in that directory.
            profile: rules that decide the CID ("unixfs-v1-2025", "unixfs-v0-2015"); "": those of the Import section of
                the config.
            chunker: how files are cut ("size-1048576", "rabin", "buzhash", "fastcdc").
            ignore: leave out entries that match these patterns, as in .gitignore.
            progress: called as bytes of big files are read.
        Raises:
            CannotAdd, NotAddable, ImportOptionError, and as the store (disk full, read-only).
        Cancellation: safe; nothing stays pinned. A folder that is added again resumes.
        """
        from cidery.core.adding.items import CannotAdd
        from cidery.multiformats.cid import CID

        events = self._caller.added(
            source,
            name,
            hidden=hidden,
            ignore=ignore,
            recursive=True,
            wrap_with_directory=wrap,
            only_hash=only_hash,
            pin=pin,
            cid_profile=profile or None,
            chunker=chunker or None,
            progress=progress is not None,
        )
        last: str | None = None
        async with aclosing(events):
            async for event in events:
                last = event.get("Hash", last)
                if "Bytes" in event and progress is not None:
                    from cidery.methods.results import AddProgress

                    progress(AddProgress(event.get("Name", ""), event["Bytes"]))
        if last is None:
            raise CannotAdd(str(source)[:80], "there is nothing in it")
        return CID.parse(last)

    async def cat(
        self, path: str | CID, offset: int = 0, length: int | None = None
    ) -> AsyncGenerator[bytes | memoryview, None]:
        """The bytes of a file in order, ``[offset, offset+length)``; only the blocks needed are read or fetched.

        Raises:
            PathError, NotAFile, NotFound, InvalidInput (negative numbers).
        Cancellation: safe.
        """
        async with aclosing(self._caller.chunks("cat", path_text(path), offset=offset, length=length)) as chunks:
            async for chunk in chunks:
                yield chunk

    async def read(self, path: str | CID, offset: int = 0, length: int | None = None) -> bytes:
        """As cat(), as one object."""
        async with aclosing(self.cat(path, offset, length)) as chunks:
            return b"".join([chunk async for chunk in chunks])

    async def get(
        self,
        path: str | CID,
        target: str | os.PathLike[str],
        *,
        progress: Callable[[GetProgress], None] | None = None,
    ) -> Path:
        """Save a file or folder as ``target``; returns it. Nothing is written outside; a repeated call resumes.

        ``progress``: called as files are written.

        Raises:
            PathError, NotFound, UnsafeName, InTheWay, CannotWrite.
        Cancellation: safe; complete files stay.
        """
        raise NotImplementedError

    async def peer_id(self) -> str:
        """The peer id of the node."""
        return (await self.id()).id

    async def id(self, peer: str = "") -> Identity:
        """What the node says about itself; or a peer, which is dialled. Raises NoNetwork for a peer, when offline."""
        from cidery.methods.results import Identity

        async with aclosing(self._caller.values("id", *([peer] if peer else []))) as values:
            async for value in values:
                return Identity(
                    value["ID"],
                    value["PublicKey"],
                    tuple(value["Addresses"]),
                    value["AgentVersion"],
                    tuple(value["Protocols"]),
                )
        raise NoAnswer("id")

    async def resolve(self, path: str | CID, *, recursive: bool = True) -> str:
        """The path with a CID that a path leads to: names are resolved, and directories are entered.

        ``recursive``: False follows one name alone. Raises PathError, NotFound, NameNotFound.
        """
        async with aclosing(self._caller.values("resolve", path_text(path), recursive=recursive)) as values:
            async for value in values:
                return str(value["Path"])
        raise NoAnswer("resolve")

    async def refs(
        self,
        *paths: str | CID,
        recursive: bool = False,
        unique: bool = False,
        max_depth: int = -1,
        limit: int | None = None,
        after: str = "",
    ) -> AsyncGenerator[Ref, None]:
        """The links of blocks.

        Args:
            recursive: those of the blocks below too, at most ``max_depth`` links deep; -1: no bound.
            unique: each target once.
            limit: most links (1 to 10,000), of one path.
            after: only links behind this one: ``Ref.at`` of the last of the page before.
        Raises: PathError, NotFound, BadPlace.
        """
        from cidery.methods.results import Ref
        from cidery.multiformats.cid import CID

        values = self._caller.values(
            "refs",
            *map(path_text, paths),
            format="<src> <dst> <linkname>",
            recursive=recursive,
            unique=unique,
            max_depth=max_depth,
            limit=limit,
            after=after or None,
        )
        async with aclosing(values):
            async for value in values:
                source, target, name = value["Ref"].split(" ", 2)
                yield Ref(CID.parse(source), CID.parse(target), name, value.get("At", ""))

    async def ls(self, path: str | CID, *, limit: int | None = None, after: str = "") -> list[LsEntry]:
        """The entries of a directory, in stored order: by name, or of a large one by the hashes of the names.

        Args:
            limit: most entries (1 to 10,000), then always in the order of the hashes.
            after: only entries behind this name, the last of the page before.
        Raises: PathError, NotFound.
        """
        from cidery.methods.listing import entry_of

        async with aclosing(self._listed(path_text(path), limit, after)) as values:
            return [entry_of(link) async for value in values for one in value["Objects"] for link in one["Links"]]

    def _listed(self, path: str, limit: int | None, after: str) -> AsyncGenerator[Value, None]:
        return self._caller.values("ls", path, stream=True, long=True, limit=limit, after=after or None)

    async def why(self, path: str | CID, *, seconds: float = 10.0) -> Report:
        """The state of a CID: stored, announced, reachable; which peers have it, where it stalls, what to do.

        Takes at most ``seconds``; nothing is fetched. ``print()`` it. Raises PathError and as the store.
        Cancellation: safe.
        """
        from cidery.core.diagnosis.text import Finding, report_of

        async with aclosing(self._caller.values("why", path_text(path), timeout=seconds / WHY_SHARE)) as values:
            found = [Finding(one["Type"], one["Text"], one["Details"]) async for one in values]
        if not found:
            raise NoAnswer("why")
        return report_of(found)

    @cached_property
    def pin(self) -> Pin:
        """What is kept from being collected as garbage."""
        from cidery.methods.pin import Pin

        return Pin(self._caller)

    @cached_property
    def files(self) -> Files:
        """Mutable files and directories."""
        from cidery.methods.files import Files

        return Files(self._caller)

    @cached_property
    def name(self) -> Name:
        """Names that can change what they point to (IPNS)."""
        from cidery.methods.name import Name

        return Name(self._caller)

    @cached_property
    def key(self) -> Key:
        """Keys, each of which owns a name."""
        from cidery.methods.key import Key

        return Key(self._caller)

    @cached_property
    def dag(self) -> Dag:
        """Values of any codec."""
        from cidery.methods.dag import Dag

        return Dag(self._caller)

    @cached_property
    def block(self) -> Block:
        """Raw blocks."""
        from cidery.methods.dag import Block

        return Block(self._caller)

    @cached_property
    def car(self) -> Car:
        """CAR archives."""
        from cidery.methods.dag import Car

        return Car(self._caller)

    @cached_property
    def swarm(self) -> Swarm:
        """Connections to peers."""
        from cidery.methods.swarm import Swarm

        return Swarm(self._caller)

    @cached_property
    def routing(self) -> Routing:
        """Who has what, and where peers are."""
        from cidery.methods.swarm import Routing

        return Routing(self._caller)

    @cached_property
    def pubsub(self) -> Pubsub:
        """Messages to the listeners of a topic."""
        from cidery.methods.pubsub import Pubsub

        return Pubsub(self._caller)

    @cached_property
    def repo(self) -> Repo:
        """The repository."""
        from cidery.methods.repo import Repo

        return Repo(self._caller)

    @cached_property
    def config(self) -> Config:
        """The config file."""
        from cidery.methods.repo import Config

        return Config(self._caller)

    @cached_property
    def bootstrap(self) -> Bootstrap:
        """The peers that are dialled first."""
        from cidery.methods.repo import Bootstrap

        return Bootstrap(self._caller)

    @cached_property
    def jobs(self) -> Jobs:
        """Long operations; ``await node.jobs()`` lists them."""
        from cidery.methods.repo import Jobs

        return Jobs(self._caller)

    @cached_property
    def stats(self) -> Stats:
        """Counters."""
        from cidery.methods.repo import Stats

        return Stats(self._caller)
