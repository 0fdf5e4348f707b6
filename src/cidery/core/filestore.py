"""Reading blocks that stay in the user's files, with the reason when that cannot be."""

from cidery.blockstore.filestore import Filestore
from cidery.core.store_session import NotStored, StoreSession
from cidery.errors import IntegrityError
from cidery.multiformats.cid import CID


class FileChanged(IntegrityError):
    """The bytes of a block were in a file that is not what it was."""

    def __init__(self, cid: CID, path: str, reason: str) -> None:
        super().__init__(cid, path, reason)
        self.cid = cid
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return (
            f"{self.cid} was added without a copy from {self.path!r}: {self.reason}; restore the file, or start the"
            " daemon to fetch the block from peers"
        )


class FilestoreSession(StoreSession):
    """A StoreSession that says which file is to blame."""

    def __init__(self, blocks: Filestore) -> None:
        super().__init__(blocks)
        self._files = blocks

    async def get(self, cid: CID) -> bytes | memoryview:
        """The block. Raises NotStored, StoredDamaged, FileChanged. Cancel-safe."""
        try:
            return await super().get(cid)
        except NotStored:
            checked = await self._files.why(cid)
            if checked is None:
                raise
            raise FileChanged(cid, checked.reference.path, checked.reason) from None
