"""The root of the mutable files: one CID in the precious state, which a collector must treat as a root."""

from cidery.errors import IntegrityError
from cidery.multiformats.cid import CID, CIDError
from cidery.repo.state import Put, State, StateTable

MFS_ROOT_KEY = b"mfs-root"
"""Key in StateTable.SETTINGS; the value is the binary CID."""


class MfsRootDamaged(IntegrityError):
    """The record is not a CID."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"the root of the mutable files is damaged ({self.reason}); set another with: cidery files chroot"


class MfsRoot:
    """The record. Reads are synchronous; a change is durable when awaited."""

    def __init__(self, state: State) -> None:
        self._state = state

    def get(self) -> CID | None:
        """The root as last committed; None: never written. Raises MfsRootDamaged."""
        raw = self._state.get(StateTable.SETTINGS, MFS_ROOT_KEY)
        if raw is None:
            return None
        try:
            return CID.decode(raw)
        except CIDError as exc:
            raise MfsRootDamaged(exc.reason) from exc

    async def set(self, root: CID) -> None:
        """Replace the root; its blocks must be durable already. Raises StateReadOnly, DatabaseUnavailable."""
        await self._state.apply(Put(StateTable.SETTINGS, MFS_ROOT_KEY, root.encode()), roots=(root,))
