"""The Surface with blocking methods: what cidery.open() gives."""

from __future__ import annotations

from functools import cached_property

from cidery.methods.blocking import READ_AHEAD, BlockingGroup, blocking, iterating
from cidery.methods.surface import Surface

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cidery.methods.dag import BlockingBlock, BlockingCar, BlockingDag
    from cidery.methods.files import BlockingFiles
    from cidery.methods.key import BlockingKey
    from cidery.methods.name import BlockingName
    from cidery.methods.pin import BlockingPin
    from cidery.methods.pubsub import BlockingPubsub
    from cidery.methods.repo import BlockingBootstrap, BlockingConfig, BlockingJobs, BlockingRepo, BlockingStats
    from cidery.methods.swarm import BlockingRouting, BlockingSwarm


class BlockingSurface(BlockingGroup[Surface]):
    """The methods of Surface, blocking; iterators of asyncio are plain ones. They may be called from any thread."""

    add = blocking(Surface.add)
    cat = iterating(Surface.cat, READ_AHEAD)
    read = blocking(Surface.read)
    get = blocking(Surface.get)
    peer_id = blocking(Surface.peer_id)
    id = blocking(Surface.id)
    resolve = blocking(Surface.resolve)
    refs = iterating(Surface.refs)
    ls = blocking(Surface.ls)
    why = blocking(Surface.why)

    @cached_property
    def pin(self) -> BlockingPin:
        """What is kept from being collected as garbage."""
        from cidery.methods.pin import BlockingPin

        return BlockingPin(self._inner.pin, self._loop, self._seconds)

    @cached_property
    def files(self) -> BlockingFiles:
        """Mutable files and directories."""
        from cidery.methods.files import BlockingFiles

        return BlockingFiles(self._inner.files, self._loop, self._seconds)

    @cached_property
    def name(self) -> BlockingName:
        """Names that can change what they point to (IPNS)."""
        from cidery.methods.name import BlockingName

        return BlockingName(self._inner.name, self._loop, self._seconds)

    @cached_property
    def key(self) -> BlockingKey:
        """Keys, each of which owns a name."""
        from cidery.methods.key import BlockingKey

        return BlockingKey(self._inner.key, self._loop, self._seconds)

    @cached_property
    def dag(self) -> BlockingDag:
        """Values of any codec."""
        from cidery.methods.dag import BlockingDag

        return BlockingDag(self._inner.dag, self._loop, self._seconds)

    @cached_property
    def block(self) -> BlockingBlock:
        """Raw blocks."""
        from cidery.methods.dag import BlockingBlock

        return BlockingBlock(self._inner.block, self._loop, self._seconds)

    @cached_property
    def car(self) -> BlockingCar:
        """CAR archives."""
        from cidery.methods.dag import BlockingCar

        return BlockingCar(self._inner.car, self._loop, self._seconds)

    @cached_property
    def swarm(self) -> BlockingSwarm:
        """Connections to peers."""
        from cidery.methods.swarm import BlockingSwarm

        return BlockingSwarm(self._inner.swarm, self._loop, self._seconds)

    @cached_property
    def routing(self) -> BlockingRouting:
        """Who has what, and where peers are."""
        from cidery.methods.swarm import BlockingRouting

        return BlockingRouting(self._inner.routing, self._loop, self._seconds)

    @cached_property
    def pubsub(self) -> BlockingPubsub:
        """Messages to the listeners of a topic."""
        from cidery.methods.pubsub import BlockingPubsub

        return BlockingPubsub(self._inner.pubsub, self._loop, self._seconds)

    @cached_property
    def repo(self) -> BlockingRepo:
        """The repository."""
        from cidery.methods.repo import BlockingRepo

        return BlockingRepo(self._inner.repo, self._loop, self._seconds)

    @cached_property
    def config(self) -> BlockingConfig:
        """The config file."""
        from cidery.methods.repo import BlockingConfig

        return BlockingConfig(self._inner.config, self._loop, self._seconds)

    @cached_property
    def bootstrap(self) -> BlockingBootstrap:
        """The peers that are dialled first."""
        from cidery.methods.repo import BlockingBootstrap

        return BlockingBootstrap(self._inner.bootstrap, self._loop, self._seconds)

    @cached_property
    def jobs(self) -> BlockingJobs:
        """Long operations; ``node.jobs()`` lists them."""
        from cidery.methods.repo import BlockingJobs

        return BlockingJobs(self._inner.jobs, self._loop, self._seconds)

    @cached_property
    def stats(self) -> BlockingStats:
        """Counters."""
        from cidery.methods.repo import BlockingStats

        return BlockingStats(self._inner.stats, self._loop, self._seconds)
