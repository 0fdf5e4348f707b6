"""node.dag, node.block and node.car: values of any codec, raw blocks, and archives of them."""

from __future__ import annotations

from contextlib import aclosing

from cidery.errors import CideryError, Unavailable
from cidery.methods.blocking import BlockingGroup, blocking, iterating
from cidery.methods.caller import Group, path_text
from cidery.methods.results import BlockStat, CarImported, CarRoot, DagChange, DagPath, DagSize, DagStat
from cidery.methods.sources import pieces_of
from cidery.multiformats.cid import CID

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Sequence

    from cidery.ipld.data_model import Value
    from cidery.methods.sources import Source

CAR_AHEAD = 4
"""Chunks of an archive held for a slow reader of the blocking iterator."""


class NotRemoved(Unavailable):
    """Some blocks could not be removed; the others were."""

    def __init__(self, reasons: Sequence[tuple[CID, str]]) -> None:
        super().__init__(reasons)
        self.reasons = reasons

    def __str__(self) -> str:
        return "cannot remove " + "; ".join(f"{cid}: {reason}" for cid, reason in self.reasons[:10])


class Dag(Group):
    """Values of the data model: None, bool, int, float, str, bytes, list, dict, and CID for a link."""

    async def put(self, value: Value, *, codec: str = "dag-cbor", hash: str = "sha2-256", pin: bool = False) -> CID:
        """Store a value as one block of at most 2 MiB.

        Args:
            codec: of the block: "dag-cbor", "dag-json", "dag-pb", "json", "cbor", "raw".
            pin: it, and what it links to.
        Raises: NotEncodable, UnknownCodec, BlockTooBig, and as the store.
        """
        from cidery.ipld import dag_cbor

        stored = await self._value(
            "dag put",
            body=pieces_of(dag_cbor.encode(value)),
            input_codec="dag-cbor",
            store_codec=codec,
            hash=hash,
            pin=pin,
        )
        return CID.parse(stored["Cid"]["/"])

    async def get(self, path: str | CID) -> Value:
        """The value of a block of any known codec, or at a path inside one. Raises NotFound, NoSuchPath."""
        from cidery.ipld import dag_cbor

        return dag_cbor.decode(await self._bytes("dag get", path_text(path), output_codec="dag-cbor"))

    async def resolve(self, path: str | CID) -> DagPath:
        """The last block of a path, and the path inside it. Raises NotFound, NoSuchPath."""
        value = await self._value("dag resolve", path_text(path))
        return DagPath(CID.parse(value["Cid"]["/"]), value["RemPath"])

    async def stat(self, *paths: str | CID, progress: Callable[[int, int], None] | None = None) -> DagStat:
        """Number and size of the blocks of DAGs, and how much they share. Reads (and fetches) every block.

        ``progress``: called with the blocks and bytes of the current DAG.
        """
        last = None
        stats = self._caller.values("dag stat", *map(path_text, paths), progress=progress is not None)
        async with aclosing(stats):
            async for last in stats:
                if progress is not None and last["DagStats"]:
                    progress(last["DagStats"][-1].get("NumBlocks", 0), last["DagStats"][-1].get("Size", 0))
        assert last is not None  # the last value has the sums
        return DagStat(
            unique_blocks=last.get("UniqueBlocks", 0),
            total_size=last.get("TotalSize", 0),
            shared_size=last.get("SharedSize", 0),
            dags=tuple(
                DagSize(CID.parse(one["Cid"]), one.get("NumBlocks", 0), one.get("Size", 0)) for one in last["DagStats"]
            ),
        )

    async def diff(self, before: str | CID, after: str | CID) -> AsyncGenerator[DagChange, None]:
        """The links that differ between two DAGs."""
        async with aclosing(self._caller.values("dag diff", path_text(before), path_text(after))) as values:
            async for value in values:
                old, new = (CID.parse(value[side]["/"]) if value[side] else None for side in ("Before", "After"))
                yield DagChange(value["Path"], old, new)


class Block(Group):
    """Raw blocks."""

    async def put(self, data: Source, *, codec: str = "raw", hash: str = "sha2-256", pin: bool = False) -> BlockStat:
        """Store at most 2 MiB as one block. Raises BlockTooBig, UnknownCodec, and as the store."""
        value = await self._value("block put", body=pieces_of(data), cid_codec=codec, mhtype=hash, pin=pin)
        return BlockStat(CID.parse(value["Key"]), value["Size"])

    async def get(self, path: str | CID) -> bytes:
        """The bytes of a block; fetched if it is not here. Raises NotFound."""
        return await self._bytes("block get", path_text(path))

    async def stat(self, path: str | CID) -> BlockStat:
        """CID and size of a block; fetched if it is not here. Raises NotFound."""
        value = await self._value("block stat", path_text(path))
        return BlockStat(CID.parse(value["Key"]), value["Size"])

    async def rm(self, *cids: str | CID, force: bool = False) -> list[CID]:
        """Remove blocks that no pin and no mutable file needs; returns those that were. Walks every pin.

        ``force``: ignore blocks that are not stored. Raises: NotRemoved, when all that can be are removed.
        """
        removed: list[CID] = []
        failed: list[tuple[CID, str]] = []
        try:
            async with aclosing(self._caller.values("block rm", *map(path_text, cids), force=force)) as values:
                async for value in values:
                    if "Error" in value:
                        failed.append((CID.parse(value["Hash"]), value["Error"]))
                    else:
                        removed.append(CID.parse(value["Hash"]))
        except CideryError as exc:
            if failed:
                raise NotRemoved(failed) from exc
            raise
        return removed


class Car(Group):
    """CAR archives. Without a node: cidery.car."""

    async def export(
        self, *roots: str | CID, local_only: bool = False, version: int = 1
    ) -> AsyncGenerator[bytes | memoryview, None]:
        """DAGs as one archive, in pieces; closing the iterator ends the export.

        Args:
            local_only: leave out blocks that are not stored here.
            version: 1, or 2, which has an index.
        Raises: NotFound before the first piece for a root, after it for another block.
        """
        chunks = self._caller.chunks(
            "dag export", *map(path_text, roots), local_only=local_only, car_version=str(version)
        )
        async with aclosing(chunks):
            async for chunk in chunks:
                yield chunk

    async def import_(
        self, archive: Source, *, pin_roots: bool = True, progress: Callable[[int], None] | None = None
    ) -> CarImported:
        """Store the blocks of an archive of version 1 or 2, each checked, and pin its roots; durable on return.

        Args:
            archive: the path of a file, its bytes, or a stream of bytes.
            pin_roots: False for an archive that lacks blocks.
            progress: called with the bytes of the archive that are read so far.
        Raises: BadCar, IntegrityError, RootsNotPinned (the blocks are stored), and as the store.
        Cancellation: safe; blocks that were stored may be collected.
        """
        roots: list[CarRoot] = []
        blocks = size = 0
        values = self._caller.values("dag import", body=pieces_of(archive, progress), pin_roots=pin_roots, stats=True)
        async with aclosing(values):
            async for value in values:
                if "Root" in value:
                    root = value["Root"]
                    roots.append(CarRoot(CID.parse(root["Cid"]["/"]), root["PinErrorMsg"]))
                else:
                    blocks, size = value["Stats"]["BlockCount"], value["Stats"]["BlockBytesCount"]
        return CarImported(blocks, size, tuple(roots))


class BlockingDag(BlockingGroup[Dag]):
    """The methods of Dag, blocking."""

    put = blocking(Dag.put)
    get = blocking(Dag.get)
    resolve = blocking(Dag.resolve)
    stat = blocking(Dag.stat)
    diff = iterating(Dag.diff)


class BlockingBlock(BlockingGroup[Block]):
    """The methods of Block, blocking."""

    put = blocking(Block.put)
    get = blocking(Block.get)
    stat = blocking(Block.stat)
    rm = blocking(Block.rm)


class BlockingCar(BlockingGroup[Car]):
    """The methods of Car, blocking."""

    export = iterating(Car.export, ahead=CAR_AHEAD)
    import_ = blocking(Car.import_)
