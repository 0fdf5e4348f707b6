"""What a node announces: the keys of a strategy, gathered from pins, mutable files and the store."""

from collections.abc import AsyncGenerator, Callable, Iterable, Sequence

from cidery.blockstore.drive import drive
from cidery.blockstore.interface import BlockStore
from cidery.core.session import StoreSession
from cidery.errors import CideryError, InvalidInput
from cidery.ipld.walk import Edge, walk_edges
from cidery.multiformats.cid import CID
from cidery.multiformats.multicodec import RAW
from cidery.repo.pins import Pin

PARTS = ("all", "pinned", "roots", "mfs")
"""The parts that a strategy joins with "+"."""
BATCH = 1024
"""Keys handed over at a time."""


class BadStrategy(InvalidInput):
    """An unknown strategy."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return f"there is no provide strategy {self.text[:40]!r}; join {', '.join(PARTS)} by '+', as pinned+mfs"


def parse_strategy(text: str) -> frozenset[str]:
    """The parts of "pinned+mfs". Kubo's "+unique" and "+entities" only save memory there and are accepted."""
    parts = frozenset(text.split("+")) - {"unique", "entities"}
    if not parts or not parts <= set(PARTS):
        raise BadStrategy(text)
    return parts


class ProvideKeys:
    """Gathers keys (multihashes). Nothing is fetched: blocks that are not stored here are not announced."""

    def __init__(
        self,
        strategy: frozenset[str],
        store: BlockStore,
        pins: Callable[[], Iterable[Pin]],
        mfs_root: Callable[[], CID | None],
    ) -> None:
        self._strategy = strategy
        self._store = store
        self._pins = pins
        self._mfs_root = mfs_root

    async def gather(self) -> AsyncGenerator[Sequence[bytes], None]:
        """Every key of the strategy, in batches; some occur twice. Costs one read per pinned node."""
        if "all" in self._strategy:
            async for page in self._store.keys():
                yield page
            return
        if self._strategy & {"pinned", "roots"}:
            for pin in self._pins():
                async for batch in self.of_pin(pin):
                    yield batch
        root = self._mfs_root() if "mfs" in self._strategy else None
        if root is not None:
            async for batch in self._below(root):
                yield batch

    async def of_pin(self, pin: Pin) -> AsyncGenerator[Sequence[bytes], None]:
        """The keys that one pin adds to the set."""
        if "pinned" in self._strategy and pin.recursive:
            async for batch in self._below(pin.cid):
                yield batch
        elif self._strategy & {"pinned", "roots"} and not pin.cid.is_identity:
            yield [pin.cid.multihash]

    async def _below(self, root: CID) -> AsyncGenerator[Sequence[bytes], None]:
        """The keys of the stored part of a DAG: a missing block ends its walk, not the gathering."""
        batch = [] if root.is_identity else [root.multihash]
        try:
            async for step in drive(walk_edges(root, unique=True, read_raw=False), StoreSession(self._store)):
                if isinstance(step, Edge) and not step.target.is_identity:
                    batch.append(step.target.multihash)
                    if len(batch) >= BATCH:
                        yield batch
                        batch = []
        except CideryError:
            pass  # the keys found so far count; `pin verify` reports the damage
        if batch:
            yield batch

    async def still_here(self, keys: Sequence[bytes]) -> list[bool]:
        """Whether the blocks of these keys are stored."""
        sizes = await self._store.size_many([CID(1, RAW, key) for key in keys])
        return [size is not None for size in sizes]

    def announces_roots(self) -> bool:
        """Whether the roots of added or pinned content belong to the set."""
        return bool(self._strategy & {"all", "pinned", "roots"})
