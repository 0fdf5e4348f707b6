"""The roots of a collection: pins, running operations, the mutable files, resumable jobs."""

from collections.abc import Iterator

from cidery.multiformats.cid import CID
from cidery.repo.jobs import Job, Jobs
from cidery.repo.mfs_root import MfsRoot
from cidery.repo.pins import PINS_PAGE, Pin, Pins
from cidery.repo.provisional import ProvisionalRoots
from cidery.repo.root_fence import RootFence

NAMING_KINDS = frozenset(("mfs",))
"""Operations that name all blocks they rely on but did not store (mfs/protection.py: copied content)."""


class GcRoots:
    """The roots of one repository, read afresh from their tables on each call."""

    def __init__(
        self, pins: Pins, provisional: ProvisionalRoots, mfs: MfsRoot, fence: RootFence, jobs: Jobs | None = None
    ) -> None:
        self._pins = pins
        self._provisional = provisional
        self._jobs = jobs
        self._mfs = mfs
        self.fence = fence

    def pin_pages(self) -> Iterator[list[Pin]]:
        """All pins, including expired ones. Their DAGs must be complete."""
        after = b""
        while page := self._pins.page(after, PINS_PAGE):
            after = page[-1].cursor
            yield page

    def partial(self) -> list[CID]:
        """Roots of operations and jobs, whose DAGs may be incomplete. Raises ProvisionalDamaged, JobDamaged."""
        roots = [root for operation in self._provisional.every() for root in operation.roots]
        return roots + [root for job in self._open_jobs() for root in job.roots]

    def mfs(self) -> list[CID]:
        """The root of the mutable files, whose DAG may be incomplete; empty if there is none yet.

        Raises MfsRootDamaged.
        """
        root = self._mfs.get()
        return [] if root is None else [root]

    def since_ordinal(self, now: int) -> int:
        """Blocks from this ordinal on may belong to a running operation; ``now`` if there is none."""
        jobs = [job.since_ordinal for job in self._open_jobs() if job.since_ordinal is not None]
        return min([now, *(operation.since_ordinal for operation in self._provisional.every()), *jobs])

    def undisturbed(self) -> bool:
        """Whether no running operation or job may rely on blocks that no root names yet."""
        operations = [found for found in self._provisional.every() if found.kind not in NAMING_KINDS]
        return not operations and all(job.since_ordinal is None for job in self._open_jobs())

    def _open_jobs(self) -> Iterator[Job]:
        return iter(()) if self._jobs is None else self._jobs.every(ended=False)
